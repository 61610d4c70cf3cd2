/**
 * The embedded S3 endpoint: an HTTP handler that serves a file store to every S3 client that speaks Signature Version
 * 4, in the operations the Flyte SDK uses (and GET, HEAD, PUT, DELETE for people with other tools).
 *
 * @example
 * const endpoint = s3Endpoint({ store, lookup: (id) => (id === keys.accessKeyId ? keys : undefined) });
 * createServer((req, res) => endpoint.handle(req, res) || sendMyOwn(req, res));
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type FileStore, multipart } from "../file/index.ts";
import { objectUri, parseObjectUri } from "../uri.ts";
import { authenticator, type CredentialLookup } from "./authenticate.ts";
import { deleteObjects, headBucket, listObjects } from "./bucket-routes.ts";
import { multipartRoutes } from "./multipart-routes.ts";
import { copyObject, deleteObject, getObject, headObject, putObject, type S3Call } from "./object-routes.ts";
import { sendError } from "./respond.ts";
import { type Operation, route } from "./route.ts";
import { S3Error, toS3Error } from "./s3-error.ts";
import { parseRequest, splitTarget } from "./s3-request.ts";
import { ALGORITHM } from "./sigv4.ts";

export interface S3EndpointOptions {
  readonly store: FileStore;
  /** Finds the secret of an access key. */
  readonly lookup: CredentialLookup;
  readonly now?: () => Date;
  /** Hears of every answer that is our failure (500, 503, a full disk), for the log. */
  readonly onError?: (failure: { operation: string; uri: string; status: number; error: unknown }) => void;
}

export interface S3Endpoint {
  /** Takes a request that is meant for S3 and answers it; false leaves it untouched for others. */
  handle(req: IncomingMessage, res: ServerResponse): boolean;
  /** Removes uploads in parts that saw no activity for a day. */
  sweepUploads(): Promise<number>;
  /** Stops the hourly sweep; requests in flight go on. */
  close(): void;
}

const DAY_MS = 24 * 3600 * 1000;

export function s3Endpoint(options: S3EndpointOptions): S3Endpoint {
  const { store, lookup, now = () => new Date(), onError } = options;
  const authenticate = authenticator(lookup, now);
  const uploads = multipart(store);
  const parts = multipartRoutes(uploads);
  const operations: Readonly<Record<Operation, (call: S3Call) => Promise<void>>> = {
    putObject,
    copyObject,
    getObject,
    headObject,
    deleteObject,
    headBucket,
    listObjects,
    deleteObjects,
    beginUpload: parts.begin,
    putPart: parts.putPart,
    completeUpload: parts.complete,
    abortUpload: parts.abort,
  };
  const instance = randomBytes(6).toString("hex");
  let requests = 0;
  const sweepUploads = () => uploads.sweep(new Date(now().getTime() - DAY_MS));
  const sweeping = () =>
    void sweepUploads().catch((error: unknown) =>
      onError?.({ operation: "sweepUploads", uri: store.root, status: 500, error }),
    );
  const timer = setInterval(sweeping, 3600 * 1000).unref();
  sweeping();

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    let operation = "authenticate";
    let uri = store.root;
    res.setHeader("x-amz-request-id", `${instance}-${++requests}`);
    try {
      const request = parseRequest(req);
      const who = authenticate(request);
      if (!store.layout.buckets.has(request.bucket)) {
        throw new S3Error(404, "NoSuchBucket", "The bucket does not exist here");
      }
      uri = objectUri(request.bucket, request.key);
      const asked = route(request);
      operation = asked;
      if (request.key !== "") parseObjectUri(uri);
      await operations[asked]({ store, request, who, res, uri });
    } catch (error) {
      const answer = toS3Error(error);
      const ours = (answer.status >= 500 && answer.status !== 501) || answer.code === "InsufficientStorage";
      // A client that went away is no failure of ours.
      if (ours && !req.errored) onError?.({ operation, uri, status: answer.status, error });
      sendError(res, req.method ?? "GET", splitTarget(req.url ?? "/").path, answer);
    } finally {
      // A body that was refused half-way is read to its end: the client hears the answer, and the connection lives on.
      req.resume();
    }
  }

  return {
    handle(req, res) {
      const { path, query } = splitTarget(req.url ?? "/");
      const [, bucket = ""] = path.split("/", 2);
      const signed = req.headers.authorization?.startsWith(ALGORITHM) || /(^|&)X-Amz-Signature=/.test(query);
      if (!signed && !store.layout.buckets.has(bucket)) return false;
      // An answer that cannot even be sent leaves only this.
      serve(req, res).catch(() => res.destroy());
      return true;
    },
    sweepUploads,
    close: () => clearInterval(timer),
  };
}
