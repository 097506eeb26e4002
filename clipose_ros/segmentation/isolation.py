"""Use of ultralytics without network, installation, settings files, or code from files.

Weights (``.pt``) are pickles, and so are the label caches of data sets. Of weights, tensors, plain values and network
classes that ultralytics knows are loaded; label caches are made again.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import re
import struct
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from clipose_ros.errors import SegmentationError

MIN_TORCH, MIN_ULTRALYTICS = "2.6", "8.4.67"
"""First versions whose restricted loading works together."""
ULTRALYTICS_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, ImportError, LookupError, MemoryError,
    OSError, RuntimeError, SyntaxError, TypeError, ValueError, pickle.PickleError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
"""Exceptions of ultralytics for files that it cannot use; it has no classes of its own."""
_PATCHED_MODULES = ("ultralytics.nn.tasks", "ultralytics.utils.callbacks", "ultralytics.data.utils")


@contextlib.contextmanager
def isolate_ultralytics() -> Iterator[None]:
    """Isolate ultralytics: no network, no installation, no files, no changed process settings, no code from files.

    ultralytics reads its environment variables once, at the first import. They are set to: offline, no automatic
    installation, and settings in a temporary folder. Variables that the caller has set are kept, except those that
    would allow code from files. Importing ultralytics and choosing a device also change the threads and the print
    options of the process, which are restored.

    Raises:
        SegmentationError: ultralytics is not installed, or its version or that of torch has no restricted loading.
    """
    threads, cv_threads, print_options = torch.get_num_threads(), cv2.getNumThreads(), np.get_printoptions()
    with tempfile.TemporaryDirectory(prefix="clipose_ultralytics_") as folder, contextlib.ExitStack() as changes:
        defaults = {
            "YOLO_OFFLINE": "true",
            "YOLO_AUTOINSTALL": "false",
            "YOLO_VERBOSE": "false",
            "YOLO_CONFIG_DIR": folder,
        }
        unset = {key: value for key, value in defaults.items() if key not in os.environ}
        # The second variable holds for every torch.load, also for those that ask for more.
        forced = {"ULTRALYTICS_SAFE_LOAD": "1", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}
        changes.enter_context(_set_environment(unset | forced))
        try:
            # The converters of OpenVINO and NNCF send statistics through it; without it, they send none.
            changes.enter_context(_absent_module("openvino_telemetry"))
            _restrict(changes)
            yield
        finally:
            torch.set_num_threads(threads)
            cv2.setNumThreads(cv_threads)
            np.set_printoptions(**print_options)


def read_checkpoint(path: Path) -> Mapping[str, object]:
    """Read a checkpoint of ultralytics (``.pt``) inside ``isolate_ultralytics``; no code of the file is run.

    Raises:
        SegmentationError: The file is missing, damaged, no such checkpoint, or asks for code to be run.
    """
    tasks: Any = importlib.import_module("ultralytics.nn.tasks")
    check_archive(path)
    try:
        content, _ = tasks.torch_safe_load(str(path))
    except ULTRALYTICS_ERRORS as error:
        raise SegmentationError(
            f"weights '{path}' cannot be loaded: {first_line(error)}. Give weights that ultralytics has written"
        ) from error
    result: Mapping[str, object] = content
    return result


def check_archive(path: Path) -> None:
    """Check that a file exists and, if it is an archive of torch, that its parts are undamaged.

    Raises:
        SegmentationError: The file is missing, or a part has another checksum than stated.
    """
    if not path.is_file():
        raise SegmentationError(f"weights '{path}' do not exist: give a file; nothing is downloaded")
    try:
        damage = _find_damage(path) if zipfile.is_zipfile(path) else None
    except ULTRALYTICS_ERRORS as error:
        damage = first_line(error)
    if damage is not None:
        raise SegmentationError(f"weights '{path}' are damaged ({damage}): copy the file again")


def _find_damage(path: Path) -> str | None:
    """Return what is wrong with an archive of torch, or None. torch itself does not compare the checksums."""
    with zipfile.ZipFile(path) as archive:
        # torch does not compress: parts that are larger than the file would only cost time.
        if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
            return "its parts are larger than the file"
        name = archive.testzip()
    return None if name is None else f"the checksum of {name!r} differs"


def first_line(error: BaseException, length: int = 200) -> str:
    """Return the first line of an exception's message for a message of one line, without its final full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in lines[0])
    return (shown if len(shown) <= length else f"{shown[: length - 1]}…").rstrip(". ")


