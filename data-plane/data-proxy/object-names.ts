/**
 * Names that clients choose and that become parts of object keys.
 *
 * Promise: a name that passes can be joined to a key and still lies below it: no empty, `.` or `..` segment, no control
 * character. Everything else a file can be called (spaces, any script, `%2e`) is fine, it is never decoded.
 */
import { invalidArgument } from "@flyte-ts/core";

const MAX_NAME_BYTES = 255;
const CONTROL = /\p{Cc}/u;

/** One segment, such as a project or a file's name. */
export function requireSegment(what: string, name: string): string {
  const reason = whyNoSegment(name);
  if (reason !== undefined) throw invalidArgument(`${what} ${JSON.stringify(name)} cannot be used: ${reason}`);
  return name;
}

/** Segments divided by single slashes, such as the common root of an uploaded folder. */
export function requirePath(what: string, path: string): string {
  for (const segment of path.split("/")) {
    const reason = whyNoSegment(segment);
    if (reason !== undefined) throw invalidArgument(`${what} ${JSON.stringify(path)} cannot be used: ${reason}`);
  }
  return path;
}

function whyNoSegment(name: string): string | undefined {
  if (name === "") return "a part of it is empty";
  if (name === "." || name === "..") return `it may not lead to another folder by ${JSON.stringify(name)}`;
  if (/[/\\]/.test(name)) return "it may not hold slashes or backslashes";
  if (CONTROL.test(name)) return "it holds a control character";
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `it is longer than ${MAX_NAME_BYTES} bytes`;
  return undefined;
}
