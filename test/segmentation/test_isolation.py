"""Restricted loading of weights: malicious pickles run nothing, old versions are refused, damage is named."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation import create_segmenter
from clipose_ros.segmentation.isolation import first_line, isolate_ultralytics, read_checkpoint
from clipose_ros.types import ByteArray, RgbdFrame

pytestmark = [
    pytest.mark.skipif(find_spec("ultralytics") is None, reason="ultralytics is optional (AGPL-3.0)"),
    pytest.mark.filterwarnings("ignore:Detected pickle protocol"),
]


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def write_archive(path: Path, content: object) -> None:
    torch.save(content, path)


def write_legacy(path: Path, content: object) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content))


WRITERS = [write_archive, write_legacy, write_pickle]


def config(backend: str, path: Path) -> SegmentationConfig:
    return SegmentationConfig(backend=backend, model=str(path), class_map=("cup:mug",))


@pytest.mark.parametrize("suffix", [".pt", ".PT", ".pth", ".bin"])
@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("backend", ["yolo", "mask_rcnn"])
def test_backends_run_no_code_of_weights(
    tmp_path: Path, backend: str, write: Callable[[Path, object], None], suffix: str
) -> None:
    victim, path = tmp_path / "executed", tmp_path / f"evil{suffix}"
    write(path, {"model": Call(os.mkdir, str(victim)), "ema": None})
    with pytest.raises(SegmentationError, match="evil"):
        create_segmenter(config(backend, path), NOCS_CATEGORIES, "cpu")
    assert not victim.exists()


@pytest.mark.parametrize("write", WRITERS)
def test_checkpoint_reader_runs_no_code(tmp_path: Path, write: Callable[[Path, object], None]) -> None:
    victim, path = tmp_path / "executed", tmp_path / "evil.pt"
    write(path, {"ema": Call(os.mkdir, str(victim))})
    with isolate_ultralytics(), pytest.raises(SegmentationError, match=r"evil\.pt"):
        read_checkpoint(path)
    assert not victim.exists()


def test_networks_are_not_constructed_by_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Constructors accept addresses: of an architecture, or of weights of torchvision.
    with isolate_ultralytics():
        from ultralytics.nn import tasks
        from ultralytics.nn.modules.block import TorchVision

        asked: list[str] = []
        monkeypatch.setattr(tasks, "yaml_model_load", lambda path: asked.append(str(path)) or {})
        monkeypatch.setattr("torchvision.models.get_model", lambda name, **_: asked.append(name))
        for call in (Call(tasks.SegmentationModel, "https://example.org/x.yaml"), Call(TorchVision, 3, 8, "resnet18")):
            torch.save({"model": call}, tmp_path / "evil.pt")
            with pytest.raises(SegmentationError, match="it constructs a"):
                read_checkpoint(tmp_path / "evil.pt")
    assert asked == []


def test_settings_of_the_caller_cannot_allow_code(tmp_path: Path) -> None:
    script = f"""
import ultralytics.nn.tasks
from pathlib import Path
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation.isolation import isolate_ultralytics, read_checkpoint
with isolate_ultralytics():
    from ultralytics import YOLO
    for load in (YOLO, lambda path: read_checkpoint(Path(path)), ultralytics.utils.patches.torch_load):
        try:
            load({str(tmp_path / "evil.pt")!r})
        except Exception as error:
            print(type(error).__name__)
