/** Operations on a bucket: list version 2, delete many, and existence. */
import { ObjectStoreError } from "../errors.ts";
import { MAX_LIST_LIMIT } from "../object-store.ts";
import { objectUri, uriEncodePath } from "../uri.ts";
import { readBody } from "./body.ts";
import type { S3Call } from "./object-routes.ts";
import { sendEmpty, sendXml } from "./respond.ts";
import { invalidArgument, S3Error, toS3Error } from "./s3-error.ts";
import { childElements, childText, parseXml, type XmlNode } from "./xml.ts";

/** A thousand keys of a kibibyte, each byte escaped at worst. */
const MAX_DELETE_BODY = 8 * 1024 * 1024;

export async function headBucket({ res }: S3Call): Promise<void> {
  sendEmpty(res, 200);
}

export async function listObjects({ store, request, res }: S3Call): Promise<void> {
  const bucket = request.bucket;
  const prefix = request.param("prefix") ?? "";
  const delimiter = request.param("delimiter") || undefined;
  const startAfter = request.param("start-after") || undefined;
  const token = request.param("continuation-token");
  const encoding = request.param("encoding-type");
  if (encoding !== undefined && encoding !== "url") throw invalidArgument("encoding-type must be url");
  const maxKeys = readMaxKeys(request.param("max-keys"));
  const after = token === undefined ? startAfter : readToken(token);
  const encode = (text: string) => (encoding === "url" ? uriEncodePath(text) : text);
  const page =
    maxKeys === 0
      ? { objects: [], prefixes: [], next: undefined }
      : await store.list(objectUri(bucket, prefix), {
          limit: maxKeys,
          ...(delimiter !== undefined && { delimiter }),
          ...(after !== undefined && { after: objectUri(bucket, after) }),
        });
  const keyOf = (uri: string) => uri.slice(objectUri(bucket, "").length);
  sendXml(res, [
    "ListBucketResult",
    [
      ["Name", bucket],
      ["Prefix", encode(prefix)],
      ["Delimiter", delimiter && encode(delimiter)],
      ["EncodingType", encoding],
      ["StartAfter", startAfter && encode(startAfter)],
      ["ContinuationToken", token],
      ["MaxKeys", maxKeys],
      ["KeyCount", page.objects.length + page.prefixes.length],
      ["IsTruncated", page.next !== undefined],
      ["NextContinuationToken", page.next && Buffer.from(keyOf(page.next)).toString("base64url")],
      ...page.objects.map(
        (object): XmlNode => [
          "Contents",
          [
            ["Key", encode(keyOf(object.uri))],
            ["LastModified", object.lastModified.toISOString()],
            ["ETag", `"${object.etag}"`],
            ["Size", object.size],
            ["StorageClass", "STANDARD"],
          ],
        ],
      ),
      ...page.prefixes.map((uri): XmlNode => ["CommonPrefixes", [["Prefix", encode(keyOf(uri))]]]),
    ],
  ]);
}

export async function deleteObjects({ store, request, who, res }: S3Call): Promise<void> {
  const document = parseXml(await readBody(request, who, MAX_DELETE_BODY), "Delete");
  const objects = childElements(document, "Object");
  if (objects.length < 1 || objects.length > 1000) {
    throw new S3Error(400, "MalformedXML", "A delete names 1 to 1000 objects");
  }
  const quiet = childText(document, "Quiet")?.trim() === "true";
  const results: XmlNode[] = [];
  for (const object of objects) {
    const key = childText(object, "Key") ?? "";
    try {
      if (childText(object, "VersionId") !== undefined) throw new S3Error(501, "NotImplemented", "No versions here");
      await store.delete([objectUri(request.bucket, key)]);
      if (!quiet) results.push(["Deleted", [["Key", key]]]);
    } catch (error) {
      if (!(error instanceof S3Error || error instanceof ObjectStoreError)) throw error;
      const { code, message } = toS3Error(error);
      results.push([
        "Error",
        [
          ["Key", key],
          ["Code", code],
          ["Message", message],
        ],
      ]);
    }
  }
  sendXml(res, ["DeleteResult", results]);
}

function readMaxKeys(text: string | undefined): number {
  if (text === undefined) return MAX_LIST_LIMIT;
  if (!/^\d{1,9}$/.test(text)) throw invalidArgument("max-keys must be a whole number");
  return Math.min(Number(text), MAX_LIST_LIMIT);
}

function readToken(token: string): string {
  const bytes = Buffer.from(token, "base64url");
  const key = bytes.toString("utf8");
  if (token === "" || bytes.toString("base64url") !== token || !Buffer.from(key).equals(bytes)) {
    throw invalidArgument("The continuation token is not one of this endpoint");
  }
  return key;
}
