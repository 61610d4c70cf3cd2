// Tells the user what the set-up does: one line when a step starts, one when it ends, a sign of life in between.
// All of it goes to stderr, so that stdout stays free for the answer of a command.

/** A failure whose message is all the user needs: one line of cause, one line of what to do next. */
export class SetupError extends Error {
  /** @param {string} cause @param {string} next @param {string} [details] output of the tool that failed */
  constructor(cause, next, details = "") {
    super(`${cause}\n  next: ${next}`);
    this.name = "SetupError";
    this.details = details;
  }
}

/** @param {{ verbose?: boolean, write?: (text: string) => void }} [options] */
export function teller({ verbose = false, write = (text) => process.stderr.write(text) } = {}) {
  return {
    /** Printed only with --verbose. @param {string} text */
    detail(text) {
      if (verbose) write(`setup: ${text}\n`);
    },
    /** @param {string} text */
    line(text) {
      write(`setup: ${text}\n`);
    },
    /**
     * Runs one step and says how long it took.
     * @template T @param {string} title @param {() => Promise<T>} work @returns {Promise<T>}
     */
    async step(title, work) {
      const started = Date.now();
      const seconds = () => ((Date.now() - started) / 1000).toFixed(1);
      write(`setup: ${title} …\n`);
      const alive = setInterval(() => write(`setup:   … still at it (${seconds()} s)\n`), 10_000);
      try {
        const result = await work();
        write(`setup:   done in ${seconds()} s\n`);
        return result;
      } finally {
        clearInterval(alive);
      }
    },
  };
}
