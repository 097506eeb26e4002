"""Folders of RGB-D frames: accepted file names and formats, and error messages."""

import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.errors import DataError

HEIGHT, WIDTH = 6, 8
PINHOLE = {"fx": 610.0, "fy": 612.0, "cx": 4.5, "cy": 3.5}


def write_frame(folder: Path, colour: str, depth: str, millimetres: int = 1500) -> None:
    bgr = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    bgr[..., 2] = 200  # red
    cv2.imwrite(str(folder / colour), bgr)
    raw = np.full((HEIGHT, WIDTH), millimetres, np.uint16)
    raw[0, 0] = 0
    cv2.imwrite(str(folder / depth), raw)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_frame(tmp_path, "000001-color.png", "000001-depth.png", 2000)
    write_frame(tmp_path, "000000-color.png", "000000-depth.png")
    (tmp_path / "camera.json").write_text(json.dumps(PINHOLE))
    return tmp_path


def test_read_returns_frames_in_order_with_metres_and_rgb(folder: Path) -> None:
    frames = open_rgbd_folder(folder)
    assert len(frames) == 2
    frame = frames.read(0, stamp_ns=7, frame_id="camera")
    assert (frame.stamp_ns, frame.frame_id) == (7, "camera")
    assert frame.rgb[2, 2].tolist() == [200, 0, 0]
    assert np.isnan(frame.depth[0, 0])
    np.testing.assert_allclose(frame.depth[1:], 1.5)
    np.testing.assert_allclose(frames.read(1).depth[1:], 2.0)
    k = frames.intrinsics
    assert (k.fx, k.fy, k.cx, k.cy, k.width, k.height) == (610.0, 612.0, 4.5, 3.5, WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("colour", "depth"),
    [
        ("0001_color.jpg", "0001_depth.png"),
        ("rgb_3.png", "depth_3.png"),
        ("RGB-3.PNG", "Depth-3.PNG"),
        ("a.colour.png", "a.depth.png"),
    ],
)
def test_colour_and_depth_are_paired_by_name(tmp_path: Path, colour: str, depth: str) -> None:
    write_frame(tmp_path, colour, depth)
    (tmp_path / "camera.json").write_text(json.dumps(PINHOLE))
    assert [(c.name, d.name) for c, d in open_rgbd_folder(tmp_path).pairs] == [(colour, depth)]


K = [610.0, 0.0, 4.5, 0.0, 612.0, 3.5, 0.0, 0.0, 1.0]
P = [610.0, 0.0, 4.5, 0.0, 0.0, 612.0, 3.5, 0.0, 0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "a.json",
            {"fx": 610.0, "fy": 612.0, "x_offset": 4.5, "y_offset": 3.5, "img_width": WIDTH, "img_height": HEIGHT},
        ),
        ("a.json", {"K": [K[:3], K[3:6], K[6:]]}),
        ("a.json", {"cam_K": K}),
        (
            "a.yaml",
            {"image_width": WIDTH, "camera_matrix": {"rows": 3, "data": [0.0] * 9}, "projection_matrix": {"data": P}},
        ),
        ("a.yml", {"width": WIDTH, "height": HEIGHT, "k": K, "p": P}),
    ],
)
def test_intrinsics_are_read_from_every_format(folder: Path, name: str, values: dict) -> None:
    (folder / "camera.json").unlink()
    (folder / name).write_text(json.dumps(values) if name.endswith("json") else yaml.safe_dump(values))
    k = open_rgbd_folder(folder).intrinsics
    assert (k.fx, k.fy, k.cx, k.cy) == (610.0, 612.0, 4.5, 3.5)


@pytest.mark.parametrize(("key", "value"), [("depth_scale", 0.0001), ("factor_depth", 10000)])
def test_depth_unit_is_read_from_the_camera_file(folder: Path, key: str, value: float) -> None:
    (folder / "camera.json").write_text(json.dumps({**PINHOLE, key: value}))
    np.testing.assert_allclose(open_rgbd_folder(folder).read(0).depth[1:], 0.15, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth_scale": 1000}, "metres per unit"),
        ({"factor_depth": 0}, "units per metre"),
        ({"img_width": 640}, "width of 640, but the colour images have 8"),
        ({"fx": 0.0}, "fx=0.0"),
        ({"fx": "wide"}, "not a number"),
    ],
)
def test_invalid_intrinsics_raise(folder: Path, changes: dict, message: str) -> None:
    (folder / "camera.json").write_text(json.dumps({**PINHOLE, **changes}))
    with pytest.raises(DataError, match=message):
        open_rgbd_folder(folder)


def test_missing_folder_images_and_intrinsics_raise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        open_rgbd_folder(tmp_path / "absent")
    with pytest.raises(DataError, match="0 colour and 0 depth images"):
        open_rgbd_folder(tmp_path)
    write_frame(tmp_path, "0-color.png", "0-depth.png")
    with pytest.raises(DataError, match="no JSON or YAML"):
        open_rgbd_folder(tmp_path)
    (tmp_path / "notes.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="looked into notes.json"):
        open_rgbd_folder(tmp_path)
    (tmp_path / "notes.json").write_text("{")
    with pytest.raises(DataError, match="notes.json.*cannot be read"):
        open_rgbd_folder(tmp_path)


def test_depth_image_of_eight_bits_raises(folder: Path) -> None:
    cv2.imwrite(str(folder / "000000-depth.png"), np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(DataError, match="000000-depth.png.*16-bit.*uint8"):
        open_rgbd_folder(folder).read(0)


def test_depth_image_of_another_size_raises(folder: Path) -> None:
    cv2.imwrite(str(folder / "000000-depth.png"), np.zeros((2, 2), np.uint16))
    with pytest.raises(DataError, match="000000-depth.png.*2x2.*registered"):
        open_rgbd_folder(folder).read(0)


def test_damaged_image_raises(folder: Path) -> None:
    (folder / "000001-color.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="000001-color.png"):
        open_rgbd_folder(folder).read(1)


def test_image_that_states_too_many_pixels_is_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("000000-color.png", "000001-depth.png"):
        data = bytearray((folder / name).read_bytes())
        data[16:24] = (16000).to_bytes(4, "big") * 2
        (folder / name).write_bytes(data)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("pixels are decoded"))
    with pytest.raises(DataError, match="000000-color.png.*states 16000x16000 pixels"):
        open_rgbd_folder(folder)


def test_damaged_pictures_are_refused_or_equal(folder: Path) -> None:
    frames, rng = open_rgbd_folder(folder), random.Random(3)
    whole = {name: (folder / name).read_bytes() for name in ("000000-color.png", "000000-depth.png")}
    expected = frames.read(0)
    for name, data in whole.items():
        for _ in range(80):
            content, place = bytearray(data), rng.randrange(len(data))
            content[place : place + rng.choice([0, 1, 20])] = rng.randbytes(rng.choice([1, 4, 30]))
            (folder / name).write_bytes(content)
            try:
                frame = frames.read(0)
            except DataError as error:
                message = str(error)
                assert name in message and "\n" not in message
            else:
                np.testing.assert_array_equal(frame.rgb, expected.rgb)
                np.testing.assert_array_equal(frame.depth, expected.depth)
        (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{}", "null", '{"fx": 1e999, "fy": 1, "cx": 1, "cy": 1}', '{"K": [[1], 2]}']
)
def test_other_json_is_no_camera(folder: Path, text: str) -> None:
    (folder / "camera.json").write_text(text)
    with pytest.raises(DataError) as caught:
        open_rgbd_folder(folder)
    assert "\n" not in str(caught.value)
