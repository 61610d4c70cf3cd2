/** One job at a time for each key, in the order they came; keys do not wait for each other. */

export interface KeyedLock {
  run<T>(key: string, job: () => Promise<T>): Promise<T>;
  busy(key: string): boolean;
  /** When the jobs there are now have ended. */
  idle(): Promise<void>;
}

export function keyedLock(): KeyedLock {
  const last = new Map<string, Promise<unknown>>();
  return {
    run(key, job) {
      const result = (last.get(key) ?? Promise.resolve()).then(job);
      const ended = result.then(
        () => {},
        () => {},
      );
      last.set(key, ended);
      void ended.then(() => {
        if (last.get(key) === ended) last.delete(key);
      });
      return result;
    },
    busy: (key) => last.has(key),
    async idle() {
      await Promise.all(last.values());
    },
  };
}
