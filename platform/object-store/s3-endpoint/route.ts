/**
 * Which operation a request asks for. What is not served is refused by name: an unknown sub-resource or option that is
 * silently ignored would store or answer something else than the client has asked for.
 */
import { notImplemented } from "./s3-error.ts";
import type { S3Request } from "./s3-request.ts";

export type Operation =
  | "putObject"
  | "copyObject"
  | "getObject"
  | "headObject"
  | "deleteObject"
  | "headBucket"
  | "listObjects"
  | "deleteObjects"
  | "beginUpload"
  | "putPart"
  | "completeUpload"
  | "abortUpload";

/** Query parameters of each operation, besides those of a signature. */
const PARAMETERS: Readonly<Record<Operation, readonly string[]>> = {
  putObject: ["flyte-upload"],
  copyObject: [],
  getObject: responseParameters(),
  headObject: responseParameters(),
  deleteObject: [],
  headBucket: [],
  listObjects: [
    "list-type",
    "prefix",
    "delimiter",
    "continuation-token",
    "start-after",
    "max-keys",
    "encoding-type",
    "fetch-owner",
  ],
  deleteObjects: ["delete"],
  beginUpload: ["uploads"],
  putPart: ["partNumber", "uploadId"],
  completeUpload: ["uploadId"],
  abortUpload: ["uploadId"],
};

const SIGNATURE_PARAMETERS = /^X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature|Content-Sha256)$/;
/** The AWS clients name the operation in it; it changes nothing. */
const HARMLESS_PARAMETERS = new Set(["x-id"]);
const HEADERS =
  /^x-amz-(content-sha256|date|user-agent|meta-.+|checksum-.+|sdk-checksum-algorithm|copy-source|metadata-directive)$/;

/** Decides the operation; throws NotImplemented for everything else. */
export function route(request: S3Request): Operation {
  const operation = pick(request);
  for (const [name] of request.query) {
    if (SIGNATURE_PARAMETERS.test(name) || HARMLESS_PARAMETERS.has(name)) continue;
    // The presigner of AWS moves these headers into the query; they only say how an answer may be checked.
    if (/^x-amz-(checksum-mode|sdk-checksum-algorithm)$/.test(name)) continue;
    if (!PARAMETERS[operation].includes(name)) throw notImplemented(`The parameter ${name} of ${operation}`);
  }
  for (const name of request.headerNames) {
    if (name.startsWith("x-amz-") && !HEADERS.test(name)) throw notImplemented(`The header ${name}`);
  }
  return operation;
}

function pick(request: S3Request): Operation {
  const { method } = request;
  const has = (name: string) => request.param(name) !== undefined;
  if (request.key === "") {
    if (method === "HEAD") return "headBucket";
    if (method === "GET" && request.param("list-type") === "2") return "listObjects";
    if (method === "POST" && has("delete")) return "deleteObjects";
    throw notImplemented(`${method} of a bucket in this form`);
  }
  switch (method) {
    case "GET":
      return "getObject";
    case "HEAD":
      return "headObject";
    case "PUT":
      if (has("uploadId")) {
        if (request.header("x-amz-copy-source") !== undefined) throw notImplemented("Copying into a part");
        return "putPart";
      }
      return request.header("x-amz-copy-source") === undefined ? "putObject" : "copyObject";
    case "POST":
      if (has("uploads")) return "beginUpload";
      if (has("uploadId")) return "completeUpload";
      break;
    case "DELETE":
      return has("uploadId") ? "abortUpload" : "deleteObject";
  }
  throw notImplemented(`${method} of an object in this form`);
}

function responseParameters(): string[] {
  return ["content-type", "content-disposition", "content-language", "cache-control", "expires"].map(
    (name) => `response-${name}`,
  );
}
