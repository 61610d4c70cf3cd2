/** Reading the AWS client's answers: heads, ETags, ranges and listed keys. */
import type { GetObjectCommandOutput, HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import type { ObjectHead } from "../object-store.ts";

/** A HEAD or GET answer as the port's head. */
export function toHead(answer: HeadObjectCommandOutput | GetObjectCommandOutput): ObjectHead {
  const etag = unquote(answer.ETag);
  // With keys of a key service the ETag is 32 hex digits too, but no MD5.
  const isMd5 = /^[0-9a-f]{32}$/.test(etag) && !answer.ServerSideEncryption?.startsWith("aws:kms");
  return {
    size: answer.ContentLength ?? 0,
    etag,
    lastModified: answer.LastModified ?? new Date(0),
    metadata: answer.Metadata ?? {},
    ...(answer.ContentType !== undefined && { contentType: answer.ContentType }),
    ...(isMd5 && { md5: Buffer.from(etag, "hex") }),
  };
}

/** An ETag without its quotes. */
export function unquote(etag: string | undefined): string {
  return (etag ?? "").replace(/^W\//, "").replaceAll('"', "");
}

/** The whole size in `bytes a-b/size`. */
export function contentRangeSize(header: string | undefined): number | undefined {
  const match = /\/(\d+)$/.exec(header ?? "");
  return match === null ? undefined : Number(match[1]);
}

/** A key of a list, decoded when the server took `encoding-type=url`. */
export function decodeListed(text: string | undefined, encoding: string | undefined): string {
  const key = text ?? "";
  return encoding === "url" ? decodeURIComponent(key.replaceAll("+", " ")) : key;
}
