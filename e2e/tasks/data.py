"""Files, folders, reports and logs."""
import asyncio
import pathlib
import sys
import tempfile

import flyte
import flyte.report
from flyte.io import Dir, File

env = flyte.TaskEnvironment(name="data")


@env.task
async def shout(file: File) -> File:
    async with file.open("rb") as stream:
        text = bytes(await stream.read()).decode()
    out = File.new_remote()
    async with out.open("wb") as stream:
        await stream.write(text.upper().encode())
    return out


@env.task
async def folder(n: int) -> Dir:
    path = pathlib.Path(tempfile.mkdtemp())
    (path / "sub").mkdir()
    for i in range(n):
        (path / "sub" / f"{i} ü.txt").write_text(str(i))
    return await Dir.from_local(str(path))


@env.task
async def add_up(dir: Dir) -> int:
    path = pathlib.Path(await dir.download())
    return sum(int(file.read_text()) for file in path.rglob("*.txt"))


@env.task
async def files(file: File) -> tuple[str, int]:
    loud = await shout(file)
    async with loud.open("rb") as stream:
        text = bytes(await stream.read()).decode()
    return text, await add_up(await folder(5))


@env.task(report=True)
async def reporting(release: str) -> str:
    await flyte.report.replace.aio("<h1>half way</h1>")
    await flyte.report.flush.aio()
    while not pathlib.Path(release).exists():
        await asyncio.sleep(0.1)
    await flyte.report.replace.aio("<h1>all of it ✨</h1>")
    await flyte.report.flush.aio()
    return "done"


@env.task
async def talking(release: str) -> int:
    """Says a little, and the rest when the file `release` appears."""
    print("first line ✨", flush=True)
    print("to stderr", file=sys.stderr, flush=True)
    while not pathlib.Path(release).exists():
        await asyncio.sleep(0.1)
    for n in range(3):
        print(f"line {n}", flush=True)
    return 3


@env.task
async def chatter(megabytes: int) -> int:
    """Says more than a small disk holds."""
    for _ in range(megabytes * 1024):
        print("x" * 1023)
    return megabytes


@env.task
async def keep(release: str, megabytes: int) -> File:
    """Waits for the file `release`, then stores that much."""
    while not pathlib.Path(release).exists():
        await asyncio.sleep(0.1)
    out = File.new_remote()
    async with out.open("wb") as stream:
        await stream.write(b"x" * (megabytes << 20))
    return out
