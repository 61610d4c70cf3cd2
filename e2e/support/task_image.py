"""What the task image is made of: `about` prints it, `copy FOLDER` puts it there, under the paths it has here.

Only the SDK and what it needs are taken of the venv, and every module is compiled, whatever the age its source is given:
a pod would compile all it imports again, which costs it more than its work.
"""
import importlib.metadata as metadata
import json
import re
import shutil
import sys
import sysconfig
from compileall import compile_dir
from os.path import normpath
from pathlib import Path
from py_compile import PycInvalidationMode

# Of the standard library; what is in site-packages comes with the venv.
NEVER_IMPORTED = ["test", "tests", "site-packages", "idlelib", "tkinter", "turtledemo", "ensurepip", "config-*", "*.pyc"]


def needed(name: str, found: dict[str, metadata.Distribution]) -> dict[str, metadata.Distribution]:
    """A package with all that it requires here. What an extra or another platform would want is not installed."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return found
    if key not in found:
        found[key] = distribution
        for requirement in distribution.requires or []:
            if "extra ==" not in requirement:
                needed(re.match(r"[\w.-]+", requirement)[0], found)
    return found


def about(packages: dict[str, metadata.Distribution]) -> dict:
    import certifi

    return {
        "prefix": sys.base_prefix,
        "certificates": certifi.where(),
        "minor": f"{sys.version_info.major}.{sys.version_info.minor}",
        "flyte": metadata.version("flyte"),
        "packages": sorted(f"{name}=={d.version}" for name, d in packages.items()),
    }


def copy(packages: dict[str, metadata.Distribution], target: Path) -> None:
    venv, library = Path(sys.prefix), Path(sysconfig.get_path("stdlib"))
    files = {venv / "pyvenv.cfg", *(venv / "bin").glob("python*")}
    for distribution in packages.values():
        for file in distribution.files or []:
            if file.suffix != ".pyc":
                files.add(Path(normpath(distribution.locate_file(file))))
    for file in files:
        place = target / file.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place, follow_symlinks=False)
    inside = target / library.relative_to("/")
    shutil.copytree(library, inside, symlinks=True, ignore=shutil.ignore_patterns(*NEVER_IMPORTED))
    for folder in [inside, target / Path(sysconfig.get_path("purelib")).relative_to("/")]:
        compile_dir(
            folder, quiet=2, workers=2, stripdir=str(target), invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
        )


if __name__ == "__main__":
    sdk = needed("flyte", {})
    if sys.argv[1] == "about":
        print(json.dumps(about(sdk)))
    else:
        copy(sdk, Path(sys.argv[2]))
