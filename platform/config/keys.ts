/**
 * The keys of the schema as dotted paths (`logs.level`), which name environment variables and flags too, and give an
 * unknown key its nearest neighbour.
 */
import { z } from "zod";

export type KeyKind = "text" | "number" | "boolean" | "list";

/** Every key that holds a value, in the schema's order. */
export function keysOf(schema: z.ZodObject): Map<string, KeyKind> {
  const keys = new Map<string, KeyKind>();
  const visit = (object: z.ZodObject, prefix: string) => {
    for (const [name, field] of Object.entries(object.shape)) {
      const inner = unwrap(field as z.ZodType);
      const path = prefix + name;
      if (inner instanceof z.ZodObject) visit(inner, `${path}.`);
      else keys.set(path, kindOf(inner));
    }
  };
  visit(schema, "");
  return keys;
}

function unwrap(type: z.ZodType): z.ZodType {
  let inner = type;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

function kindOf(type: z.ZodType): KeyKind {
  if (type instanceof z.ZodNumber) return "number";
  if (type instanceof z.ZodBoolean) return "boolean";
  return type instanceof z.ZodArray ? "list" : "text";
}

/** `objectStore.accessKeyId` → `FLYTE_TS_OBJECT_STORE_ACCESS_KEY_ID` */
export function envName(key: string): string {
  return `FLYTE_TS_${key.replaceAll(".", "_").replace(/([a-z])([A-Z])/g, "$1_$2")}`.toUpperCase();
}

/** The known name that takes the fewest edits, if it is near enough to be meant. */
export function nearest(unknown: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(unknown.length / 2)) + 1;
  for (const candidate of known) {
    const edits = distance(unknown.toLowerCase(), candidate.toLowerCase());
    if (edits < least) [best, least] = [candidate, edits];
  }
  return best;
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitute));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
