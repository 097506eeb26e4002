"""Frozen test sets: hashes, and clouds that differ."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.cli import evaluate, generate
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.synthetic.scene_source import SimulatedScenes
from clipose_ros.data.test_sets import FrozenTestSet, hash_points, hash_truths, read_test_set
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.resources import share_folders

NAMES = sorted(path.stem for path in (share_folders()[0] / "config" / "test_sets").glob("*.yaml"))


@pytest.fixture
def samples() -> CloudSamples:
    rng = np.random.default_rng(0)
    return CloudSamples(
        points=rng.normal(size=(5, 64, 3)).astype(np.float32),
        category_index=np.arange(5),
        T_camera_object=np.tile(np.eye(4, dtype=np.float32), (5, 1, 1)),
        size=np.full((5, 3), 0.1, np.float32),
        handle_visible=np.ones(5, bool),
        visible_fraction=np.ones(5, np.float32),
    )


def freeze(samples: CloudSamples) -> FrozenTestSet:
    return FrozenTestSet(clouds=5, truths_sha256=hash_truths(samples), points_sha256=hash_points(samples))


def test_equal_clouds_of_any_memory_layout_pass(samples: CloudSamples) -> None:
    other = replace(samples, points=np.asfortranarray(samples.points).astype(">f4"))
    freeze(samples).check("some", other)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("points", "the points of the clouds are not"),
        ("T_camera_object", "the truths of the clouds are not"),
        ("size", "the truths of the clouds are not"),
        ("visible_fraction", "the truths of the clouds are not"),
        ("category_index", "the truths of the clouds are not"),
        ("handle_visible", "the truths of the clouds are not"),
    ],
)
def test_one_changed_value_is_refused(samples: CloudSamples, name: str, message: str) -> None:
    array = getattr(samples, name).copy()
    last = array.reshape(-1)
    last[-1] = not last[-1] if array.dtype == bool else last[-1] * 0 + 3
    with pytest.raises(DataError, match=rf"{message}.*generate --test-set some"):
        freeze(samples).check("some", replace(samples, **{name: array}))


def test_other_order_number_and_categories_are_refused(samples: CloudSamples) -> None:
    frozen = freeze(samples)
    with pytest.raises(DataError, match="truths"):
        frozen.check("some", samples.select(np.arange(5)[::-1]))
    with pytest.raises(DataError, match="has 5 clouds, got 4"):
        frozen.check("some", samples.select(np.arange(4)))
    with pytest.raises(DataError, match="truths"):
        frozen.check("some", replace(samples, categories=CategorySet(tuple(NOCS_CATEGORIES)[::-1])))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_sets_can_be_read(name: str) -> None:
    frozen = read_test_set(name)
    assert len(frozen.truths_sha256) == len(frozen.points_sha256) == 64
    assert frozen.clouds > 1000


@pytest.mark.parametrize("name", NAMES)
def test_simulators_make_the_clouds_of_the_shipped_sets(name: str) -> None:
    """The first scene of each set is as it was: a simulator whose clouds change gets a new name."""
    frozen = read_test_set(name)
    samples = SimulatedScenes(frozen.seed, simulator=frozen.simulator, renderer="rays").generate_samples(1)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and "avx512f" in cpuinfo.read_text() and "AuthenticAMD" in cpuinfo.read_text():
        assert hash_points(samples) == frozen.first_scene_sha256
    assert len(samples) > 2


@pytest.mark.parametrize("name", ["nothing", "../pose", "a/b"])
def test_unknown_sets_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        read_test_set(name)


def test_commands_compare_clouds_with_the_set(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config" / "test_sets").mkdir(parents=True)
    monkeypatch.setattr("clipose_ros.resources.share_folders", lambda: [tmp_path, share_folders()[0]])
    description, out = tmp_path / "config" / "test_sets" / "small.yaml", tmp_path / "small.npz"
    assert generate.main(["--scenes", "1", "--seed", "5", "--out", str(out)]) == 0
    made = CloudSamples.load(out)
    text = f"scenes: 1\nseed: 5\nclouds: {len(made)}\ntruths_sha256: {hash_truths(made)}\npoints_sha256: "
    description.write_text(text + hash_points(made))
    assert generate.main(["--test-set", "small", "--out", str(tmp_path / "again.npz")]) == 0
    arguments = ["--data", str(tmp_path / "again.npz"), "--test-set", "small", "--max-passes", "1"]
    description.write_text(text + "a" * 64)
    assert generate.main(["--test-set", "small", "--out", str(tmp_path / "again.npz")]) == 1
    assert evaluate.main(arguments) == 1
    printed = capsys.readouterr().err
    assert printed.count("the points of the clouds are not those of the test set 'small'") == 2


def test_test_set_excludes_options_that_it_defines(capsys: pytest.CaptureFixture[str]) -> None:
    for option in (["--seed", "1"], ["--scenes", "3"], ["--meshes", "m"], ["--image-size", "8"]):
        with pytest.raises(SystemExit):
            generate.main(["--test-set", "tables", "--out", "x.npz", *option])
        assert "not allowed with" in (text := capsys.readouterr().err) or "cannot be combined" in text