"""
    torch.save({"model": Call(os.mkdir, str(tmp_path / "executed"))}, tmp_path / "evil.pt")
    environment = {**os.environ, "ULTRALYTICS_SAFE_LOAD": "0", "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
    environment |= {"YOLO_CONFIG_DIR": str(tmp_path / "settings")}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.splitlines()[-3:] == ["TypeError", "SegmentationError", "UnpicklingError"]
    assert not (tmp_path / "executed").exists()


def test_arrays_are_loaded_without_pickle(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.array([Call(os.mkdir, str(tmp_path / "executed"))], object), allow_pickle=True)
    with isolate_ultralytics(), pytest.raises(ValueError, match="allow_pickle"):
        np.load(tmp_path / "labels.npy", allow_pickle=True)
    assert not (tmp_path / "executed").exists()


def test_everything_is_restored() -> None:
    from ultralytics.nn import tasks

    before = np.load, tasks.torch_safe_load, tasks.SAFE_LOAD, torch.nn.Module.__init__, dict(os.environ)
    with pytest.raises(KeyError), isolate_ultralytics():
        raise KeyError
    assert before == (np.load, tasks.torch_safe_load, tasks.SAFE_LOAD, torch.nn.Module.__init__, dict(os.environ))


@pytest.mark.parametrize(("package", "version"), [("torch", "2.5.1+cpu"), ("ultralytics", "8.4.66")])
def test_old_versions_are_refused(monkeypatch: pytest.MonkeyPatch, package: str, version: str) -> None:
    monkeypatch.setattr(f"{package}.__version__", version)
    with (
        pytest.raises(SegmentationError, match=rf"torch >= 2\.6 with ultralytics >= 8\.4\.67, found.*{version[:5]}"),
        isolate_ultralytics(),
    ):
        pass


def test_unknown_internals_of_ultralytics_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("ultralytics.data.utils.check_font")
    with pytest.raises(SegmentationError, match="has no 'check_font'"), isolate_ultralytics():
        pass


def flip_last_part(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        part = max(archive.infolist(), key=lambda part: part.file_size)
    content = bytearray(path.read_bytes())
    content[part.header_offset + 400] ^= 1
    path.write_bytes(content)


def claim_large_part(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 24))


@pytest.mark.parametrize(
    ("damage", "message"),
    [(flip_last_part, "the checksum of"), (claim_large_part, "larger than the file"), (Path.unlink, "no such file")],
)
def test_damaged_weights_are_refused(
    random_weights: Path, tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    path = tmp_path / "copy.pt"
    path.write_bytes(random_weights.read_bytes())
    damage(path)
    with pytest.raises(SegmentationError, match=message):
        create_segmenter(config("yolo", path), NOCS_CATEGORIES, "cpu")


def corrupt_weights(original: Path, target: Path, rng: random.Random) -> None:
    """Write a copy with flipped, lost or repeated bytes: of the file, or of its pickle with the right checksum."""
    if rng.random() < 0.3:
        target.write_bytes(corrupt(original.read_bytes(), rng))
        return
    with zipfile.ZipFile(original) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            copy.writestr(name, corrupt(content, rng) if name.endswith("data.pkl") else content)


def corrupt(content: bytes, rng: random.Random) -> bytes:
    place, length = rng.randrange(len(content)), rng.randrange(1, 8)
    head, middle, tail = content[:place], content[place : place + length], content[place + length :]
    flipped = bytes(byte ^ (1 << rng.randrange(8)) for byte in middle)
    return rng.choice([head + flipped + tail, head + rng.randbytes(length) + tail, head + middle * 3 + tail, head])


@pytest.mark.parametrize("seed", range(int(os.environ.get("CLIPOSE_WEIGHT_SEEDS", "12"))))
def test_corrupted_weights_are_refused_in_one_line_or_run(
    random_weights: Path, tmp_path: Path, seed: int, make_frame: Callable[..., RgbdFrame], image: ByteArray
) -> None:
    path = tmp_path / "corrupted.pt"
    corrupt_weights(random_weights, path, random.Random(seed))
    try:
        create_segmenter(config("yolo", path), NOCS_CATEGORIES, "cpu").segment(make_frame(rgb=image))
    except SegmentationError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message


def test_boxes_that_claim_masks_are_refused(make_weights: Callable[..., Path]) -> None:
    def claim(network: torch.nn.Module) -> None:
        network.task = "segment"
        network.names[41] = "cup"

    with pytest.raises(SegmentationError, match="a network without masks"):
        create_segmenter(config("yolo", make_weights("yolov8n.yaml", claim)), NOCS_CATEGORIES, "cpu")


@pytest.mark.parametrize(
    ("message", "line"),
    [("one.\ntwo", "one"), ("", "ValueError"), ("a\x1b[31mb", r"a\x1b[31mb"), ("x" * 300, "x" * 199 + "…")],
)
def test_first_line_is_one_printable_line(message: str, line: str) -> None:
    assert first_line(ValueError(message)) == line