def _restrict(changes: contextlib.ExitStack) -> None:
    """Replace what loads code and what contacts hosts in ultralytics and NumPy, until ``changes`` is closed."""
    _check_versions()
    tasks, callbacks, data = map(importlib.import_module, _PATCHED_MODULES)
    load = tasks.torch_safe_load

    def load_restricted(weight: str | Path, safe_only: bool | None = True) -> Any:
        with _forbid_construction():
            return load(weight, safe_only=True)

    for target, name, value in (
        (tasks, "torch_safe_load", load_restricted),
        (tasks, "SAFE_LOAD", True),  # else the text of an activation function is evaluated
        (callbacks, "add_integration_callbacks", _do_nothing),  # reports to hosts of experiment trackers
        (data, "check_font", _do_nothing),  # downloads the font of its plots
        (np, "load", _load_plain_arrays(np.load)),  # the label caches of a data set are pickles
    ):
        changes.enter_context(_replaced(target, name, value))


def _check_versions() -> None:
    """Import ultralytics; raise ``SegmentationError`` if it is missing, or too old for restricted loading."""
    try:
        ultralytics = importlib.import_module("ultralytics")
    except ImportError as error:
        raise SegmentationError(
            "backend 'yolo' needs the ultralytics package (AGPL-3.0): pip install ultralytics, or choose "
            f"segmentation.backend 'labels' or 'mask_rcnn' ({error})"
        ) from error
    found = torch.__version__, str(ultralytics.__version__)
    if _release(found[0]) < _release(MIN_TORCH) or _release(found[1]) < _release(MIN_ULTRALYTICS):
        raise SegmentationError(
            f"weights are loaded without running code from the file only by torch >= {MIN_TORCH} with ultralytics >= "
            f"{MIN_ULTRALYTICS}, found torch {found[0]} and ultralytics {found[1]}: upgrade the older one"
        )


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, without local and pre-release parts."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match.group().split("."))) if match else ()


@contextlib.contextmanager
def _set_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and restore them."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


@contextlib.contextmanager
def _replaced(target: object, name: str, value: object) -> Iterator[None]:
    """Replace an attribute that must exist, and restore it."""
    if not hasattr(target, name):
        raise SegmentationError(f"this version of ultralytics has no '{name}': install the version of the constraints")
    before = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, before)


@contextlib.contextmanager
def _absent_module(name: str) -> Iterator[None]:
    """Make the import of a module fail."""
    loaded: dict[str, Any] = sys.modules
    unknown = object()
    before = loaded.get(name, unknown)
    loaded[name] = None  # the mark of a module that cannot be imported
    try:
        yield
    finally:
        del loaded[name]
        if before is not unknown:
            loaded[name] = before


@contextlib.contextmanager
def _forbid_construction() -> Iterator[None]:
    """Refuse in this thread to construct networks: loading restores them without their constructors.

    Constructors of ultralytics' classes download architectures and weights whose address is their argument.
    """
    construct, thread = torch.nn.Module.__init__, threading.get_ident()

    def refuse(self: torch.nn.Module, *arguments: Any, **options: Any) -> None:
        if threading.get_ident() == thread:
            # ultralytics replaces the message of an UnpicklingError.
            raise RuntimeError(f"it constructs a {type(self).__name__}; weights hold finished networks")
        construct(self, *arguments, **options)

    with _replaced(torch.nn.Module, "__init__", refuse):
        yield


def _load_plain_arrays(load: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``np.load`` that never unpickles."""

    def load_plain(file: Any, mmap_mode: Any = None, allow_pickle: bool = False, **options: Any) -> Any:
        return load(file, mmap_mode, allow_pickle=False, **options)

    return load_plain


def _do_nothing(*_: object, **__: object) -> None:
    """Accept any arguments."""
