/**
 * Keys as paths of files, one to one on every file system.
 *
 * A folder of keys `a/…` is the directory `a+`, an object `a` is the file `a`, so both can exist. Everything but
 * `a-z 0-9 . _ - = @` is escaped byte by byte (`%c3%a9`, and `!x` for the letter `X`), so that file systems that fold
 * case or normalise Unicode still keep keys apart. A segment is cut every 80 bytes into nested `…%` directories, which
 * keeps names below 255 bytes and, because the cut is at a fixed place, keeps byte order walkable: within a directory
 * every entry covers one contiguous interval of keys. The empty name is written `%`.
 */

/** Bytes of a segment per directory level; three times as many characters at worst, plus a suffix, fit in 255. */
const CUT = 80;

const ENCODED: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  if (/[a-z0-9._=@-]/.test(char)) return char;
  if (/[A-Z]/.test(char)) return `!${char.toLowerCase()}`;
  return `%${byte.toString(16).padStart(2, "0")}`;
});

/** UTF-8 bytes as a string of chars 0–255, so that `<` compares bytes. */
export function toBytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** Back from {@link toBytes}. */
export function fromBytes(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

/** The path of a valid key, relative to its bucket's directory. */
export function keyToPath(key: string): string {
  const parts: string[] = [];
  const segments = toBytes(key).split("/");
  for (const [index, segment] of segments.entries()) {
    let rest = segment;
    for (; rest.length >= CUT; rest = rest.slice(CUT)) parts.push(`${encode(rest.slice(0, CUT))}%`);
    parts.push(index === segments.length - 1 ? encode(rest) : `${encode(rest)}+`);
  }
  return parts.join("/");
}

/** What a directory entry stands for: the bytes it adds to the key so far. */
export interface Entry {
  readonly kind: "object" | "folder";
  readonly bytes: string;
}

/** Reads a directory entry's name back; `undefined` for files that are not ours. */
export function readEntry(name: string, isDirectory: boolean): Entry | undefined {
  if (!isDirectory) return entry("object", name, "");
  if (name.endsWith("+")) return entry("folder", name.slice(0, -1), "/");
  if (name.endsWith("%")) return entry("folder", name.slice(0, -1), "");
  return undefined;
}

function entry(kind: Entry["kind"], name: string, suffix: string): Entry | undefined {
  const bytes = decode(name);
  return bytes === undefined ? undefined : { kind, bytes: bytes + suffix };
}

function encode(bytes: string): string {
  if (bytes === "") return "%";
  // A cut segment may end in dots, which as a file name would be another directory.
  if (bytes === "." || bytes === "..") return bytes.replaceAll(".", "%2e");
  let out = "";
  for (let i = 0; i < bytes.length; i++) out += ENCODED[bytes.charCodeAt(i)];
  return out;
}

function decode(name: string): string | undefined {
  if (name === "%") return "";
  const bytes = name.replace(/!([a-z])|%([0-9a-f]{2})/g, (_, letter: string | undefined, hex: string) =>
    letter === undefined ? String.fromCharCode(Number.parseInt(hex, 16)) : letter.toUpperCase(),
  );
  return bytes !== "" && encode(bytes) === name ? bytes : undefined;
}
