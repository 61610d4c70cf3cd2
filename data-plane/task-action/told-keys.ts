/** Keys to look at again, each once however often it was told, for one reader. */

export interface ToldKeys {
  add(key: string): void;
  /** Ends with the signal. */
  follow(signal: AbortSignal): AsyncIterable<string>;
}

export function toldKeys(): ToldKeys {
  const keys = new Set<string>();
  let arrived = () => {};
  return {
    add(key) {
      keys.add(key);
      arrived();
    },
    async *follow(signal) {
      const wake = () => arrived();
      signal.addEventListener("abort", wake);
      try {
        while (!signal.aborted) {
          for (const key of keys) {
            keys.delete(key);
            yield key;
            if (signal.aborted) return;
          }
          if (signal.aborted || keys.size > 0) continue;
          await new Promise<void>((resolve) => {
            arrived = resolve;
          });
        }
      } finally {
        signal.removeEventListener("abort", wake);
      }
    },
  };
}
