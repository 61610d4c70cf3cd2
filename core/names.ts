/** Name rules of the wire (DNS-1035 labels) and the names that the server makes itself. */
import { randomBytes } from "node:crypto";

/** The root action of every run. */
export const ROOT_ACTION = "a0";

const label = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;

/** A run name: DNS-1035 label of at most 30 characters. */
export function isRunName(name: string): boolean {
  return name.length >= 1 && name.length <= 30 && label.test(name);
}

/** `r` and 19 random characters of base 36, as upstream makes them. */
export function newRunName(): string {
  const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz";
  let name = "r";
  for (const byte of randomBytes(32)) {
    // 252 is the largest multiple of 36 in a byte; above it the choice would be uneven.
    if (byte < 252) name += alphabet[byte % 36];
    if (name.length === 20) return name;
  }
  return name.length > 10 ? name : newRunName();
}
