"""Containers that know nothing of Flyte: their inputs and outputs are files."""
import pathlib
import tempfile
from typing import Tuple

import flyte
from flyte.extras import ContainerTask
from flyte.io import Dir, File

# In every node of the test cluster. Its entrypoint is the shell; the SDK's "command" are the arguments of an entrypoint.
SHELL = flyte.Image.from_base("localhost/busybox:1")


def shell(name: str, script: str, *arguments: str, **parts) -> ContainerTask:
    command = ["-c", script, name]
    return ContainerTask(name=name, image=SHELL, command=command, arguments=list(arguments), **parts)


count = shell(
    "count",
    """set -e
    wc -l < /var/inputs/table > /var/outputs/rows
    sort -r /var/inputs/table > /var/outputs/sorted
    mkdir /var/outputs/parts
    cd /var/inputs/folder
    for file in *; do sed "s/^/$1/" "$file" > "/var/outputs/parts/$file.txt"; done
    echo "said $1 $2 in $(cat /var/inputs/word)" | tee /var/outputs/text""",
    "{{.inputs.word}}",
    "{{.inputs.yes}}",
    inputs={"table": File, "folder": Dir, "word": str, "yes": bool},
    outputs={"rows": int, "sorted": File, "parts": Dir, "text": str},
)
names = shell(
    "names",
    "cd /var/inputs/table && echo * > /var/outputs/name && cat * | wc -l > /var/outputs/rows",
    inputs={"table": File},
    outputs={"name": str, "rows": int},
    file_input_layout="NAMED_DIR",
)
broken = shell("broken", "echo no luck; exit 3", outputs={"never": int})

raw = flyte.TaskEnvironment.from_task("raw", count, names, broken)
env = flyte.TaskEnvironment(name="around", depends_on=[raw])


@env.task
async def around() -> Tuple[int, str, list[str], str]:
    """A Python task gives files to a container and reads what comes of them."""
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "größe").write_text("1\n2\n", encoding="utf-8")
    (folder / "name").write_text("three\n", encoding="utf-8")
    table = folder / "name"
    rows, ordered, parts, text = await count(
        table=await File.from_local(str(table)), folder=await Dir.from_local(str(folder)), word="ähm", yes=True
    )
    read = [pathlib.Path(await file.download()) async for file in parts.walk()]
    contents = sorted(f"{file.name}: {file.read_text(encoding='utf-8')}" for file in read)
    async with ordered.open("rb") as stream:
        first = bytes(await stream.read()).decode("utf-8")
    return rows, first, contents, text
