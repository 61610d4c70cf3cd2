/**
 * Open server streams, so that a drain can end them.
 *
 * Promise: `endAll` makes every open stream end with UNAVAILABLE at once, even one whose handler is waiting for an
 * event that never comes; the handler is told to return, and nobody waits for it. Costs one object per stream, not per message.
 */
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

export interface OpenStreams {
  readonly interceptor: Interceptor;
  readonly size: number;
  endAll(): void;
}

export function openStreams(): OpenStreams {
  const open = new Set<Endable>();
  let ended = false;
  return {
    interceptor: (next) => async (req) => {
      const res = await next(req);
      if (!res.stream) return res;
      const message = new EndableStream(res.message, open);
      if (ended) message.end();
      return { ...res, message };
    },
    get size() {
      return open.size;
    },
    endAll() {
      ended = true;
      for (const stream of [...open]) stream.end();
    },
  };
}

interface Endable {
  end(): void;
}

class EndableStream<T> implements AsyncIterable<T>, AsyncIterator<T>, Endable {
  readonly #source: AsyncIterator<T>;
  readonly #open: Set<Endable>;
  #reject: ((reason: ConnectError) => void) | undefined;
  #ended = false;

  constructor(source: AsyncIterable<T>, open: Set<Endable>) {
    this.#source = source[Symbol.asyncIterator]();
    this.#open = open;
    open.add(this);
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return this;
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#ended) return Promise.reject(shuttingDown());
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      this.#source.next().then(
        (result) => {
          if (result.done === true) this.#open.delete(this);
          resolve(result);
        },
        (reason) => {
          this.#open.delete(this);
          reject(reason);
        },
      );
    });
  }

  async return(): Promise<IteratorResult<T>> {
    this.#open.delete(this);
    return (await this.#source.return?.()) ?? { done: true, value: undefined };
  }

  async throw(reason: unknown): Promise<IteratorResult<T>> {
    this.#open.delete(this);
    if (this.#source.throw === undefined) throw reason;
    return this.#source.throw(reason);
  }

  end(): void {
    this.#ended = true;
    this.#open.delete(this);
    this.#reject?.(shuttingDown());
    // a generator that waits cannot return before its wait ends: do not wait for it
    this.#source.return?.().catch(() => {});
  }
}

function shuttingDown(): ConnectError {
  return new ConnectError("the server is shutting down; connect again", Code.Unavailable);
}
