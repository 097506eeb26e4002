"""Checks of Python, packages, the GPU, the models and the detector. They need no ROS."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import clipose_ros
from clipose_ros.config import PoseNodeConfig
from clipose_ros.cores import count_cores
from clipose_ros.doctor.row import Row, State
from clipose_ros.errors import CheckpointError, CliposeError
from clipose_ros.resources import model_path, share_folders

REQUIRED = {
    "numpy": "numpy", "scipy": "scipy", "cv2": "opencv-python-headless", "torch": "torch", "numba": "numba",
    "safetensors": "safetensors", "yaml": "pyyaml", "rich": "rich",
}  # fmt: skip
"""Packages that the node and this command need: name of the distribution by name of the module."""
OPTIONAL = {
    "ultralytics": "ultralytics", "openvino": "openvino", "onnxruntime": "onnxruntime", "torchvision": "torchvision",
}  # fmt: skip
"""Packages that some segmenters need."""
_CARD_ROW = re.compile(r"`(\S+)`, [\d.]+ MB, SHA-256 `([0-9a-f]{64})`")
_GPU_DEVICES = Path("/dev")
_DETECTOR_GUIDE = "docs/how-to/detector-on-cpu.md"


def has_module(name: str) -> bool:
    """Return True if a module could be imported."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a parent is missing, or the module was replaced
        return False


def check_python() -> Iterator[Row]:
    """Check this package and the interpreter."""
    version, folder = clipose_ros.__version__, Path(clipose_ros.__file__).parent
    yield Row("clipose_ros", State.OK, f"{version} in {folder}")
    yield Row("python", State.OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def check_packages() -> Iterator[Row]:
    """Check that the Python packages are installed; they are not imported."""
    missing = [package for module, package in REQUIRED.items() if not has_module(module)]
    found = ", ".join(filter(None, (_version(module, name) for module, name in (REQUIRED | OPTIONAL).items())))
    if missing:
        advice = "install them as docs/install.md describes, and run this command with that Python"
        yield Row("packages", State.PROBLEM, f"missing: {', '.join(missing)}; found: {found}", advice)
    else:
        yield Row("packages", State.OK, found)


def check_gpu() -> Iterator[Row]:
    """Check whether torch can use a GPU."""
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    devices = sorted(path.name for path in _GPU_DEVICES.glob("nvidia[0-9]*"))
    if names:
        yield Row("gpu", State.OK, ", ".join(names))
    elif devices:
        yield Row(
            "gpu", State.PROBLEM, f"{', '.join(devices)} exist, but torch {torch.__version__} finds no GPU",
            "install a build of torch with CUDA that fits the driver (nvidia-smi), or set network.device to cpu",
        )  # fmt: skip
    else:
        yield Row("gpu", State.OK, f"none; the network runs on {count_cores()} CPU cores")


def check_models(config: PoseNodeConfig) -> Iterator[Row]:
    """Compare shipped models with the hashes of their cards, and read the configured model."""
    cards = [path for folder in share_folders() for path in sorted((folder / "models").glob("*.md"))]
    stated = {
        _find_file(path.parent, name): sha for path in cards for name, sha in _CARD_ROW.findall(path.read_text("utf-8"))
    }
    if not stated:
        yield Row(
            "models", State.PROBLEM, "no shipped models were found", "install the package again, with its data files"
        )
    for path, sha in stated.items():
        yield _compare_hash(path, sha)
    yield _read_model(config.network.model)


def check_detector(config: PoseNodeConfig) -> Iterator[Row]:
    """Check which form of the detector would run."""
    backend, model = config.segmentation.backend, config.segmentation.model
    if backend != "yolo":
        yield Row("detector", State.OK, f"backend '{backend}'" + (f" with '{model}'" if model else ""))
        return
    if not has_module("ultralytics"):
        advice = "pip install ultralytics (AGPL-3.0), or choose another segmentation.backend"
        yield Row("detector", State.PROBLEM, "backend 'yolo' needs ultralytics, which is not installed", advice)
        return
    from clipose_ros.segmentation.class_map import resolve_weights
    from clipose_ros.segmentation.yolo import find_fast_form

    try:
        weights = resolve_weights(model, backend, "Choose a detector: docs/tutorials/your-detector.md.")
    except CliposeError as error:
        yield Row("detector", State.PROBLEM, str(error), "set segmentation.model, or use the shipped detector")
        return
    path = find_fast_form(model, weights, config.network.device)
    if path.suffix == ".pt" and _device(config) == "cpu":
        advice = f"other forms are faster on a CPU: {_DETECTOR_GUIDE}"
        yield Row("detector", State.HINT, f"'{path.name}' runs with PyTorch on the CPU", advice)
    else:
        yield Row("detector", State.OK, f"'{path.name}' ({'PyTorch' if path.suffix == '.pt' else 'exported'})")


def _version(module: str, package: str) -> str:
    """Return name and version of an installed package; '' if it is not installed."""
    if not has_module(module):
        return ""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:  # Debian's packages of ROS have other names
        return package


def _find_file(models: Path, name: str) -> Path:
    """Return a file that a card names; it may lie in the folder of an exported model."""
    return next((path for path in sorted(models.rglob("*")) if path.name == name), models / name)


def _compare_hash(path: Path, expected: str) -> Row:
    if not path.is_file():
        return Row(f"model {path.name}", State.PROBLEM, "the file is missing", "install the package again")
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual == expected:
        return Row(f"model {path.name}", State.OK, f"SHA-256 {actual[:12]}…, as its card states")
    found = f"SHA-256 {actual[:12]}…, but its card states {expected[:12]}…"
    return Row(f"model {path.name}", State.PROBLEM, found, "the file is damaged or was replaced: install it again")


def _read_model(model: str) -> Row:
    """Read the configured model, which verifies the hash inside the file."""
    from clipose_ros.model.checkpoint import load_checkpoint

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            network = load_checkpoint(model_path(model))
        except (CheckpointError, OSError) as error:
            return Row("network.model", State.PROBLEM, str(error), "set network.model to a model of this package")
    texts = [str(item.message) for item in caught]
    found = f"'{model}' for {', '.join(network.categories.names)}"
    return Row("network.model", State.HINT if texts else State.OK, found, "; ".join(texts))


def _device(config: PoseNodeConfig) -> str:
    from clipose_ros.inference.predictor import resolve_device

    return resolve_device(config.network.device)
