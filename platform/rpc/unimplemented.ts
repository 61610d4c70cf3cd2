/**
 * The answer to a method this server does not have, in the caller's own protocol, so that clients (which branch on
 * `unimplemented`) never see a bare 404.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Code } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";

const methodPath = /^\/[A-Za-z_][\w.]*\/[A-Za-z_]\w*$/;
const rpcType =
  /^(?:(application\/connect\+(?:proto|json))|(application\/grpc(?:-web)?(?:-text)?(?:\+\w+)?)|application\/(?:proto|json))(?:;|$)/i;

/** Answers and says true if the request is an RPC of any of the three protocols. */
export function answerUnimplemented(path: string, req: IncomingMessage, res: ServerResponse): boolean {
  const type = req.headers["content-type"] ?? "";
  const kind = rpcType.exec(type);
  if (req.method !== "POST" || kind === null || !methodPath.test(path)) return false;
  const message = `${path.slice(1)} is not served here`;
  if (kind[1] !== undefined) {
    res.writeHead(200, { "content-type": kind[1] }).end(endStream(message));
  } else if (kind[2] !== undefined) {
    // trailers-only answer: legal over HTTP/1.1 too, where gRPC-Web clients read it from the headers
    res.writeHead(200, { "content-type": kind[2], "grpc-status": String(Code.Unimplemented), "grpc-message": message });
    res.end();
  } else {
    res.writeHead(501, { "content-type": "application/json" });
    res.end(JSON.stringify({ code: codeToString(Code.Unimplemented), message }));
  }
  return true;
}

function endStream(message: string): Buffer {
  const body = Buffer.from(JSON.stringify({ error: { code: codeToString(Code.Unimplemented), message } }));
  const head = Buffer.alloc(5);
  head[0] = 2;
  head.writeUInt32BE(body.byteLength, 1);
  return Buffer.concat([head, body]);
}
