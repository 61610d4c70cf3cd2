"""Tasks that call tasks: fan-out, maps, groups, names, context, types, errors."""
import asyncio
import enum
import logging
import os
from dataclasses import dataclass
from datetime import datetime, timedelta

import flyte
import flyte.errors

env = flyte.TaskEnvironment(name="basics")
log = logging.getLogger(__name__)


@env.task
async def square(n: int) -> int:
    return n * n


@env.task
def label(n: int, word: str = "item") -> str:
    return f"{word} {n}"


@env.task
async def nothing() -> None:
    print("did nothing")


@env.task
async def fan_out(n: int) -> int:
    with flyte.group("squares"):
        squares = await asyncio.gather(*(square(i) for i in range(n)))
    await nothing()
    return sum(squares)


@env.task
def sync_parent(n: int) -> list[str]:
    return list(flyte.map(label, range(n)))


@env.task
async def names_and_context(x: int) -> list[str]:
    first = await show.override(short_name="coloured", env_vars={"COLOUR": "green"})("COLOUR")
    with flyte.custom_context(origin="parent"):
        second = await origin()
    return [first, second, str(await square(x))]


@env.task
async def show(variable: str) -> str:
    return os.environ.get(variable, "(unset)")


@env.task
async def origin() -> str:
    return flyte.ctx().custom_context["origin"]


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Box:
    name: str
    sides: list[float]
    colour: Colour
    inner: dict[str, int]


@env.task
async def open_box(box: Box, when: datetime, life: timedelta, extra: int | str | None) -> Box:
    return Box(f"{box.name}, {when.isoformat()}, {life.total_seconds()}, {extra!r}", [*box.sides, 0.5], Colour.GREEN, {**box.inner, "ü": 2})


@env.task
async def types(text: str, number: int, ratio: float, flag: bool, words: list[str], ages: dict[str, int]) -> tuple[str, list[str], dict[str, int], bool]:
    box = Box("box ✨", [1.5, 2.0], Colour.RED, {"a": 1})
    back = await open_box(box, datetime.fromisoformat("2024-02-29T23:59:59.123456+00:00"), timedelta(seconds=3600.5), None)
    assert back.colour is Colour.GREEN and back.sides == [1.5, 2.0, 0.5] and back.inner == {"a": 1, "ü": 2}, back
    again = await open_box(back, datetime.fromisoformat("2024-01-01T00:00:00+00:00"), timedelta(), "word")
    return f"{text}|{number}|{ratio}|{flag}|{again.name}", words, ages, not flag


@env.task
async def failing(message: str) -> int:
    raise ValueError(message)


@env.task
async def catches(message: str) -> str:
    try:
        await failing(message)
    except flyte.errors.RuntimeUserError as error:
        log.warning("caught %s", error.code)
        return f"{error.code}: {error}"
    return "no error"
