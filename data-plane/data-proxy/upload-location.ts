/**
 * CreateUploadLocation: a signed URL for one object below `<root>/uploads/<project>/<domain>/`.
 *
 * Promise: an object of another content is never replaced through a name the client chose; without a root the content's
 * own digest is the folder, so equal uploads meet and different ones cannot.
 */
import { randomBytes } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  CreateUploadLocationRequest,
  CreateUploadLocationResponseSchema,
} from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { alreadyExists, invalidArgument, toTimestamp } from "@flyte-ts/core";
import { joinUri, type ObjectStore } from "@flyte-ts/platform/object-store";
import type { ActionDirectory } from "./directory.ts";
import { lifetimeSeconds } from "./lifetime.ts";
import type { DataProxyLimits } from "./limits.ts";
import { requirePath, requireSegment } from "./object-names.ts";
import { fromStore } from "./store-errors.ts";

export interface UploadLocationDeps {
  directory: ActionDirectory;
  objects: ObjectStore;
  limits: DataProxyLimits;
}

export async function createUploadLocation(
  { directory, objects, limits }: UploadLocationDeps,
  request: CreateUploadLocationRequest,
): Promise<MessageInitShape<typeof CreateUploadLocationResponseSchema>> {
  const { contentMd5, contentLength } = request;
  const project = requireSegment("project", request.project);
  const domain = requireSegment("domain", request.domain);
  const filename = request.filename && requireSegment("filename", request.filename);
  const root = request.filenameRoot && requirePath("filename_root", request.filenameRoot);
  if (contentMd5.length !== 0 && contentMd5.length !== 16) {
    throw invalidArgument(`content_md5 has ${contentMd5.length} bytes; send the 16 bytes of an MD5 digest`);
  }
  if (!root && contentMd5.length === 0) {
    throw invalidArgument("neither filename_root nor content_md5 is set; send one of them to name the upload's folder");
  }
  if (contentLength < 0n || contentLength > BigInt(limits.maxUploadBytes)) {
    throw invalidArgument(
      `content_length is ${contentLength}; an upload may have 0 to ${limits.maxUploadBytes} bytes, split larger content`,
    );
  }
  const expiresInSeconds = lifetimeSeconds(request.expiresIn, limits.uploadSeconds, limits.maxUploadSeconds);
  await directory.requireProject(project, domain);

  const uri = joinUri(
    objects.root,
    "uploads",
    project,
    domain,
    root || base32(contentMd5),
    filename || randomBytes(10).toString("hex"),
  );
  if (root && filename) await refuseOtherContent(objects, uri, contentMd5);
  const signed = await fromStore(
    objects.signUpload(uri, { expiresInSeconds, ...(contentMd5.length > 0 && { contentMd5 }) }),
  );
  return {
    signedUrl: signed.url,
    nativeUrl: uri,
    expiresAt: toTimestamp(signed.expiresAt),
    headers: { ...signed.headers },
  };
}

async function refuseOtherContent(objects: ObjectStore, uri: string, contentMd5: Uint8Array): Promise<void> {
  const head = await fromStore(objects.head(uri));
  if (!head) return;
  if (contentMd5.length > 0 && head.md5 && Buffer.compare(head.md5, contentMd5) === 0) return;
  throw alreadyExists(
    contentMd5.length > 0
      ? `${uri} exists already with other content; upload under another filename or filename_root`
      : `${uri} exists already; send content_md5 to upload the same content again, or use another name`,
  );
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** RFC 4648 without padding. */
function base32(bytes: Uint8Array): string {
  let out = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    bits += 8;
    for (; bits >= 5; bits -= 5) out += ALPHABET[(held >> (bits - 5)) & 31];
  }
  return bits > 0 ? out + ALPHABET[(held << (5 - bits)) & 31] : out;
}
