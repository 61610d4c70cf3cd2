/**
 * MessagePack bytes in one canonical form, so that equal values hash equally whatever the order of their keys.
 *
 * Promise: exactly the bytes that the Python SDK gets from unpacking, sorting all map keys by their packed bytes and
 * packing again (`_canonical_msgpack_bytes`): shortest integers and headers, all floats as 64 bit. Bytes that it could
 * not decode come back unchanged. Cache keys of root and child actions agree because of it, so its oddities are kept:
 * an extension value becomes a list of its code and data, and `1`, `1.0` and `true` are the same key.
 */

export function canonicalMsgpack(bytes: Uint8Array): Uint8Array {
  try {
    const reader: Reader = { bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), pos: 0 };
    const value = canonicalValue(reader, 0);
    return reader.pos === bytes.length ? value : bytes;
  } catch {
    // undecodable is not an error here: the hash is then that of the bytes as they are
    return bytes;
  }
}

interface Reader {
  readonly bytes: Buffer;
  pos: number;
}

/** A decoded scalar, kept as what is needed to write it and to compare it as a key. */
interface Scalar {
  readonly bytes: Buffer;
  /** Keys with equal identities are one key; a list or map has none, it cannot be a key. */
  readonly identity: string;
  /** Extension values only: how they are written when they are not keys. */
  readonly asValue?: Buffer;
}

type Head = { kind: "scalar"; scalar: Scalar } | { kind: "list"; length: number } | { kind: "map"; length: number };

/** Deeper than this, Python's packer gives up, and the original bytes count. */
const MAX_DEPTH = 511;
const NUMBER = "n:";

function canonicalValue(reader: Reader, depth: number): Buffer {
  if (depth > MAX_DEPTH) throw new RangeError("nested too deeply");
  const head = readHead(reader);
  if (head.kind === "scalar") return head.scalar.asValue ?? head.scalar.bytes;
  if (head.kind === "list") {
    const parts = [lengthHead(head.length, 0x90, 0xdc)];
    for (let i = 0; i < head.length; i++) parts.push(canonicalValue(reader, depth + 1));
    return Buffer.concat(parts);
  }
  const entries = new Map<string, { key: Buffer; value: Buffer }>();
  for (let i = 0; i < head.length; i++) {
    const key = readHead(reader);
    if (key.kind !== "scalar") throw new TypeError("a list or map as key");
    const value = canonicalValue(reader, depth + 1);
    const known = entries.get(key.scalar.identity);
    // as in a dict: the first spelling of a key stays, the last value wins
    if (known) known.value = value;
    else entries.set(key.scalar.identity, { key: key.scalar.bytes, value });
  }
  const sorted = [...entries.values()].sort((a, b) => Buffer.compare(a.key, b.key));
  return Buffer.concat([lengthHead(sorted.length, 0x80, 0xde), ...sorted.flatMap(({ key, value }) => [key, value])]);
}

function readHead(reader: Reader): Head {
  const type = take(reader, 1).readUInt8();
  if (type <= 0x7f) return integer(BigInt(type));
  if (type <= 0x8f) return { kind: "map", length: type & 0x0f };
  if (type <= 0x9f) return { kind: "list", length: type & 0x0f };
  if (type <= 0xbf) return text(take(reader, type & 0x1f));
  if (type >= 0xe0) return integer(BigInt(type - 0x100));
  switch (type) {
    case 0xc0:
      return scalar(Buffer.of(type), "nil");
    case 0xc2:
      return scalar(Buffer.of(type), `${NUMBER}0`);
    case 0xc3:
      return scalar(Buffer.of(type), `${NUMBER}1`);
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return binary(take(reader, readLength(reader, type - 0xc4)));
    case 0xc7:
    case 0xc8:
    case 0xc9:
      return extension(reader, readLength(reader, type - 0xc7));
    case 0xca:
      return float(take(reader, 4).readFloatBE());
    case 0xcb:
      return float(take(reader, 8).readDoubleBE());
    case 0xcc:
      return integer(BigInt(take(reader, 1).readUInt8()));
    case 0xcd:
      return integer(BigInt(take(reader, 2).readUInt16BE()));
    case 0xce:
      return integer(BigInt(take(reader, 4).readUInt32BE()));
    case 0xcf:
      return integer(take(reader, 8).readBigUInt64BE());
    case 0xd0:
      return integer(BigInt(take(reader, 1).readInt8()));
    case 0xd1:
      return integer(BigInt(take(reader, 2).readInt16BE()));
    case 0xd2:
      return integer(BigInt(take(reader, 4).readInt32BE()));
    case 0xd3:
      return integer(take(reader, 8).readBigInt64BE());
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return extension(reader, 1 << (type - 0xd4));
    case 0xd9:
    case 0xda:
    case 0xdb:
      return text(take(reader, readLength(reader, type - 0xd9)));
    case 0xdc:
      return { kind: "list", length: readLength(reader, 1) };
    case 0xdd:
      return { kind: "list", length: readLength(reader, 2) };
    case 0xde:
      return { kind: "map", length: readLength(reader, 1) };
    case 0xdf:
      return { kind: "map", length: readLength(reader, 2) };
    default:
      throw new TypeError("0xc1 is no MessagePack type");
  }
}

const scalar = (bytes: Buffer, identity: string): Head => ({ kind: "scalar", scalar: { bytes, identity } });

function integer(value: bigint): Head {
  return scalar(packInteger(value), `${NUMBER}${value}`);
}

