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

export interface Background {
  /** Rejects when a part ends by itself with an error: nothing brings it back but another process. */
  failed: Promise<never>;
  stop(): Promise<void>;
}

/** Runs parts until it is stopped. */
export function background(
  log: { fatal(fields: object, message: string): void },
  parts: readonly ((signal: AbortSignal) => Promise<unknown>)[],
): Background {
  const stop = new AbortController();
  const work = Promise.all(parts.map((run) => run(stop.signal)));
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  work.catch((err: unknown) => {
    log.fatal({ err }, "the server's work ended");
    failed.reject(err);
  });
  return {
    failed: failed.promise,
    async stop() {
      stop.abort();
      await work.catch(() => undefined);
    },
  };
}
