/** How long a signed URL lives: what was asked for, a default when nothing was, and never more than the cap. */
import type { Duration } from "@bufbuild/protobuf/wkt";
import { invalidArgument, toMs } from "@flyte-ts/core";

export function lifetimeSeconds(asked: Duration | undefined, otherwise: number, cap: number): number {
  const seconds = toMs(asked) / 1000;
  if (seconds < 0)
    throw invalidArgument(`expires_in is ${seconds} s; send a positive duration, or none for ${otherwise} s`);
  if (seconds === 0) return Math.min(otherwise, cap);
  return Math.min(Math.ceil(seconds), cap);
}