function packInteger(value: bigint): Buffer {
  const small = Number(value);
  if (value >= 0n) {
    if (value < 0x80n) return Buffer.of(small);
    if (value <= 0xffn) return Buffer.of(0xcc, small);
    if (value <= 0xffffn) return typed(0xcd, 2, (out) => out.writeUInt16BE(small, 1));
    if (value <= 0xffffffffn) return typed(0xce, 4, (out) => out.writeUInt32BE(small, 1));
    return typed(0xcf, 8, (out) => out.writeBigUInt64BE(value, 1));
  }
  if (value >= -32n) return Buffer.of(small & 0xff);
  if (value >= -0x80n) return typed(0xd0, 1, (out) => out.writeInt8(small, 1));
  if (value >= -0x8000n) return typed(0xd1, 2, (out) => out.writeInt16BE(small, 1));
  if (value >= -0x80000000n) return typed(0xd2, 4, (out) => out.writeInt32BE(small, 1));
  return typed(0xd3, 8, (out) => out.writeBigInt64BE(value, 1));
}

function float(value: number): Head {
  const bytes = typed(0xcb, 8, (out) => out.writeDoubleBE(value, 1));
  return scalar(bytes, Number.isInteger(value) ? `${NUMBER}${BigInt(value)}` : `f:${bytes.toString("hex")}`);
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function text(bytes: Buffer): Head {
  const decoded = strictUtf8.decode(bytes);
  const { length } = bytes;
  const head = length < 32 ? Buffer.of(0xa0 | length) : sized(length, 0xd9);
  return scalar(Buffer.concat([head, bytes]), `s:${decoded}`);
}

function binary(bytes: Buffer): Head {
  return scalar(Buffer.concat([sized(bytes.length, 0xc4), bytes]), `b:${bytes.toString("hex")}`);
}

function extension(reader: Reader, length: number): Head {
  const code = take(reader, 1).readInt8();
  const data = take(reader, length);
  if (code === -1) {
    const bytes = packTimestamp(data);
    return scalar(bytes, `t:${bytes.toString("hex")}`);
  }
  // Python's unpacker refuses other negative codes
  if (code < 0) throw new RangeError("reserved extension code");
  const fixed = [1, 2, 4, 8, 16].indexOf(length);
  const head = fixed < 0 ? sized(length, 0xc7) : Buffer.of(0xd4 + fixed);
  const bytes = Buffer.concat([head, Buffer.of(code), data]);
  const payload = binary(data) as { scalar: Scalar };
  const asValue = Buffer.concat([Buffer.of(0x92), packInteger(BigInt(code)), payload.scalar.bytes]);
  return { kind: "scalar", scalar: { bytes, identity: `e:${bytes.toString("hex")}`, asValue } };
}

function packTimestamp(data: Buffer): Buffer {
  let seconds: bigint;
  let nanos: bigint;
  if (data.length === 4) {
    [seconds, nanos] = [BigInt(data.readUInt32BE()), 0n];
  } else if (data.length === 8) {
    const both = data.readBigUInt64BE();
    [seconds, nanos] = [both & 0x3ffffffffn, both >> 34n];
  } else if (data.length === 12) {
    [seconds, nanos] = [data.readBigInt64BE(4), BigInt(data.readUInt32BE())];
  } else throw new RangeError("a timestamp has 4, 8 or 12 bytes");
  if (nanos >= 1_000_000_000n) throw new RangeError("a timestamp's nanoseconds are below one second");
  if (seconds < 0n || seconds >> 34n !== 0n) {
    const out = Buffer.alloc(15);
    out.set([0xc7, 12, 0xff]);
    out.writeUInt32BE(Number(nanos), 3);
    out.writeBigInt64BE(seconds, 7);
    return out;
  }
  const both = (nanos << 34n) | seconds;
  const short = both <= 0xffffffffn;
  const out = Buffer.alloc(short ? 6 : 10);
  out.set([short ? 0xd6 : 0xd7, 0xff]);
  if (short) out.writeUInt32BE(Number(both), 2);
  else out.writeBigUInt64BE(both, 2);
  return out;
}

/** Header of a list or map: 4 bits in the type byte, else 16 or 32 bit of length. */
function lengthHead(length: number, fixed: number, type16: number): Buffer {
  if (length < 16) return Buffer.of(fixed | length);
  if (length <= 0xffff) return typed(type16, 2, (out) => out.writeUInt16BE(length, 1));
  return typed(type16 + 1, 4, (out) => out.writeUInt32BE(length, 1));
}

/** Header of something with 8, 16 or 32 bit of length, whose types follow each other. */
function sized(length: number, type8: number): Buffer {
  if (length <= 0xff) return Buffer.of(type8, length);
  if (length <= 0xffff) return typed(type8 + 1, 2, (out) => out.writeUInt16BE(length, 1));
  return typed(type8 + 2, 4, (out) => out.writeUInt32BE(length, 1));
}

function typed(type: number, size: number, write: (out: Buffer) => void): Buffer {
  const out = Buffer.alloc(1 + size);
  out[0] = type;
  write(out);
  return out;
}

/** `power` 0, 1 or 2: a length of 1, 2 or 4 bytes. */
function readLength(reader: Reader, power: number): number {
  const size = 1 << power;
  return take(reader, size).readUIntBE(0, size);
}

function take(reader: Reader, size: number): Buffer {
  const end = reader.pos + size;
  if (end > reader.bytes.length) throw new RangeError("cut off");
  const out = reader.bytes.subarray(reader.pos, end);
  reader.pos = end;
  return out;
}
