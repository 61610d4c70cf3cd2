"""Many actions at once: processes that wait for a word, and sleeps that need no process."""
import asyncio
import os
import pathlib
from datetime import timedelta

import flyte
from flyte.extras import Sleep

sleep_env = flyte.TaskEnvironment(name="crowd_sleep", plugin_config=Sleep())
env = flyte.TaskEnvironment(name="crowd", depends_on=[sleep_env])


@sleep_env.task
async def nap(duration: timedelta) -> None:
    return None


def note(folder: str, name: str, text: str = "x") -> None:
    with open(pathlib.Path(folder) / name, "a") as file:
        file.write(f"{text}\n")


@env.task
async def quick(folder: str, n: int) -> int:
    note(folder, f"quick-{n}")
    return n


@env.task
async def hold(folder: str, n: int) -> int:
    """Leaves its process group, and goes on when the file `go-N` or `go` appears."""
    note(folder, f"hold-{n}", str(os.getpgrp()))
    while not any((pathlib.Path(folder) / name).exists() for name in (f"go-{n}", "go")):
        await asyncio.sleep(0.1)
    return n


@env.task
async def crowd(folder: str, holds: int, naps: int, seconds: float) -> int:
    note(folder, "crowd")
    first = sum(await asyncio.gather(*(quick(folder, n) for n in range(2))))
    waiting = [nap(duration=timedelta(seconds=seconds)) for _ in range(naps)]
    held = await asyncio.gather(*(hold(folder, n) for n in range(holds)), *waiting)
    return first + sum(held[:holds])
