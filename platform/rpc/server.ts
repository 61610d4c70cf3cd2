/**
 * The server's one door: Connect, gRPC, gRPC-Web and plain HTTP on one port, over HTTP/1.1 and h2c.
 *
 * Promise: no bytes from outside can crash it; every answer carries a request id; every request is validated; every
 * error is mapped at one place; and `drain` lets what has begun finish, tells the rest to come back, and returns.
 *
 *     const server = await startRpcServer({ host, port, health, log, routes: (router) => router.service(RunService, runs) });
 *     console.log(server.url);
 *     await server.drain(20_000);
 */
import {
  createServer as createHttp1,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import { createServer as createHttp2, type Http2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";
import { Code, ConnectError, type ConnectRouter, createContextValues, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { answerCors } from "./cors.ts";
import { errorMapping, type RpcLog } from "./error-mapping.ts";
import { fastUnary, isFastUnary } from "./fast-unary.ts";
import { gatherWrites } from "./gather-writes.ts";
import { gzip } from "./gzip.ts";
import { answerHealth, type Health } from "./health.ts";
import { measured, type RpcMetrics } from "./metrics.ts";
import { onePort } from "./one-port.ts";
import { recordRoutes } from "./recorded-router.ts";
import { requestIdFrom, requestIdHeader, requestIdKey } from "./request-id.ts";
import { openStreams } from "./streams.ts";
import { answerUnimplemented } from "./unimplemented.ts";
import { requestValidation, validation } from "./validation.ts";

/**
 * A part of the server that is not an RPC: the S3 endpoint, uploads, metrics, static files. Tried in order, after health
 * and mounted methods and before everything else; answers true when it has taken the request. Over HTTP/2 it gets
 * Node's compatibility objects, which behave the same.
 */
export type HttpHandler = (req: IncomingMessage, res: ServerResponse) => boolean | Promise<boolean>;

export interface RpcLimits {
  /** Largest request message after decompression; 32 MiB. */
  requestBytes?: number;
  /** How long a client may take to send its headers; 20 s. */
  headersTimeoutMs?: number;
  /** How long a silent connection is kept for the next request; 2 min, longer than clients keep theirs. */
  keepAliveMs?: number;
}

export interface RpcServerOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  routes: (router: ConnectRouter) => void;
  http?: readonly HttpHandler[];
  interceptors?: readonly Interceptor[];
  health: Health;
  limits?: RpcLimits;
  log: RpcLog;
  metrics?: RpcMetrics;
  /** Web origins allowed beside our own host and loopback pages. */
  allowedOrigins?: readonly string[];
  /** Paths that belong to the object store: only `http` handlers may answer them. */
  isStorePath?: (path: string) => boolean;
}

export interface RpcServer {
  readonly url: string;
  readonly port: number;
  readonly address: string;
  /** Stops accepting, waits for calls in flight up to `timeoutMs`, ends streams with UNAVAILABLE, closes everything. */
  drain(timeoutMs: number): Promise<void>;
}

/** On one machine or one network, gzip of small answers costs more than it saves. */
const compressMinBytes = 16 * 1024;

/** How long a drain waits for answers to be written and connections to end, once everything is over. */
const lastWordsMs = 1000;

export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const {
    http = [],
    interceptors = [],
    health,
    limits = {},
    log,
    allowedOrigins = [],
    isStorePath = () => false,
    metrics,
  } = options;
  const { requestBytes = 32 * 1024 * 1024, headersTimeoutMs = 20_000, keepAliveMs = 120_000 } = limits;
  const shutdown = new AbortController();
  const streams = openStreams();
  const inFlight = new Set<ServerResponse>();
  let draining = false;

  const validate = requestValidation();
  const routerOptions = {
    acceptCompression: [gzip],
    compressMinBytes,
    readMaxBytes: requestBytes,
    shutdownSignal: shutdown.signal,
    interceptors: [
      ...(metrics === undefined ? [] : [measured(metrics)]),
      errorMapping(log),
      streams.interceptor,
      ...interceptors,
      validation(validate),
    ],
  };
  const mounted = recordRoutes(options.routes, routerOptions);
  const callUnary = fastUnary({
    interceptors,
    validate,
    readMaxBytes: requestBytes,
    compressMinBytes,
    shutdown: shutdown.signal,
    log,
    metrics,
  });
  const callAny = connectNodeAdapter({
    routes: (router) => router.handlers.push(...mounted.handlers.values()),
    contextValues: (req) => createContextValues().set(requestIdKey, String(req.headers[requestIdHeader])),
  }) as RequestListener;
  const callChecked: RequestListener = (req, res) => {
    // HTTP/1.0 has none
    if (req.httpVersionMajor === 1) req.headers.host ??= "localhost";
    gatherWrites(res);
    try {
      callAny(req, res);
    } catch {
      // connect-node makes a URL of host and path before it has a promise to reject
      res.writeHead(400, { "content-type": "text/plain" }).end("the request names no usable host\n");
    }
  };
  const callRpc = (path: string, req: IncomingMessage, res: ServerResponse, requestId: string): boolean => {
    if (!mounted.handlers.has(path)) return false;
    const unary = mounted.unary.get(path);
    if (unary !== undefined && isFastUnary(req)) callUnary(unary, req, res, requestId);
    else callChecked(req, res);
    return true;
  };

  function onClose(this: ServerResponse): void {
    inFlight.delete(this);
    lingerOnUnread(this.req);
  }
  const onRequest: RequestListener = (req, res) => {
    inFlight.add(res);
    res.once("close", onClose);
    const requestId = requestIdFrom(req.headers[requestIdHeader]);
    req.headers[requestIdHeader] = requestId;
    res.setHeader(requestIdHeader, requestId);
    if (draining) closeAfter(req, res);
    const path = pathOf(req);
    if (answerCors(req, res, allowedOrigins)) return;
    if (callRpc(path, req, res, requestId)) return;
    if (answerHealth(path, req, res, health)) return;
    offer(http, req, res).then(
      (taken) => {
        if (taken) return;
        if (isStorePath(path) || !answerUnimplemented(path, req, res)) answerNotFound(res);
      },
      (err: unknown) => {
        log.error({ requestId, path, err }, "http handler failed");
        if (res.headersSent) res.destroy();
        else res.writeHead(500, { "content-type": "text/plain" }).end(`internal error (request ${requestId})\n`);
      },
    );
  };

  const http1 = createHttp1(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: 0,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: 1000,
    },
    onRequest,
  );
  const http2 = createHttp2({}, onRequest as never);
  const sessions = new Set<Http2Session>();
  http2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.on("error", (err) => log.debug({ err }, "http2 session failed"));
  });
  http1.on("clientError", (err, socket) => {
    log.debug({ err }, "bad http request");
    if (socket.writable) socket.end(`HTTP/1.1 ${statusOfClientError(err)}\r\nConnection: close\r\n\r\n`);
    else socket.destroy();
  });

  const { server, sockets } = onePort({ http1, http2, headersTimeoutMs });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { port, address, family } = server.address() as AddressInfo;
  const host = family === "IPv6" ? `[${address}]` : address;

  return {
    url: `http://${host}:${port}`,
    port,
    address,
    async drain(timeoutMs) {
      draining = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.close();
      for (const res of inFlight) if (!res.headersSent) closeAfter(res.req, res);
      http1.closeIdleConnections();
      await eventually(() => inFlight.size <= streams.size, timeoutMs);
      streams.endAll();
      shutdown.abort(new ConnectError("the server is shutting down; connect again", Code.Unavailable));
      await eventually(() => inFlight.size === 0, lastWordsMs);
      for (const socket of sockets) socket.destroySoon();
      await eventually(() => sockets.size === 0 && sessions.size === 0, lastWordsMs);
      for (const socket of sockets) socket.destroy();
      for (const session of sessions) session.destroy();
      http1.close();
      http2.close();
      await closed;
    },
  };
}

