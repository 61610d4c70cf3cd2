"""Attempts that die, and what the next one finds: retries, replay of children and traces, checkpoints, repeatable time."""
import asyncio
import os
import pathlib
import signal

import flyte
import flyte.errors

env = flyte.TaskEnvironment(name="durable")


def note(folder: str, name: str) -> None:
    """One line for each execution, in a folder of the test."""
    with open(pathlib.Path(folder) / name, "a") as file:
        file.write("x\n")


def attempt() -> int:
    return int(os.environ["FLYTE_ATTEMPT_NUMBER"])


@env.task
async def step(folder: str, n: int) -> int:
    note(folder, f"step-{n}")
    return n


@flyte.trace
async def traced(folder: str, n: int) -> int:
    note(folder, f"traced-{n}")
    return n * 10


@env.task(retries=2)
async def crashing_parent(folder: str) -> int:
    """Dies twice, each time after more children and traces."""
    note(folder, "parent")
    total = 0
    for n in range(3):
        total += await step(folder, n)
        total += await traced(folder, n)
        if attempt() == n < 2:
            # Traces are recorded in the background: give the record time to leave before the process dies.
            await asyncio.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL) if n == 0 else os._exit(3)
    return total


@env.task(retries=1)
async def raises_first(folder: str) -> int:
    note(folder, "raises_first")
    if attempt() == 0:
        raise RuntimeError("first attempt")
    return attempt()


@env.task(retries=3)
async def never_again(folder: str) -> int:
    note(folder, "never_again")
    raise flyte.errors.NonRecoverableError("it is always so")


@env.task(retries=2)
async def counts_on() -> int:
    """Goes on where the attempt before ended, by its checkpoint."""
    checkpoint = flyte.ctx().checkpoint
    before = await checkpoint.load()
    done = int(before.read_text()) if before else 0
    await checkpoint.save(str(done + 1).encode())
    if attempt() < 2:
        raise RuntimeError(f"counted to {done + 1}")
    return done + 1
