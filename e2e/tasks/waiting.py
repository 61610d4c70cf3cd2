"""Tasks that are stopped, wait for a person, or need not run at all."""
import asyncio
import pathlib
import time
import uuid
from datetime import timedelta

import flyte
import flyte.errors

env = flyte.TaskEnvironment(name="waiting")


@env.task
async def beat(folder: str, n: int) -> int:
    """Writes for as long as it lives."""
    end = time.time() + 300
    while time.time() < end:
        with open(pathlib.Path(folder) / f"beat-{n}", "a") as file:
            file.write("x\n")
        await asyncio.sleep(0.1)
    return n


@env.task
async def beats(folder: str, n: int) -> int:
    return sum(await asyncio.gather(*(beat(folder, i) for i in range(n))))


@env.task
async def one_is_enough(folder: str) -> str:
    """Cancels one child itself, sees the other one aborted from outside."""
    cancelled = asyncio.create_task(beat(folder, 10))
    aborted = asyncio.create_task(beat(folder, 11))
    while not all((pathlib.Path(folder) / f"beat-{n}").exists() for n in (10, 11)):
        await asyncio.sleep(0.1)
    cancelled.cancel()
    try:
        await aborted
    except flyte.errors.ActionAbortedError:
        return "went on"
    return "nothing happened"


@env.task
async def ask(seconds: float) -> list[str]:
    yes = await flyte.new_condition.aio("approval", prompt="Go on?", data_type=bool)
    answers = [str(await yes.wait.aio())]
    never = await flyte.new_condition.aio("never", prompt="Nobody answers", data_type=str, timeout=timedelta(seconds=seconds))
    try:
        answers.append(await never.wait.aio())
    except flyte.errors.ConditionTimedoutError:
        answers.append("timed out")
    return answers


@env.task(cache=flyte.Cache(behavior="override", version_override="1", ignored_inputs=("note",)))
async def token(key: str, note: str) -> str:
    return uuid.uuid4().hex


@env.task
async def tokens(key: str) -> list[str]:
    return [await token(key, "first"), await token(key, "second"), await token(f"{key}!", "third")]


@env.task(timeout=flyte.Timeout(max_runtime=timedelta(seconds=2)))
async def too_long() -> int:
    await asyncio.sleep(300)
    return 1
