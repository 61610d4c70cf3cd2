/**
 * The name of a task specification: SHA-256 of its bytes as they are stored. Equal bytes are stored once, whoever sent
 * them; the same meaning in other bytes is merely stored twice.
 */

import { createHash } from "node:crypto";

export function specDigest(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

/** A digest as a key of a map. */
export function digestKey(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString("hex");
}
