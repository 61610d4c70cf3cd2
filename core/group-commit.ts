/**
 * Group commit: callers hand in single items, one batch is committed at a time, and what arrives meanwhile forms the
 * next batch. Alone, an item waits for nothing; under load the batches grow by themselves.
 */
export interface GroupCommit<Item, Result> {
  /** Resolves when the batch that holds the item is committed; rejects with the error of the item or of its batch. */
  submit(item: Item): Promise<Result>;
  /** Items handed in and not yet answered. */
  readonly pending: number;
  /** Resolves when nothing is pending. */
  drained(): Promise<void>;
}

/** An outcome for one item of a batch; lets some items of a batch fail while others are committed. */
export type Outcome<Result> = { ok: true; value: Result } | { ok: false; error: unknown };

export interface GroupCommitOptions<Item, Result> {
  /** Commits a batch; gives one outcome for each item, in order. A throw fails the whole batch. */
  commit(items: readonly Item[]): Promise<readonly Outcome<Result>[]>;
  /** Most items in one batch. */
  maxItems: number;
  /**
   * True when `error` may be the fault of a single item (a value that the database does not take): the items of the
   * batch are then committed one by one, so that one caller's mistake is nobody else's.
   */
  blames?(error: unknown): boolean;
}

interface Waiting<Item, Result> {
  item: Item;
  resolve(value: Result): void;
  reject(error: unknown): void;
}

export function groupCommit<Item, Result>(options: GroupCommitOptions<Item, Result>): GroupCommit<Item, Result> {
  let queue: Waiting<Item, Result>[] = [];
  let inFlight = 0;
  let idle: (() => void)[] = [];

  async function settle(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const outcomes = await options.commit(batch.map((waiting) => waiting.item));
      batch.forEach((waiting, index) => {
        const outcome = outcomes[index];
        if (outcome === undefined) waiting.reject(new Error("group commit: an item of the batch has no outcome"));
        else if (outcome.ok) waiting.resolve(outcome.value);
        else waiting.reject(outcome.error);
      });
    } catch (error) {
      if (batch.length > 1 && options.blames?.(error)) for (const waiting of batch) await settle([waiting]);
      else for (const waiting of batch) waiting.reject(error);
    }
  }

  async function run(): Promise<void> {
    // Items submitted in this turn of the event loop join the first batch.
    await Promise.resolve();
    while (queue.length > 0) {
      const batch = queue.length <= options.maxItems ? queue : queue.slice(0, options.maxItems);
      queue = batch === queue ? [] : queue.slice(options.maxItems);
      inFlight = batch.length;
      await settle(batch);
      inFlight = 0;
    }
    running = false;
    for (const resolve of idle) resolve();
    idle = [];
  }

  let running = false;
  return {
    submit(item) {
      return new Promise((resolve, reject) => {
        queue.push({ item, resolve, reject });
        if (!running) {
          running = true;
          void run();
        }
      });
    },
    get pending() {
      return queue.length + inFlight;
    },
    drained() {
      return running ? new Promise((resolve) => idle.push(resolve)) : Promise.resolve();
    },
  };
}
