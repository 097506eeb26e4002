"""The command ``generate --nocs``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import generate
from clipose_ros.data.nocs.fixture import write_nocs_fixture
from clipose_ros.data.samples import CloudSamples


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nocs")
    write_nocs_fixture(root, "real_train", scenes=2, frames=1, seed=1)
    return root


def generated(root: Path, out: Path, *more: str) -> CloudSamples:
    assert generate.main(["--nocs", str(root), "--seed", "0", "--out", str(out), *more]) == 0
    return CloudSamples.load(out)


def test_generate_extracts_clouds_and_images_of_nocs_frames(root: Path, tmp_path: Path) -> None:
    samples = generated(root, tmp_path / "all.npz", "--image-size", "32")
    assert len(samples) >= 6 and samples.categories == NOCS_CATEGORIES
    assert samples.images is not None and samples.images.shape == (len(samples), 32, 32, 3)
    assert 0 < len(generated(root, tmp_path / "one.npz", "--frames", "1")) < len(samples)


def test_generate_centres_mugs_on_their_box_on_request(root: Path, tmp_path: Path) -> None:
    axis = generated(root, tmp_path / "axis.npz")
    box = generated(root, tmp_path / "box.npz", "--box-centred-mugs")
    moved = np.linalg.norm(axis.T_camera_object[:, :3, 3] - box.T_camera_object[:, :3, 3], axis=1)
    mug = box.category_index == NOCS_CATEGORIES.index("mug")
    np.testing.assert_allclose(moved[mug], (box.size[mug, 0] - box.size[mug, 2]) / 2, atol=1e-4)
    assert mug.any() and not moved[~mug].any()


def test_generate_leaves_out_frames_with_missing_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nocs_fixture(tmp_path, "real_train", frames=2, seed=1)
    (tmp_path / "Real" / "train" / "scene_1" / "0001_coord.png").unlink()
    generated(tmp_path, tmp_path / "clouds.npz")
    assert "0001_coord.png" in capsys.readouterr().out


def test_generate_rejects_simulation_options_with_nocs(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--seed", "0", "--out", str(tmp_path / "x.npz")]
    for of_simulation in (["--meshes", "a"], ["--categories", "a"], ["--scenes", "400"]):
        with pytest.raises(SystemExit):
            generate.main(["--nocs", str(root), *of_simulation, *out])
        assert f"{of_simulation[0]} cannot be combined with --nocs\n" in capsys.readouterr().err
    assert generate.main(["--nocs", str(tmp_path / "none"), *out]) == 1
    assert "Real/train" in capsys.readouterr().err
