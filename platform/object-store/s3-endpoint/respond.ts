/** Answers: always with Content-Length, never chunked; bodies are written as fast as the client reads. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { ObjectStream } from "../object-store.ts";
import { S3Error } from "./s3-error.ts";
import { type XmlNode, xmlDocument } from "./xml.ts";

/** Sends headers only. */
export function sendEmpty(res: ServerResponse, status: number, headers: Readonly<Record<string, string>> = {}): void {
  res.writeHead(status, status === 204 || status === 304 ? headers : { "content-length": "0", ...headers });
  res.end();
}

/** Sends an XML document. */
export function sendXml(res: ServerResponse, root: XmlNode, headers: Readonly<Record<string, string>> = {}): void {
  const body = Buffer.from(xmlDocument(root));
  res.writeHead(200, { "content-type": "application/xml", "content-length": String(body.length), ...headers });
  res.end(body);
}

/** Sends an error; without a body when the request was a HEAD. */
export function sendError(res: ServerResponse, method: string, resource: string, error: S3Error): void {
  if (res.headersSent) {
    // Too late for an answer: a cut connection tells the client that the body is not whole.
    res.destroy();
    return;
  }
  if (method === "HEAD") {
    res.writeHead(error.status, error.headers);
    res.end();
    return;
  }
  const body = Buffer.from(
    xmlDocument(
      [
        "Error",
        [
          ["Code", error.code],
          ["Message", error.message],
          ["Resource", resource],
          ["RequestId", String(res.getHeader("x-amz-request-id") ?? "")],
        ],
      ],
      false,
    ),
  );
  res.writeHead(error.status, {
    "content-type": "application/xml",
    "content-length": String(body.length),
    ...error.headers,
  });
  res.end(body);
}

/** Sends an object's bytes, waiting while the client is slow, letting go when it is gone. */
export async function sendStream(
  res: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  stream: ObjectStream,
): Promise<void> {
  const gone = new AbortController();
  const onClose = () => gone.abort();
  res.on("close", onClose);
  try {
    try {
      res.writeHead(status, { ...headers, "content-length": String(stream.end - stream.start) });
    } catch (cause) {
      throw new S3Error(400, "InvalidArgument", "A response-* parameter holds characters no header may have", {
        cause,
      });
    }
    for await (const chunk of stream.body) {
      if (gone.signal.aborted) return;
      if (!res.write(chunk)) await once(res, "drain", { signal: gone.signal });
    }
    res.end();
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  } finally {
    res.off("close", onClose);
    await stream.close();
  }
}
