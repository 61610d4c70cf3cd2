/** Presigned requests to any S3: the signature binds method, key, life and the headers the uploader must send. */
import { GetObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import {
  MAX_SIGNED_SECONDS,
  MAX_UPLOAD_SECONDS,
  type SignDownloadOptions,
  type SignedDownload,
  type SignedUpload,
  type SignUploadOptions,
} from "../object-store.ts";
import { attachment, checkLife } from "../signed-url.ts";

interface Place {
  readonly Bucket: string;
  readonly Key: string;
}

export async function signUpload(
  client: S3Client,
  place: Place,
  { expiresInSeconds, contentMd5, contentType }: SignUploadOptions,
): Promise<SignedUpload> {
  checkLife(expiresInSeconds, MAX_UPLOAD_SECONDS);
  const ContentMD5 = contentMd5 && Buffer.from(contentMd5).toString("base64");
  const headers: Record<string, string> = {
    ...(ContentMD5 !== undefined && { "Content-MD5": ContentMD5 }),
    ...(contentType !== undefined && { "Content-Type": contentType }),
    // Bound to one content a repetition does no harm; without that, the URL must not replace.
    ...(ContentMD5 === undefined && { "If-None-Match": "*" }),
  };
  const command = new PutObjectCommand({
    ...place,
    ...(ContentMD5 === undefined ? { IfNoneMatch: "*" } : { ContentMD5 }),
    ...(contentType !== undefined && { ContentType: contentType }),
  });
  const expiresAt = new Date(Date.now() + expiresInSeconds * 1000);
  const signableHeaders = new Set(["host", ...Object.keys(headers).map((name) => name.toLowerCase())]);
  const url = await getSignedUrl(client, command, { expiresIn: expiresInSeconds, signableHeaders });
  return { url, headers, expiresAt };
}

export async function signDownload(
  client: S3Client,
  place: Place,
  { expiresInSeconds, contentType, fileName }: SignDownloadOptions,
): Promise<SignedDownload> {
  checkLife(expiresInSeconds, MAX_SIGNED_SECONDS);
  const command = new GetObjectCommand({
    ...place,
    ...(contentType !== undefined && { ResponseContentType: contentType }),
    ...(fileName !== undefined && { ResponseContentDisposition: attachment(fileName) }),
  });
  const expiresAt = new Date(Date.now() + expiresInSeconds * 1000);
  return { url: await getSignedUrl(client, command, { expiresIn: expiresInSeconds }), expiresAt };
}
