"""Calls that run code of a file, of a text or of a host are absent from the package, its scripts and its examples."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("clipose_ros", "docs", "environment", "examples", "launch")
FORBIDDEN = {
    "eval", "exec", "compile", "__import__",
    "os.system", "os.popen",
    "pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open",
    "joblib.load", "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "pandas.read_pickle",
    "torch.jit.load", "torch.package.PackageImporter", "numpy.fromfile",
    "yaml.full_load", "yaml.full_load_all", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all",
}  # fmt: skip
FORBIDDEN_MODULES = ("torch.hub", "urllib", "http", "requests", "httpx", "socket", "ssl", "ftplib", "xmlrpc")
EXCEPTIONS = {
    ("clipose_ros/data/safe_pickle.py", "pickle.Unpickler"),  # a whitelist
    ("clipose_ros/bounded_files.py", "yaml.load"),  # with a subclass of SafeLoader
    ("clipose_ros/ros_tools/domains.py", "socket"),  # reserves ROS domains by local sockets
    ("clipose_ros/training/runtime/distributed.py", "socket"),  # the route to the first rank
    ("clipose_ros/run_lock.py", "socket"),  # the name of this machine
    ("clipose_ros/ros_tools/view/gate.py", "http"),  # parses cookies
    ("clipose_ros/data/shards/urls.py", "urllib"),  # decodes the path of file:// URLs
    ("clipose_ros/ros_tools/view/gate.py", "urllib"),  # parses addresses
    ("clipose_ros/ros_tools/view/server.py", "http"),  # status codes of a local page
    ("clipose_ros/ros_tools/view/server.py", "socket"),  # the name of this machine
}


def sources() -> list[Path]:
    return sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py") if "_build" not in path.parts)


def find_unsafe(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each unsafe call or import of a module's source."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            imported = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in FORBIDDEN_MODULES:
            if any(f"{module}.".startswith(f"{name}.") for module in imported):
                yield node.lineno, name
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := dotted(node.func, names)) and is_unsafe(name, node):
            yield node.lineno, name
        if isinstance(node, ast.ClassDef):
            yield from ((node.lineno, "pickle.Unpickler") for b in node.bases if dotted(b, names) == "pickle.Unpickler")


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Return the full name of a function, such as ``numpy.load`` for ``np.load``."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([names.get(node.id, node.id), *reversed(parts)]) if isinstance(node, ast.Name) else ""


def is_unsafe(name: str, call: ast.Call) -> bool:
    """Return True if a call runs code of what it is given."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}

    def is_constant(key: str, value: object) -> bool:
        found = keywords.get(key)
        return isinstance(found, ast.Constant) and found.value is value

    if name == "torch.load":
        return not is_constant("weights_only", True)
    if name == "numpy.load":
        return len(call.args) > 2 or ("allow_pickle" in keywords and not is_constant("allow_pickle", False))
    if name.startswith("subprocess."):
        return "shell" in keywords and not is_constant("shell", False)
    return name in FORBIDDEN or name in ("yaml.load", "pickle.Unpickler") or name.startswith("torch.hub.")


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_sources_have_no_unsafe_calls(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    found = [(line, name) for line, name in find_unsafe(path.read_text()) if (place, name) not in EXCEPTIONS]
    assert found == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_ultralytics_is_used_only_when_isolated(path: Path) -> None:
    tree = ast.parse(path.read_text())
    isolated = {id(inner) for node in ast.walk(tree) if is_isolated(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.split(".")[0] == "ultralytics" for name in modules):
            assert id(node) in isolated, f"{path}:{node.lineno}"


def is_isolated(node: ast.AST) -> bool:
    """Return True for a block of ``isolate_ultralytics``, and for a function that states that it is called in one."""
    if isinstance(node, ast.FunctionDef):
        return "inside ``isolate_ultralytics``" in (ast.get_docstring(node) or "")
    return isinstance(node, ast.With) and any("isolate_ultralytics" in ast.unparse(item) for item in node.items)


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(f)",
        "import torch as t\nt.load(f, weights_only=False)",
        "from torch import load as read\nread(f, weights_only=flag)",
        "import torch\ntorch.hub.load('a', 'b')",
        "import torch.hub",
        "from torch import hub",
        "import torch\ntorch.jit.load(f)",
        "import pickle\npickle.loads(b)",
        "from pickle import load\nload(f)",
        "import pickle\nclass Any(pickle.Unpickler): ...",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "import numpy as np\nnp.load(f, None, True)",
        "import yaml\nyaml.load(f, Loader=yaml.Loader)",
        "import yaml\nyaml.unsafe_load(f)",
        "eval(text)",
        "exec(text)",
        "import os\nos.system(text)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "from subprocess import run\nrun(text, shell=flag)",
        "import urllib.request",
        "from requests import get",
        "import socket",
    ],
)
def test_unsafe_calls_are_found(source: str) -> None:
    assert list(find_unsafe(source))


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(f, weights_only=True)",
        "import numpy as np\nnp.load(f)",
        "import numpy as np\nnp.load(f, allow_pickle=False)",
        "import yaml\nyaml.safe_load(f)",
        "import subprocess\nsubprocess.run(['true'], check=True)",
        "model.eval()",
        "import re\nre.compile(text)",
        "import httpserver_of_ours",
    ],
)
def test_safe_calls_are_accepted(source: str) -> None:
    assert list(find_unsafe(source)) == []
