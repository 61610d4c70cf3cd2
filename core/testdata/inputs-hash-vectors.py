"""Writes the vectors of inputs-hash.test.ts to stdout, computed by the Python SDK itself.

python core/testdata/inputs-hash-vectors.py > core/testdata/inputs-hash-vectors.json   (flyte 2.12.1)
"""

import asyncio
import base64
import json
import random
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import msgpack
from flyteidl2.core import interface_pb2, literals_pb2, types_pb2
from flyteidl2.task import common_pb2
from google.protobuf import struct_pb2

from flyte._internal.runtime import convert
from flyte._internal.runtime.types_serde import transform_native_to_typed_interface
from flyte.models import NativeInterface

Literal, Scalar, Primitive = literals_pb2.Literal, literals_pb2.Scalar, literals_pb2.Primitive
rnd = random.Random(20)


@dataclass
class Point:
    y: int
    x: float
    label: str = "p"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def text(value: str, hash: str = "") -> Literal:
    return Literal(scalar=Scalar(primitive=Primitive(string_value=value)), hash=hash)


def number(value: int) -> Literal:
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


def packed(data: bytes, tag: str = "msgpack") -> Literal:
    return Literal(scalar=Scalar(binary=literals_pb2.Binary(value=data, tag=tag)))


def inputs(**literals: Literal) -> common_pb2.Inputs:
    return common_pb2.Inputs(literals=[common_pb2.NamedLiteral(name=k, value=v) for k, v in literals.items()])


def generic() -> struct_pb2.Struct:
    s = struct_pb2.Struct()
    s.update({"10": 1, "9": [1.5, None, True], "é": {"z": "1", "a": -0.0, "𝄞": 1, "｡": 2}, "": ""})
    return s


def literal_map(entries: dict) -> Literal:
    return Literal(map=literals_pb2.LiteralMap(literals=entries))


def union(value: Literal) -> Literal:
    simple = types_pb2.LiteralType(simple=types_pb2.STRING, metadata=generic())
    return Literal(scalar=Scalar(union=literals_pb2.Union(value=value, type=simple)))


def native(interface: NativeInterface, **kwargs):
    proto = asyncio.run(convert.convert_from_native_to_inputs(interface, **kwargs)).proto_inputs
    return proto, transform_native_to_typed_interface(interface)


def random_value(depth: int):
    kind = rnd.randrange(9 if depth else 7)
    if kind == 0:
        return rnd.choice([None, True, False])
    if kind == 1:
        return rnd.choice([0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63, 2**64 - 1])
    if kind == 2:
        return rnd.choice([-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)])
    if kind == 3:
        return rnd.choice([0.0, -0.0, 1.5, 1e300, float("inf"), rnd.random()])
    if kind == 4:
        return "".join(rnd.choice("aZ9é｡𝄞") for _ in range(rnd.choice([0, 1, 5, 31, 32, 300])))
    if kind == 5:
        return bytes(rnd.randrange(256) for _ in range(rnd.choice([0, 1, 20, 256])))
    if kind == 6:
        return msgpack.Timestamp(rnd.choice([0, 5, 2**33, 2**34, -1]), rnd.choice([0, 1, 999_999_999]))
    if kind == 7:
        return [random_value(depth - 1) for _ in range(rnd.choice([0, 1, 3, 17]))]
    return {random_key(): random_value(depth - 1) for _ in range(rnd.choice([0, 2, 5, 20]))}


def random_key():
    while True:
        key = random_value(0)
        if not isinstance(key, float) or key == key:
            return key


