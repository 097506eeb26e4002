"""Proposed labels: stable parts, polygons of the masks, and labels of a person that are never replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.data.rgbd_writer import RgbdFolderWriter
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.segmenter_training.dataset_file import read_image_dataset, read_polygons
from clipose_ros.segmenter_training.proposals import ProposalConfig, choose_part, propose_labels
from clipose_ros.segmenter_training.source_images import find_images
from clipose_ros.types import CameraIntrinsics, InstanceMask, Rejection, RejectionReason, RgbdFrame

NAMES = NOCS_CATEGORIES.names
SHAPE = (48, 64)
DIGESTS = st.binary(min_size=1, max_size=8).map(lambda data: hashlib.sha256(data).hexdigest())


class BrightSegmenter:
    """Segmenter that reports the bright pixels as a mug; it counts its frames."""

    def __init__(self) -> None:
        self.frames: list[RgbdFrame] = []

    def segment(self, frame: RgbdFrame) -> Sequence[InstanceMask | Rejection]:
        self.frames.append(frame)
        found = InstanceMask.from_full("mug", 0.9, frame.rgb[..., 0] > 150)
        return [Rejection("can", RejectionReason.TOO_FEW_POINTS, "3 points"), *([found] if found else [])]

    def reconfigure(self, config: SegmentationConfig) -> None:
        raise NotImplementedError


def write_photos(folder: Path, count: int, first: int = 0) -> Path:
    """Write images with a bright rectangle each; the grey level of the background counts them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        image = np.full((*SHAPE, 3), number % 100, np.uint8)
        image[10:30, 20:45] = 200
        cv2.imwrite(str(folder / f"{number:03d}.png"), image)
    return folder


def label_files(dataset: Path) -> dict[str, bytes]:
    return {str(path.relative_to(dataset)): path.read_bytes() for path in sorted(dataset.rglob("labels/*/*.txt"))}


@given(digest=DIGESTS, shares=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)))
def test_a_larger_share_only_adds_validation_images(digest: str, shares: tuple[float, float]) -> None:
    small, large = (choose_part(digest, share) for share in sorted(shares))
    assert small == "train" or large == "val"
    assert choose_part(digest, 0.0) == "train" and choose_part(digest, 1.0) == "val"


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_parts_have_the_stated_share(share: float) -> None:
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(3000)]
    count = sum(choose_part(digest, share) == "val" for digest in digests)
    assert abs(count / 3000 - share) < 4 * np.sqrt(share * (1 - share) / 3000)


def test_the_data_set_is_one_that_can_be_trained_on(tmp_path: Path) -> None:
    config = ProposalConfig(tmp_path / "set", NAMES, val_share=0.4)
    summary = propose_labels(find_images(write_photos(tmp_path / "photos", 12)), BrightSegmenter(), config)
    assert (summary.proposed, summary.kept, summary.objects) == (12, 0, {"mug": 12})
    dataset = read_image_dataset(tmp_path / "set/dataset.yaml", ("train", "val"))
    assert dataset.names == NAMES
    images = {part: dataset.list_images(part) for part in ("train", "val")}
    assert {part: len(paths) for part, paths in images.items()} == summary.parts and summary.parts.total() == 12
    for path in (*images["train"], *images["val"]):
        (polygon,) = read_polygons(path)
        canvas = np.zeros(SHAPE, np.uint8)
        cv2.fillPoly(canvas, [np.rint(polygon * SHAPE[::-1] - 0.5).astype(np.int32)], 1)
        np.testing.assert_array_equal(canvas > 0, cv2.imread(str(path))[..., 0] > 150)
        assert (tmp_path / f"set/proposals/{path.stem}.jpg").exists()


def test_labels_that_exist_are_kept_and_images_stay_in_their_part(tmp_path: Path) -> None:
    photos, out = write_photos(tmp_path / "photos", 8), tmp_path / "set"
    propose_labels(find_images(photos), BrightSegmenter(), ProposalConfig(out, NAMES, 0.5))
    corrected, emptied, deleted, *_ = sorted(out.rglob("labels/*/*.txt"))
    corrected.write_text("2 0.1 0.1 0.2 0.1 0.2 0.2\n")
    emptied.write_text("")
    before = label_files(out)
    deleted.unlink()
    write_photos(photos, 3, first=8)
    segmenter = BrightSegmenter()
    summary = propose_labels(find_images(photos), segmenter, ProposalConfig(out, NAMES, 1.0))
    assert (summary.proposed, summary.kept, len(segmenter.frames)) == (4, 7, 4)
    after = label_files(out)
    assert before.items() <= after.items() and len(after) == 11
    images = [path.name for path in out.rglob("images/*/*.png")]
    assert len(images) == len(set(images)) == 11


def test_images_of_two_recordings_never_replace_each_other(tmp_path: Path) -> None:
    camera = CameraIntrinsics(60.0, 60.0, 31.5, 23.5, *SHAPE[::-1])
    segmenter, out = BrightSegmenter(), tmp_path / "set"
    for recording, level in (("a", 10), ("b", 200)):
        writer = RgbdFolderWriter(tmp_path / recording)
        for metres in (0.5, 1.0):
            rgb = np.full((*SHAPE, 3), level + round(10 * metres), np.uint8)
            writer.write(RgbdFrame(rgb, np.full(SHAPE, metres, np.float32), camera))
        propose_labels(find_images(tmp_path / recording), segmenter, ProposalConfig(out, NAMES, part="val"))
    assert [round(float(frame.depth[0, 0]), 3) for frame in segmenter.frames] == [0.5, 1.0, 0.5, 1.0]
    assert len(label_files(out)) == 4
    assert sum(bool(content) for content in label_files(out).values()) == 2, "an image without object has no line"


def test_a_data_set_of_other_classes_is_refused(tmp_path: Path) -> None:
    photos, out = find_images(write_photos(tmp_path / "photos", 1)), tmp_path / "set"
    propose_labels(photos, BrightSegmenter(), ProposalConfig(out, NAMES))
    document = yaml.safe_load((out / "dataset.yaml").read_text())
    (out / "dataset.yaml").write_text(yaml.safe_dump(document | {"names": ["cup"]}))
    with pytest.raises(ConfigError, match=r"dataset\.yaml.*cup"):
        propose_labels(photos, BrightSegmenter(), ProposalConfig(out, NAMES))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("photo.heic", b"x", r"photo\.heic.*convert"),
        ("photo.png", b"x", r"photo\.png.*cannot be read"),
        ("000-depth.png", b"x", "no pair"),
        (".hidden.png", b"x", r"no \.jpg"),
    ],
)
def test_images_that_cannot_be_used_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        propose_labels(find_images(tmp_path / "in"), BrightSegmenter(), ProposalConfig(tmp_path / "set", NAMES))
    assert not list(tmp_path.rglob("*.txt"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none"):
        find_images(tmp_path / "none")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_an_impossible_share_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(ConfigError, match="share"):
        ProposalConfig(tmp_path, NAMES, share)
