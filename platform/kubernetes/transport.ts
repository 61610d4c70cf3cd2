/**
 * Requests over kept connections: HTTP/1.1, one connection a request at a time, no compression (an API server on the
 * same network is faster without). Watches have connections of their own, so that they never use up those of calls.
 */
import http from "node:http";
import https from "node:https";
import type { Connection, Credentials } from "./kubeconfig.ts";

export interface WireRequest {
  method: string;
  /** With its query. */
  path: string;
  headers: Readonly<Record<string, string | string[]>>;
  body?: string;
  credentials: Credentials;
  signal?: AbortSignal;
  /** A watch or a log that is followed. */
  long?: boolean;
  /** Until the answer's head is there. */
  timeoutMs: number;
}

export interface Transport {
  /** Resolves with the head of the answer, whatever its status. */
  send(request: WireRequest): Promise<http.IncomingMessage>;
  close(): void;
}

/** Shorter than the API server's own 90 s, so that it is us who end an idle connection. */
const idleConnectionMs = 45_000;
/** The system finds out about a peer that vanished. */
const probeMs = 15_000;

export function transport(connection: Connection, options: { maxSockets: number }): Transport {
  const { server, tls } = connection;
  const secure = server.protocol === "https:";
  const kept = { keepAlive: true, keepAliveMsecs: probeMs, timeout: idleConnectionMs, scheduling: "lifo" as const };
  const agent = (maxSockets: number) =>
    secure ? new https.Agent({ ...kept, maxSockets, ...tls }) : new http.Agent({ ...kept, maxSockets });
  const calls = agent(options.maxSockets);
  const streams = agent(Number.POSITIVE_INFINITY);
  const base = server.pathname.replace(/\/$/, "");
  const host = server.hostname.replace(/^\[|\]$/g, "");
  const port = server.port || (secure ? "443" : "80");

  return {
    send({ method, path, headers, body, credentials: { token, cert, key }, signal, long, timeoutMs }) {
      return new Promise((resolve, reject) => {
        const request = (secure ? https : http).request({
          agent: long ? streams : calls,
          host,
          port,
          method,
          path: base + path,
          headers: {
            ...connection.headers,
            ...headers,
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }),
          },
          ...(secure && cert !== undefined && key !== undefined ? { cert, key } : {}),
          ...(signal ? { signal } : {}),
        });
        const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
        request.once("close", () => clearTimeout(timer));
        request.on("error", reject);
        request.once("response", (answer) => {
          if (long) clearTimeout(timer);
          resolve(answer);
        });
        request.end(body);
      });
    },
    close() {
      calls.destroy();
      streams.destroy();
    },
  };
}

export async function readText(answer: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
