"""Write constraints.txt and constraints-docs.txt: the newest versions that fit together, from the requirements files.

Run by ``make lock``. Before committing the result, try it with each CPython that is supported
(``make test VENV=/tmp/try PYTHON=python3.13``).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEADER = (
    "# Exact versions of all that the requirements files bring in, the same for CPython 3.11 to 3.13; by lock.py.\n"
)
DOCS_HEADER = "# Exact versions of all that requirements-docs.txt brings in; by lock.py. docutils is its own.\n"


def resolve(*options: str) -> dict[str, str]:
    """Return name and version of every package that pip would install."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        pip = (
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            str(report),
        )
        subprocess.run((*pip, *options), check=True)
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {each["metadata"]["name"]: each["metadata"]["version"] for each in installed}


def write_constraints(path: Path, header: str, pins: dict[str, str]) -> None:
    """Write a constraints file, sorted by normalized name."""
    lines = sorted((re.sub(r"[-_.]+", "-", name).lower(), f"{name}=={version}\n") for name, version in pins.items())
    path.write_text(header + "".join(line for _, line in lines), encoding="utf-8")
    print(f"{len(lines)} versions in {path}")


def lock_docs(pins: dict[str, str]) -> None:
    """Resolve requirements-docs.txt with the versions of the environment, and write constraints-docs.txt.

    docutils is left free: the releases of Sphinx accept new versions of it late.
    """
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder, "shared.txt")
        shared.write_text(
            "".join(f"{name}=={version}\n" for name, version in pins.items() if name != "docutils"), encoding="utf-8"
        )
        docs = resolve("-r", str(HERE / "requirements-docs.txt"), "-c", str(shared))
    write_constraints(HERE / "constraints-docs.txt", DOCS_HEADER, docs)


def main() -> None:
    """Resolve the requirements and write the constraints files."""
    names = ("requirements.txt", "requirements-ros.txt", "requirements-dev.txt")
    pins = resolve("pip", *(option for name in names for option in ("-r", str(HERE / name))))
    pins |= resolve("--no-deps", "-r", str(HERE / "requirements-no-deps.txt"))
    write_constraints(HERE / "constraints.txt", HEADER, pins)
    lock_docs(pins)


if __name__ == "__main__":
    main()
