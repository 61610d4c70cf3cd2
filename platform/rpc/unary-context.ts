/**
 * The context of one unary call on the short path: everything costly (Headers, AbortSignal, timer) is made when a
 * handler asks for it, because most never do.
 *
 * Promise: same meaning as connect's own context. `signal` aborts when the caller goes away (canceled), its deadline
 * passes (deadline_exceeded) or the server gives up waiting in a drain (unavailable).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, createContextValues, type HandlerContext } from "@connectrpc/connect";
import { requestIdKey } from "./request-id.ts";

export interface UnaryContextInit {
  req: IncomingMessage;
  res: ServerResponse;
  method: DescMethodUnary;
  requestId: string;
  deadlineMs: number | undefined;
  shutdown: AbortSignal;
}

export class UnaryContext implements HandlerContext {
  readonly method: DescMethodUnary;
  readonly requestMethod = "POST";
  readonly protocolName = "connect";
  readonly timeoutMs: () => number | undefined;
  readonly #init: UnaryContextInit;
  readonly #ends: number | undefined;
  #abort: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #values: ContextValues | undefined;

  constructor(init: UnaryContextInit) {
    this.#init = init;
    this.method = init.method;
    this.#ends = init.deadlineMs === undefined ? undefined : Date.now() + init.deadlineMs;
    this.timeoutMs = () => (this.#ends === undefined ? undefined : this.#ends - Date.now());
  }

  get service() {
    return this.method.parent;
  }

  get url(): string {
    return `http://${this.#init.req.headers.host ?? "localhost"}${this.#init.req.url}`;
  }

  get values(): ContextValues {
    this.#values ??= createContextValues().set(requestIdKey, this.#init.requestId);
    return this.#values;
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= headersOf(this.#init.req);
    return this.#requestHeader;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  get signal(): AbortSignal {
    this.#abort ??= this.#watch();
    return this.#abort.signal;
  }

  /** The signal if anybody has asked for it. */
  get askedSignal(): AbortSignal | undefined {
    return this.#abort?.signal;
  }

  /** Response headers a handler has set, trailers as the protocol writes them for unary calls. */
  writtenHeaders(): [string, string][] {
    const headers: [string, string][] = [...(this.#responseHeader ?? [])];
    for (const [key, value] of this.#responseTrailer ?? []) headers.push([`trailer-${key}`, value]);
    return headers;
  }

  /** The call is over: nothing may fire any more. */
  close(): void {
    if (this.#abort === undefined) return;
    clearTimeout(this.#timer);
    this.#init.res.off("close", this.#onClose);
    this.#init.shutdown.removeEventListener("abort", this.#onShutdown);
  }

  readonly #onClose = () => this.#abort?.abort(new ConnectError("the caller went away", Code.Canceled));
  readonly #onShutdown = () => this.#abort?.abort(new ConnectError("the server is shutting down", Code.Unavailable));

  #watch(): AbortController {
    const abort = new AbortController();
    const { res, shutdown } = this.#init;
    this.#abort = abort;
    if (res.closed) this.#onClose();
    else res.once("close", this.#onClose);
    if (shutdown.aborted) this.#onShutdown();
    else shutdown.addEventListener("abort", this.#onShutdown);
    const left = this.timeoutMs();
    const late = () => abort.abort(new ConnectError("the operation timed out", Code.DeadlineExceeded));
    if (left !== undefined) this.#timer = setTimeout(late, Math.max(0, left));
    return abort;
  }
}

function headersOf(req: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [key, value] of Object.entries(req.headers)) {
    if (value === undefined || key.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) headers.append(key, one);
  }
  return headers;
}