function pathOf(req: IncomingMessage): string {
  const url = req.url ?? "/";
  const query = url.indexOf("?");
  return query === -1 ? url : url.slice(0, query);
}

async function offer(handlers: readonly HttpHandler[], req: IncomingMessage, res: ServerResponse): Promise<boolean> {
  for (const handler of handlers) if (await handler(req, res)) return true;
  return false;
}

function answerNotFound(res: ServerResponse): void {
  res.writeHead(404, { "content-type": "text/plain" }).end("not found\n");
}

/** HTTP/2 has GOAWAY for this. */
function closeAfter(req: IncomingMessage, res: ServerResponse): void {
  if (req.httpVersionMajor === 1) res.setHeader("connection", "close");
}

/**
 * A refused upload may still be on its way: closing at once would destroy the answer before the client reads it, reading
 * on for ever would be a gift to it. Two seconds are enough to read an answer.
 */
function lingerOnUnread(req: IncomingMessage): void {
  if (req.complete || req.httpVersionMajor !== 1) return;
  const { socket } = req;
  if (socket === null || socket.destroyed) return;
  const timer = globalThis.setTimeout(() => socket.destroy(), 2000);
  req.once("close", () => clearTimeout(timer));
}

function statusOfClientError(err: NodeJS.ErrnoException): string {
  if (err.code === "HPE_HEADER_OVERFLOW") return "431 Request Header Fields Too Large";
  return err.code === "ERR_HTTP_REQUEST_TIMEOUT" ? "408 Request Timeout" : "400 Bad Request";
}

/** Waits until `done()` holds, at most `timeoutMs`. Only a drain looks like this, so looking again and again is cheap. */
async function eventually(done: () => boolean, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!done() && performance.now() < end) await setTimeout(5);
}
