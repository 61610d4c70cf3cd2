/**
 * One TCP port for HTTP/1.1 and HTTP/2 without TLS: look at the first bytes, then hand the socket over.
 *
 * Promise: a socket that sends nothing, or half a preface, is closed after `headersTimeoutMs`; a socket that breaks
 * before it is handed over is forgotten silently. TCP keep-alive is on, so streams may be silent for hours and dead
 * peers are still noticed.
 */
import type { Server as Http1Server } from "node:http";
import type { Http2Server } from "node:http2";
import * as net from "node:net";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export interface OnePortOptions {
  http1: Http1Server;
  http2: Http2Server;
  headersTimeoutMs: number;
}

export interface OnePort {
  readonly server: net.Server;
  /** Open connections but those of HTTP/2, which belong to their sessions. */
  readonly sockets: ReadonlySet<net.Socket>;
}

export function onePort({ http1, http2, headersTimeoutMs }: OnePortOptions): OnePort {
  const sockets = new Set<net.Socket>();
  // an http.Server bounds slow headers only once it believes it listens
  http1.emit("listening");
  const server = net.createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    sniff(socket, headersTimeoutMs, (isHttp2) => {
      if (isHttp2) sockets.delete(socket);
      (isHttp2 ? http2 : http1).emit("connection", socket);
    });
  });
  return { server, sockets };
}

function sniff(socket: net.Socket, timeoutMs: number, handOver: (isHttp2: boolean) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const drop = () => socket.destroy();
  const timer = setTimeout(drop, timeoutMs);
  const stop = () => clearTimeout(timer);
  const onData = (chunk: Buffer) => {
    seen = seen.byteLength === 0 ? chunk : Buffer.concat([seen, chunk]);
    const compared = Math.min(seen.byteLength, preface.byteLength);
    const matches = seen.subarray(0, compared).equals(preface.subarray(0, compared));
    if (matches && compared < preface.byteLength) return;
    stop();
    socket.off("data", onData).off("error", drop).off("end", drop).off("close", stop);
    socket.pause();
    socket.unshift(seen);
    handOver(matches);
    // both servers read a socket that flows; HTTP/2 has taken it over by then and must not be touched
    if (!matches) socket.resume();
  };
  socket.on("data", onData).on("error", drop).on("end", drop).on("close", stop);
}
