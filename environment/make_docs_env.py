"""Install the packages of the documentation site; ``make docs`` calls this.

They go into the folder ``docs-packages`` inside the virtual environment, which only the documentation build has on its
path: Sphinx needs an older docutils than the rest of the environment. A second call finds the folder as it should be
and returns.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import shutil
from pathlib import Path

from make_env import locked, step

HERE = Path(__file__).resolve().parent
REQUIREMENTS = (HERE / "requirements-docs.txt", HERE / "constraints-docs.txt")


def main() -> None:
    """Install the packages unless they are there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--venv", type=Path, required=True, help="folder of the virtual environment")
    parser.add_argument("--pip-args", default="", help="options handed to 'pip install'")
    arguments = parser.parse_args()
    venv = arguments.venv.absolute()
    target = venv / "docs-packages"
    key = hashlib.sha256(b"".join(path.read_bytes() for path in REQUIREMENTS)).hexdigest()
    stamp = target / "clipose-docs"
    with locked(venv):
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == key:
            return
        shutil.rmtree(target, ignore_errors=True)
        pip = (str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet")
        options = ("--target", str(target), "-r", str(REQUIREMENTS[0]), "-c", str(REQUIREMENTS[1]))
        step("Packages of the documentation site", *pip, *shlex.split(arguments.pip_args), *options)
        stamp.write_text(key, encoding="utf-8")


if __name__ == "__main__":
    main()
