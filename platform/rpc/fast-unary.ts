/**
 * The short path for what official clients send almost always: a unary Connect POST of binary protobuf.
 *
 * It calls the same implementations with the same semantics (limits, interceptors, validation, errors, ids, metrics) as
 * connect-node's universal handler, which takes the other protocols and encodings, at about a third of its CPU: no
 * web streams, no copied Headers, no AbortController unless a handler asks. The malformed-wire tests run against both.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type DescMethodUnary, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { type RpcLog, toConnectError } from "./error-mapping.ts";
import { gunzipLater, gunzipNow, gzip } from "./gzip.ts";
import { codeName, type RpcMetrics } from "./metrics.ts";
import type { UnaryMethod } from "./recorded-router.ts";
import { UnaryContext } from "./unary-context.ts";
import { messageOf, throughInterceptors } from "./unary-interceptors.ts";
import type { Validate } from "./validation.ts";

export interface FastUnaryOptions {
  interceptors: readonly Interceptor[];
  validate: Validate;
  readMaxBytes: number;
  /** Smaller answers are not worth compressing. */
  compressMinBytes: number;
  shutdown: AbortSignal;
  log: RpcLog;
  metrics: RpcMetrics | undefined;
}

export function isFastUnary(req: IncomingMessage): boolean {
  return req.method === "POST" && req.headers["content-type"] === "application/proto";
}

export type ServeUnary = (unary: UnaryMethod, req: IncomingMessage, res: ServerResponse, requestId: string) => void;

export function fastUnary(options: FastUnaryOptions): ServeUnary {
  const { validate, readMaxBytes, compressMinBytes, shutdown, log, metrics } = options;
  const interceptors = [...options.interceptors].reverse();

  const call = async (unary: UnaryMethod, bytes: Uint8Array, context: UnaryContext): Promise<Uint8Array> => {
    const input = decode(unary.method, bytes);
    if (interceptors.length === 0) {
      validate(unary.method.input, input);
      return encode(unary.method, await unary.call(input, context));
    }
    return encode(unary.method, await throughInterceptors(unary, input, context, interceptors, validate));
  };

  const serve = async (unary: UnaryMethod, req: IncomingMessage, res: ServerResponse, requestId: string) => {
    const begun = performance.now();
    let context: UnaryContext | undefined;
    let code: Code | undefined;
    try {
      const inflated = inflate(req, await readBody(req, readMaxBytes), readMaxBytes);
      const bytes = inflated instanceof Uint8Array ? inflated : await inflated;
      context = new UnaryContext({ req, res, method: unary.method, requestId, deadlineMs: deadlineOf(req), shutdown });
      const answer = await call(unary, bytes, context);
      for (const [key, value] of context.writtenHeaders()) res.setHeader(key, value);
      await reply(req, res, answer, compressMinBytes);
    } catch (thrown) {
      const error = toConnectError(thrown, { requestId, method: unary.name, signal: context?.askedSignal, log });
      code = error.code;
      for (const [key, value] of context?.writtenHeaders() ?? []) res.setHeader(key, value);
      error.metadata.forEach((value, key) => {
        res.setHeader(key, value);
      });
      const body = errorToJsonBytes(error, undefined);
      res.writeHead(codeToHttpStatus(error.code), {
        "content-type": "application/json",
        "content-length": body.byteLength,
      });
      res.end(body);
    } finally {
      context?.close();
      metrics?.handled(unary.name, codeName(code), (performance.now() - begun) / 1000);
    }
  };
  return (unary, req, res, requestId) => {
    serve(unary, req, res, requestId).catch((err: unknown) => {
      log.error({ requestId, method: unary.name, err }, "rpc failed: the answer could not be written");
      res.destroy();
    });
  };
}

function readBody(req: IncomingMessage, readMaxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const tooLarge = () =>
      reject(new ConnectError(`message is larger than the limit of ${readMaxBytes} bytes`, Code.ResourceExhausted));
    if (Number(req.headers["content-length"] ?? 0) > readMaxBytes) return tooLarge();
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer) => {
      size += chunk.byteLength;
      chunks.push(chunk);
      if (size <= readMaxBytes) return;
      // what still comes is thrown away by the server, see lingerOnUnread
      req.off("data", onData);
      req.resume();
      tooLarge();
    };
    req.on("data", onData);
    req.once("end", () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    const gone = () => reject(new ConnectError("the caller went away before its request was complete", Code.Canceled));
    req.once("error", gone);
    req.once("close", () => {
      if (!req.complete) gone();
    });
  });
}

function inflate(req: IncomingMessage, body: Uint8Array, readMaxBytes: number): Uint8Array | Promise<Uint8Array> {
  const encoding = req.headers["content-encoding"];
  if (encoding === undefined || encoding === "identity") return body;
  if (encoding === "gzip") return gunzipNow(body, readMaxBytes) ?? gunzipLater(body, readMaxBytes);
  throw new ConnectError(`unknown compression "${encoding}": supported encodings are gzip`, Code.Unimplemented, {
    "accept-encoding": "gzip",
  });
}

function deadlineOf(req: IncomingMessage): number | undefined {
  const value = req.headers["connect-timeout-ms"];
  if (value === undefined) return undefined;
  if (typeof value !== "string" || !/^\d{1,10}$/.test(value)) {
    throw new ConnectError(
      `invalid connect-timeout-ms ${JSON.stringify(value)}: want milliseconds`,
      Code.InvalidArgument,
    );
  }
  return Number(value);
}

function decode(method: DescMethodUnary, bytes: Uint8Array): Message {
  try {
    return fromBinary(method.input, bytes);
  } catch (cause) {
    throw new ConnectError(`parse binary: ${(cause as Error).message}`, Code.InvalidArgument);
  }
}

function encode(method: DescMethodUnary, output: object): Uint8Array {
  return toBinary(method.output, messageOf(method, output));
}

const oneWriteBytes = 4096;

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

async function reply(req: IncomingMessage, res: ServerResponse, answer: Uint8Array, compressMinBytes: number) {
  let body = answer;
  if (body.byteLength >= compressMinBytes && /\bgzip\b/.test(String(req.headers["accept-encoding"] ?? ""))) {
    body = await gzip.compress(answer);
    res.setHeader("content-encoding", "gzip");
  }
  res.writeHead(200, { "content-type": "application/proto", "content-length": body.byteLength });
  if (body.byteLength === 0) res.end();
  // one write of head and body together: as text Node joins them, as bytes it makes a vector of them
  else if (body.byteLength < oneWriteBytes) res.end(latin1(body), "latin1");
  else res.end(body);
}
