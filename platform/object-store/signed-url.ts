/** What all signers of URLs share: how long a URL may live, and how a download is named. */
import { uriEncode } from "./uri.ts";

/** A Content-Disposition that saves under any name. */
export function attachment(fileName: string): string {
  const ascii = fileName.replace(/[^\x20-\x7e]|["\\/]/g, "_");
  return `attachment; filename="${ascii}"; filename*=UTF-8''${uriEncode(fileName.toWellFormed())}`;
}

/** Refuses lives that are not whole seconds between 1 and `most`. */
export function checkLife(seconds: number, most: number): void {
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= most) return;
  throw new RangeError(`a signed URL lives 1 to ${most} whole seconds, not ${seconds}`);
}
