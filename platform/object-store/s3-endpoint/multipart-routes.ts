/** Operations of an upload in parts: begin, put a part, complete, abort. */
import type { Multipart, PartRef } from "../file/index.ts";
import { incomingBody, readBody } from "./body.ts";
import { ifNoneMatch, type S3Call, storedHeaders } from "./object-routes.ts";
import { sendEmpty, sendXml } from "./respond.ts";
import { invalidArgument, S3Error } from "./s3-error.ts";
import { childElements, childText, parseXml } from "./xml.ts";

/** Ten thousand parts with their ETags. */
const MAX_COMPLETE_BODY = 4 * 1024 * 1024;
const MAX_PARTS = 10_000;

export function multipartRoutes(uploads: Multipart) {
  return {
    async begin({ request, res, uri }: S3Call): Promise<void> {
      const id = await uploads.begin({ uri, ...storedHeaders(request) });
      sendXml(res, [
        "InitiateMultipartUploadResult",
        [
          ["Bucket", request.bucket],
          ["Key", request.key],
          ["UploadId", id],
        ],
      ]);
    },

    async putPart({ request, who, res, uri }: S3Call): Promise<void> {
      const number = readPartNumber(request.param("partNumber") ?? "");
      const body = incomingBody(request, who);
      const { etag } = await uploads.putPart(uri, request.param("uploadId") ?? "", number, body.bytes, {
        etag: body.etag,
        ...(body.contentMd5 !== undefined && { contentMd5: body.contentMd5 }),
      });
      sendEmpty(res, 200, { etag: `"${etag}"` });
    },

    async complete({ request, who, res, uri }: S3Call): Promise<void> {
      const document = parseXml(await readBody(request, who, MAX_COMPLETE_BODY), "CompleteMultipartUpload");
      const parts = childElements(document, "Part").map((part): PartRef => {
        const etag = (childText(part, "ETag") ?? "").trim().replaceAll('"', "");
        return { number: readPartNumber((childText(part, "PartNumber") ?? "").trim()), etag };
      });
      if (parts.length === 0) throw new S3Error(400, "MalformedXML", "A completion names at least one part");
      if (parts.some((part, i) => i > 0 && part.number <= (parts[i - 1] as PartRef).number)) {
        throw new S3Error(400, "InvalidPartOrder", "Parts must be named in ascending order, each once");
      }
      const { etag } = await uploads.complete(uri, request.param("uploadId") ?? "", parts, {
        ifAbsent: ifNoneMatch(request),
      });
      sendXml(res, [
        "CompleteMultipartUploadResult",
        [
          ["Location", request.rawPath],
          ["Bucket", request.bucket],
          ["Key", request.key],
          ["ETag", `"${etag}"`],
        ],
      ]);
    },

    async abort({ request, res, uri }: S3Call): Promise<void> {
      await uploads.abort(uri, request.param("uploadId") ?? "");
      sendEmpty(res, 204);
    },
  };
}

function readPartNumber(text: string): number {
  const number = Number(text);
  if (/^\d{1,5}$/.test(text) && number >= 1 && number <= MAX_PARTS) return number;
  throw invalidArgument(`partNumber must be between 1 and ${MAX_PARTS}`);
}
