/**
 * A message as the same bytes every time, whatever order its maps were filled in.
 *
 * Promise: byte for byte what the Python SDK's `SerializeToString(deterministic=True)` gives for the same message: fields
 * by number, map entries by key (see `compareKeys`), unknown fields last. Hashes of both sides agree because of it.
 * Maps must have string keys, as all maps below inputs, outputs and task specs have.
 *
 *     sha256(deterministicBinary(TypedInterfaceSchema, template.interface))
 */
import { type DescField, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

export function deterministicBinary<Desc extends DescMessage>(desc: Desc, message: MessageShape<Desc>): Uint8Array {
  return sortMaps(desc, toBinary(desc, message));
}

/**
 * Rewrites encoded bytes with sorted map entries. It works on bytes, not on message objects, because a JavaScript object
 * cannot keep `"10"` before `"9"`.
 */
function sortMaps(desc: DescMessage, bytes: Uint8Array): Uint8Array {
  const fields = interestingFields(desc);
  if (fields.size === 0) return bytes;
  const reader = new BinaryReader(bytes);
  const writer = new BinaryWriter();
  let copied = 0;
  let map: OpenMap | undefined;
  const flush = () => {
    if (map) writeMap(writer, map);
    map = undefined;
  };
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    const field = wireType === WireType.LengthDelimited ? fields.get(number) : undefined;
    if (map && map.number !== number) flush();
    if (!field) {
      reader.skip(wireType, number);
    } else {
      writer.raw(bytes.subarray(copied, start));
      const inner = reader.bytes();
      copied = reader.pos;
      if (field.fieldKind === "map") {
        map ??= { number, entries: [] };
        map.entries.push(mapEntry(field, inner));
      } else if (field.message) {
        writer.tag(number, WireType.LengthDelimited).bytes(sortMaps(field.message, inner));
      }
    }
  }
  flush();
  writer.raw(bytes.subarray(copied));
  return writer.finish();
}

interface OpenMap {
  number: number;
  entries: { key: Uint8Array; bytes: Uint8Array }[];
}

function writeMap(writer: BinaryWriter, map: OpenMap): void {
  map.entries.sort((a, b) => compareKeys(a.key, b.key));
  for (const entry of map.entries) writer.tag(map.number, WireType.LengthDelimited).bytes(entry.bytes);
}

/**
 * By UTF-8 bytes, but of two keys of which one begins the other the longer one comes first: so sorts upb, the encoder
 * under the Python package.
 */
function compareKeys(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  return Buffer.compare(a.subarray(0, common), b.subarray(0, common)) || b.length - a.length;
}

/** The key of one encoded entry, and the entry with the maps inside its value sorted. */
function mapEntry(field: DescField & { fieldKind: "map" }, bytes: Uint8Array): OpenMap["entries"][number] {
  const reader = new BinaryReader(bytes);
  const writer = new BinaryWriter();
  let key: Uint8Array = new Uint8Array(0);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    if (number === 1) key = reader.bytes();
    else if (number === 2 && field.message) {
      writer.tag(number, WireType.LengthDelimited).bytes(sortMaps(field.message, reader.bytes()));
      continue;
    } else reader.skip(wireType, number);
    writer.raw(bytes.subarray(start, reader.pos));
  }
  return { key, bytes: writer.finish() };
}

const interesting = new WeakMap<DescMessage, ReadonlyMap<number, DescField>>();

/** Maps, and messages that hold one somewhere below: all other fields keep their bytes. */
function interestingFields(desc: DescMessage): ReadonlyMap<number, DescField> {
  const known = interesting.get(desc);
  if (known) return known;
  const found = new Map<number, DescField>();
  for (const field of desc.fields) {
    if (field.fieldKind === "map" || (field.message && holdsMap(field.message, new Set()))) {
      found.set(field.number, field);
    }
  }
  interesting.set(desc, found);
  return found;
}

function holdsMap(desc: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(desc)) return false;
  seen.add(desc);
  return desc.fields.some((field) => field.fieldKind === "map" || (field.message && holdsMap(field.message, seen)));
}
