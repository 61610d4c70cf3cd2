"""Is the committed descriptor set what the pinned `flyteidl2` package makes? Exit code 1 if not.

Runs contract/descriptors/make_descriptor_set.py with the Python that runs this file and compares byte by byte.
"""
import importlib.metadata
import pathlib
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).parents[2] / "contract/descriptors"
RECIPE = "docs/recipes/renew-the-contract.md"

version = importlib.metadata.version("flyteidl2")
committed = FOLDER / f"flyteidl2-{version}.binpb"
if not committed.exists():
    sys.exit(f"flyteidl2 {version} is pinned, but {committed.name} is not committed\n  next: {RECIPE}")
with tempfile.TemporaryDirectory() as folder:
    made = pathlib.Path(folder, "made.binpb")
    subprocess.run([sys.executable, str(FOLDER / "make_descriptor_set.py"), str(made)], check=True)
    if made.read_bytes() != committed.read_bytes():
        sys.exit(f"{committed.name} is not what flyteidl2 {version} makes\n  next: {RECIPE}")
print(f"{committed.name} is what flyteidl2 {version} makes")
