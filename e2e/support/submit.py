"""Makes runs of one module for a test: submit.py CONFIG FOLDER MODULE, with the orders as JSON on stdin."""
import importlib
import json
import pathlib
import sys

import flyte


def value(given):
    """JSON has no files: {"@file": TEXT, "@name": NAME} is one on this machine."""
    if isinstance(given, dict) and "@file" in given:
        import tempfile

        from flyte.io import File

        path = pathlib.Path(tempfile.mkdtemp()) / given["@name"]
        path.write_text(given["@file"], encoding="utf-8")
        return File.from_local_sync(str(path))
    return given


def main(config: str, folder: str, module: str) -> None:
    sys.path.insert(0, folder)
    flyte.init_from_config(config, root_dir=pathlib.Path(folder))
    tasks = importlib.import_module(module)
    for order in json.load(sys.stdin):
        inputs = {name: value(given) for name, given in order.get("inputs", {}).items()}
        run = flyte.with_runcontext(mode="remote", **order.get("context", {})).run(getattr(tasks, order["task"]), **inputs)
        print("run", run.name, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
