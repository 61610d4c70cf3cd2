/** What was started, to be stopped in reverse order. */
export interface Stack {
  push(stop: () => Promise<unknown> | unknown): void;
  /** Stops everything, also when some part fails to stop; then throws the first failure. Harmless when repeated. */
  unwind(): Promise<void>;
}

export function stack(): Stack {
  const stops: (() => unknown)[] = [];
  return {
    push: (stop) => void stops.push(stop),
    async unwind() {
      const failures: unknown[] = [];
      for (let stop = stops.pop(); stop; stop = stops.pop()) {
        try {
          await stop();
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}

/** Runs parts until the returned stop; one that ends by itself with an error is logged. */
export function background(
  log: { fatal(fields: object, message: string): void },
  parts: readonly ((signal: AbortSignal) => Promise<unknown>)[],
): () => Promise<void> {
  const stop = new AbortController();
  const work = Promise.all(parts.map((run) => run(stop.signal)));
  work.catch((err: unknown) => log.fatal({ err }, "the server's work ended"));
  return async () => {
    stop.abort();
    await work.catch(() => undefined);
  };
}
