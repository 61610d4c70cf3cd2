"""Write requirements.txt and requirements-test.txt: every Python package of ours, pinned, for each Python we support.

Usage: python3 scripts/python/resolve.py PYTHON...       (say python3.10 python3.11 python3.12 python3.13; each with pip)

Resolves `flyte` and the test tools once per interpreter and joins the answers: a pin that differs between Python
versions gets a `python_version` marker. The highest Python given also stands for all later ones.
Run it on Linux: packages that only Linux needs are named in LINUX_ONLY.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

RUNTIME = ["flyte==2.12.1"]
TEST = ["moto[server]==5.2.5", "flyte[connector]==2.12.1"]
LINUX_ONLY = {"jeepney", "secretstorage"}
HERE = pathlib.Path(__file__).parent


def resolve(python: str, wanted: list[str], constraints: list[str]) -> dict[str, str]:
    """All packages pip would install for `wanted` under this interpreter: {normal name: version}."""
    with tempfile.TemporaryDirectory() as folder:
        report, limits = pathlib.Path(folder, "report.json"), pathlib.Path(folder, "constraints.txt")
        limits.write_text("\n".join(constraints))
        command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--report", str(report), "-c", str(limits), *wanted], check=True)
        items = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return {re.sub(r"[-_.]+", "-", item["name"]).lower(): item["version"] for item in items}


def version_of(python: str) -> tuple[int, int]:
    out = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], check=True, capture_output=True)
    major, minor = out.stdout.split()
    return int(major), int(minor)


def lines(answers: dict[tuple[int, int], dict[str, str]]) -> list[str]:
    """Pins of all interpreters as requirement lines, with a marker where they differ."""
    versions = sorted(answers)
    out = []
    for name in sorted({name for answer in answers.values() for name in answer}):
        start = 0
        while start < len(versions):
            pin, end = answers[versions[start]].get(name), start
            while end + 1 < len(versions) and answers[versions[end + 1]].get(name) == pin:
                end += 1
            markers = []
            if start > 0:
                markers.append('python_version >= "%d.%d"' % versions[start])
            if end + 1 < len(versions):
                markers.append('python_version < "%d.%d"' % versions[end + 1])
            if name in LINUX_ONLY:
                markers.append('sys_platform == "linux"')
            if pin:
                out.append(f"{name}=={pin}" + (" ; " + " and ".join(markers) if markers else ""))
            start = end + 1
    return out


def main(pythons: list[str]) -> None:
    runtime, test = {}, {}
    for python in pythons:
        version = version_of(python)
        everything = resolve(python, RUNTIME + TEST, [])
        runtime[version] = resolve(python, RUNTIME, [f"{name}=={pin}" for name, pin in everything.items()])
        test[version] = {name: pin for name, pin in everything.items() if name not in runtime[version]}
        print(f"Python {version[0]}.{version[1]}: {len(runtime[version])} + {len(test[version])} packages")
    for file, answers in (("requirements.txt", runtime), ("requirements-test.txt", test)):
        head = "# Written by resolve.py beside this file; do not edit.\n"
        (HERE / file).write_text(head + "\n".join(lines(answers)) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
