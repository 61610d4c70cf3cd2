/** An object that the schema lets pass and nobody can read. */
import type { z } from "zod";

export class MalformedError extends Error {
  override readonly name = "MalformedError";
}

/** `read`'s result; whatever it throws says where it looked. */
export function reading<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof MalformedError) throw error;
    throw new MalformedError(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

export function shaped<T>(where: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${[where, ...path].join(".")}: ${message}`);
  throw new MalformedError(problems.join("; "));
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** Node takes anything for base64. */
export function bytesOf(where: string, text: string): Uint8Array {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw new MalformedError(`${where}: not base64`);
  return new Uint8Array(bytes);
}