def cases():
    empty = interface_pb2.TypedInterface()
    plain = NativeInterface.from_types(
        {"b": (int, 3), "a": (str, "x"), "p": (Point, Point(1, 2.0))},
        {"o0": int},
    )
    yield "types: scalars and a dataclass", *native(plain, b=4, a="né", p=Point(y=1, x=-0.5)), []
    yield "types: defaults", *native(plain), []
    yield "types: one ignored", *native(plain, b=4), ["a"]
    yield "types: all ignored", *native(plain), ["a", "b", "p"]
    many = NativeInterface.from_types(
        {
            "f": (float, 0.0),
            "flag": (bool, False),
            "when": (datetime, datetime(2024, 2, 3, 4, 5, 6, 789000, tzinfo=timezone.utc)),
            "span": (timedelta, timedelta(days=-1, microseconds=7)),
            "items": (list[int], [3, 1, 2]),
            "by_name": (dict[str, int], {"10": 1, "9": 2, "é": 3}),
            "maybe": (int | None, None),
            "nested": (dict[str, list[str]], {"b": [], "a": ["x"]}),
            "untyped": (dict, {"z": 1, "a": {"y": [1, {"q": 1, "b": 2}], "x": None}}),
        },
        {"o0": list[Point], "o1": dict[str, float]},
    )
    yield "types: many", *native(many), []
    yield "types: many, other values", *native(many, f=-0.0, flag=True, items=[], maybe=7, by_name={}), ["flag"]
    yield "none at all", common_pb2.Inputs(), empty, []
    yield "context does not count", common_pb2.Inputs(
        literals=inputs(x=number(1)).literals, context=[literals_pb2.KeyValuePair(key="k", value="v")]
    ), empty, []
    yield "order counts", inputs(b=number(1), a=number(2)), empty, []
    yield "content hash", inputs(x=text("s3://one", hash="abc"), y=number(0)), empty, []
    yield "content hash, elsewhere", inputs(x=text("s3://two", hash="abc"), y=number(0)), empty, []
    deep = Literal(
        collection=literals_pb2.LiteralCollection(
            literals=[text("a", hash="h1"), literal_map({"10": text("b"), "1": text("d"), "9": text("c", hash="h2"), "𝄞": number(1), "｡": number(2)})]
        )
    )
    yield "content hashes inside lists and maps", inputs(x=deep), empty, []
    yield "content hash inside a union is bytes", inputs(x=union(text("a", hash="h1"))), empty, []
    yield "map inside a union", inputs(x=union(literal_map({"b": number(1), "a": number(2), "10": number(3), "9": number(4)}))), empty, []
    yield "generic and metadata", inputs(
        x=Literal(scalar=Scalar(generic=generic()), metadata={"z": "1", "a": "2", "10": "3", "9": "4", "ab": "5", "abc": "6", "": "7", "b": "8"})
    ), empty, []
    yield "empty literal", common_pb2.Inputs(literals=[common_pb2.NamedLiteral(name="x")]), empty, []
    yield "unnamed and none", inputs(**{"": Literal(scalar=Scalar(none_type=literals_pb2.Void()))}), empty, []
    yield "offloaded", inputs(
        x=Literal(offloaded_metadata=literals_pb2.LiteralOffloadedMetadata(uri="s3://b/k", size_bytes=2**40))
    ), empty, []
    yield "msgpack of other tag", inputs(x=packed(msgpack.packb({"b": 1, "a": 2}), tag="json")), empty, []
    yield "msgpack in other order", inputs(x=packed(msgpack.packb({"b": 1, "a": 2}))), empty, []
    yield "msgpack in union is bytes", inputs(x=union(packed(msgpack.packb({"b": 1, "a": 2})))), empty, []
    unknown = literals_pb2.Literal()
    unknown.ParseFromString(text("u").SerializeToString() + b"\xfa\x07\x03new")
    yield "unknown fields", inputs(x=unknown), empty, []


def msgpack_cases():
    yield b""
    yield b"\xc1"
    yield b"\x01\x02"
    yield b"\xa2a"
    yield b"\xa2\xff\xfe"
    yield b"\xa3\xef\xbb\xbf"
    yield b"\xa3\xed\xa0\x80"
    yield b"\x82\x01\xa1x\xcb\x3f\xf0\0\0\0\0\0\0\xa1y"
    yield b"\x82\xc3\xa1x\x01\xa1y"
    yield b"\x82\x90\x01\x02\x03"
    yield b"\x81\xd6\x05abcd\xd6\x05abcd"
    yield b"\xd6\xfeabcd"
    yield b"\xd5\xffab"
    yield b"\xd7\xff\xff\xff\xff\xff\0\0\0\1"
    yield b"\xc7\x03\x7fabc"
    yield b"\xc7\x10\x07" + b"x" * 16
    yield b"\xca\x3f\xc0\0\0"
    yield b"\xd3\0\0\0\0\0\0\0\x01"
    yield b"\xdd\0\0\0\x01\xdf\0\0\0\x02\xda\0\x01b\xc6\0\0\0\x01x\xdb\0\0\0\x01a\xc0"
    for _ in range(60):
        yield msgpack.packb(random_value(3))


def main():
    vectors = []
    for index, (name, proto, interface, ignored) in enumerate(cases()):
        version = f"v{index}"
        key = convert.generate_cache_key_hash(
            "env.task", convert.generate_inputs_hash_from_proto(proto), interface, version, ignored, proto
        )
        vectors.append(
            {
                "name": name,
                "inputs": b64(proto.SerializeToString(deterministic=True)),
                "interface": b64(interface.SerializeToString(deterministic=True)),
                "ignored": ignored,
                "hash": convert.generate_filtered_inputs_hash(proto, ignored),
                "version": version,
                "cacheKey": key,
            }
        )
    packs = [{"bytes": b64(b), "canonical": b64(convert._canonical_msgpack_bytes(b))} for b in msgpack_cases()]
    json.dump({"inputs": vectors, "msgpack": packs}, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


main()
