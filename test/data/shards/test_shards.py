"""Shard generation: contents, manifest, interruptions and error messages."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from folder_files import read_files

from clipose_ros.atomic_files import write_atomically
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import generate
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.nocs.dataset import NocsDataset
from clipose_ros.data.nocs.fixture import write_nocs_fixture
from clipose_ros.data.nocs.samples import load_nocs_samples
from clipose_ros.data.nocs.scene_source import NocsFrames
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards import writer
from clipose_ros.data.shards.codec import iter_tar_bytes
from clipose_ros.data.shards.manifest import MANIFEST, Manifest, Shard
from clipose_ros.data.shards.reader import load_clouds, read_shards
from clipose_ros.data.shards.stores import compute_sha256
from clipose_ros.data.shards.writer import generate_shards
from clipose_ros.data.synthetic.scene_source import SimulatedScenes
from clipose_ros.errors import ConfigError, DataError

ARRAYS = ("points", "category_index", "T_camera_object", "size", "handle_visible", "visible_fraction")
SOURCE = SimulatedScenes(seed=5)
SCENES, PER_SHARD = 5, 2
SIZES = (4, 0, 7, 1, 5)
"""Clouds per shard of ``numbered``, one of them empty."""


def assert_equal(one: CloudSamples, other: CloudSamples) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    generate_shards(folder, SOURCE, SCENES, PER_SHARD, workers=2, log=lambda line: None)
    return folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    for name, data in read_files(folder).items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def cloud(number: float, image: bool = False) -> CloudSample:
    """Return a small cloud whose points, pose and image contain its number."""
    pose = np.eye(4, dtype=np.float32)
    pose[:3, 3] = number
    seen = np.full((8, 8, 3), (number, 3, 200), dtype=np.uint8) if image else None
    points = number + np.linspace(0.0, 0.3, 6, dtype=np.float32)[:, None].repeat(3, axis=1)
    return CloudSample(points, "mug", pose, np.ones(3, np.float32) / 3, bool(number % 2), 0.7, seen)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the clouds 0 to 16 in five shards."""
    folder = tmp_path_factory.mktemp("numbered")
    shards, first = [], 0
    for i, count in enumerate(SIZES):
        path = folder / f"clouds-{i:06d}.tar"
        write_atomically(path, iter_tar_bytes((f"{n:07d}", cloud(n, image=True)) for n in range(first, first + count)))
        shards.append(Shard(path.name, i, 1, count, path.stat().st_size, compute_sha256(path), {"mug": count}))
        first += count
    Manifest({"seed": 0}, len(SIZES), NOCS_CATEGORIES, tuple(shards)).write(folder)
    return folder


def numbers(samples: CloudSamples) -> list[int]:
    return [int(n) for n in samples.points[:, 0, 0]]


def test_shards_contain_the_clouds_of_generate_samples(folder: Path) -> None:
    assert_equal(read_shards(folder), SOURCE.generate_samples(SCENES))


def test_manifest_describes_the_shards(folder: Path) -> None:
    record = json.loads((folder / MANIFEST).read_text())
    samples = read_shards(folder)
    assert record["made_by"]["seed"] == 5 and record["scenes"] == SCENES and record["samples"] == len(samples)
    assert record["made_by"]["versions"].keys() >= {"clipose_ros", "numpy", "embreex"}
    for i, name in enumerate(NOCS_CATEGORIES.names):
        assert record["counts"][name] == (samples.category_index == i).sum()
        assert record["counts"][name] == sum(shard["counts"][name] for shard in record["shards"])
    assert [shard["scenes"] for shard in record["shards"]] == [2, 2, 1]
    for shard in record["shards"]:
        path = folder / shard["name"]
        assert (path.stat().st_size, compute_sha256(path)) == (shard["size"], shard["sha256"])
    assert sorted(read_files(folder)) == sorted([MANIFEST, *(shard["name"] for shard in record["shards"])])


def test_webdataset_reads_the_shards(folder: Path) -> None:
    import webdataset

    shards = [str(path) for path in sorted(folder.glob("*.tar"))]
    rows = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    samples = read_shards(folder)
    np.testing.assert_array_equal(np.stack([row["points.npy"] for row in rows]), samples.points)
    assert [row["truth.json"]["category"] for row in rows] == [NOCS_CATEGORIES.names[i] for i in samples.category_index]


def test_second_run_keeps_intact_shards_and_replaces_damaged_ones(copy: Path, folder: Path) -> None:
    names = sorted(path.name for path in copy.glob("*.tar"))
    kept = (copy / names[0]).stat().st_mtime_ns
    damaged = bytearray((copy / names[1]).read_bytes())
    damaged[700] ^= 1
    (copy / names[1]).write_bytes(damaged)
    (copy / names[2]).unlink()
    (copy / ".clouds-000001.tar.1.part").write_bytes(b"half")
    lines: list[str] = []
    generate_shards(copy, SOURCE, SCENES, PER_SHARD, workers=1, log=lines.append)
    assert read_files(copy) == read_files(folder), "the bytes depend neither on workers nor on interruptions"
    assert (copy / names[0]).stat().st_mtime_ns == kept
    assert "1 shards exist, 2 remain" in lines[0]


def test_workers_end_before_the_error_of_the_caller_is_reported(
    copy: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shard, *_) = Manifest.read(copy).shards
    ended = []

    def make_shards(*_: object) -> Iterator[Shard]:
        try:
            yield shard
        finally:
            ended.append(True)

    def fail(line: str) -> None:
        raise BrokenPipeError(line)

    monkeypatch.setattr(writer, "make_shards", make_shards)
    with pytest.raises(BrokenPipeError) as caught:
        generate_shards(tmp_path_factory.mktemp("other"), SOURCE, SCENES, PER_SHARD, workers=2, log=fail)
    assert ended and caught.tb is not None, "the error still holds the frames"


def test_more_scenes_extend_a_folder(copy: Path) -> None:
    generate_shards(copy, SOURCE, SCENES + 1, PER_SHARD, log=lambda line: None)
    assert_equal(read_shards(copy), SOURCE.generate_samples(SCENES + 1))


def test_folder_of_other_settings_raises(copy: Path) -> None:
    before = read_files(copy)
    for other, named in (
        (replace(SOURCE, seed=6), "seed 5, got 6"),
        (replace(SOURCE, image_side=32), "image_side 0, got 32"),
        (replace(SOURCE, library_record={"meshes": "x"}), "objects"),
    ):
        with pytest.raises(ConfigError, match=named):
            generate_shards(copy, other, SCENES, PER_SHARD)
    with pytest.raises(ConfigError, match="scenes_per_shard 2, got 3"):
        generate_shards(copy, SOURCE, SCENES, 3)
    with pytest.raises(ConfigError, match="made for 5 scenes, got 4"):
        generate_shards(copy, SOURCE, 4, PER_SHARD)
    assert read_files(copy) == before


def test_full_disk_raises_and_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"x\.tar could not be written \(No space left on device\): free disk space"):
        write_atomically(tmp_path / "x.tar", iter_tar_bytes([("1", cloud(1))]))
    assert not list(tmp_path.iterdir())


def test_command_at_its_file_size_limit_fails_with_advice(tmp_path: Path) -> None:
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    run = f"{limit}; from clipose_ros.cli import generate; sys.exit(generate.main(sys.argv[1:]))"
    options = ["--seed", "1", "--shards", str(tmp_path), "--scenes", "1"]
    done = subprocess.run([sys.executable, "-c", run, *options], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "could not be written (File too large)" in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]
    done = subprocess.run(
        [sys.executable, "-c", run, "--seed", "1", "--out", str(tmp_path / "clouds.npz"), "--scenes", "1"],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 1 and "clouds.npz could not be written (File too large): free disk space" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


@pytest.mark.timeout(300)
def test_killed_run_leaves_complete_shards_and_continues(tmp_path: Path) -> None:
    options = ["--seed", "5", "--shards", str(tmp_path), "--scenes", "8", "--scenes-per-shard", "1", "--workers", "2"]
    command = [sys.executable, "-m", "clipose_ros.cli.generate", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "7 scenes to go" in process.stdout.readline()  # one shard is whole and listed
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert process.returncode == -signal.SIGKILL and len(workers) >= 2
    deadline = time.monotonic() + 60
    while any(is_running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(worker) for worker in workers), "the workers end with the command"
    listed = Manifest.read(tmp_path)
    whole = sorted(tmp_path.glob("*.tar"))
    assert 0 < len(listed.shards) <= len(whole) < 8
    for path in whole:
        with tarfile.open(path) as tar:
            assert len(tar.getnames()) % 2 == 0
    for shard in listed.shards:
        assert compute_sha256(tmp_path / shard.name) == shard.sha256
    with pytest.raises(DataError, match="lacks .* scenes: run the same"):
        read_shards(tmp_path)
    assert generate.main(options) == 0
    assert not list(tmp_path.glob(".*")) and Manifest.read(tmp_path).missing_scenes == 0
    assert_equal(read_shards(tmp_path), SOURCE.generate_samples(8))


def is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_images_are_stored_without_loss(numbered: Path) -> None:
    images = read_shards(numbered).images
    assert images is not None
    np.testing.assert_array_equal(images[:, 4, 4], [(n, 3, 200) for n in range(sum(SIZES))])


def test_missing_truncated_and_foreign_files_raise(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(DataError, match=r"nowhere/manifest\.json is not a manifest"):
        read_shards("nowhere")
    whole = (copy / "clouds-000001.tar").read_bytes()
    for length in (0, 512 * 3, len(whole) // 2, len(whole) // 3):
        (copy / "clouds-000001.tar").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"clouds-000001\.tar"):
            read_shards(copy)
    record = json.loads((copy / MANIFEST).read_text())
    record["shards"][0]["name"] = "../clouds-000000.tar"
    (copy / MANIFEST).write_text(json.dumps(record))
    with pytest.raises(DataError, match="expected a plain file name"):
        read_shards(copy)


def test_files_and_folders_are_concatenated(folder: Path, tmp_path: Path) -> None:
    samples = SimulatedScenes(9).generate_samples(1)
    samples.save(tmp_path / "more.npz")
    both = load_clouds(folder, tmp_path / "more.npz")
    assert len(both) == len(samples) + len(read_shards(folder))
    np.testing.assert_array_equal(both.points[: len(samples)], samples.points)
    assert_equal(load_clouds(tmp_path / "more.npz"), samples)


def test_shards_of_nocs_frames_equal_the_single_file(tmp_path: Path) -> None:
    root, folder, wanted = tmp_path / "nocs", tmp_path / "shards", tmp_path / "one.npz"
    write_nocs_fixture(root, "real_train", scenes=1, frames=3, seed=2)
    options = ["--nocs", str(root), "--seed", "4", "--image-size", "24", "--box-centred-mugs"]
    shards = ["--shards", str(folder), "--scenes-per-shard", "1", "--workers", "2"]
    assert generate.main([*options, "--out", str(wanted)]) == 0
    assert generate.main([*options, *shards, "--frames", "2"]) == 0
    assert Manifest.read(folder).scenes == 2
    two = read_files(folder)
    assert generate.main([*options, *shards]) == 0, "more frames extend it"
    assert {name: read_files(folder)[name] for name in two if name != MANIFEST}.items() <= two.items()
    one, many = CloudSamples.load(wanted), read_shards(folder)
    assert one.images is not None and many.images is not None and many.images.shape[1:] == (24, 24, 3)
    for name in (*ARRAYS, "images"):  # shards have the frames in random order
        rows = [sorted(zip(c.points.tolist(), getattr(c, name).tolist(), strict=True)) for c in (one, many)]
        assert rows[0] == rows[1], name
    assert Manifest.read(folder).made_by["objects"]["mug_centre"] == "box"
    assert generate.main([*options[:-1], *shards]) == 1, "another mug centre needs another folder"


def test_nocs_frames_are_drawn_in_an_order_that_depends_on_the_seed(tmp_path: Path) -> None:
    write_nocs_fixture(tmp_path, "real_train", scenes=1, frames=2, seed=2)
    dataset = NocsDataset(tmp_path, "real_train")
    source = NocsFrames(dataset, seed=1)
    first = [cloud.points for cloud in source.generate_clouds(0)]
    np.testing.assert_array_equal(np.stack(first), load_nocs_samples(dataset, seed=1, frames=1).points)
    assert source.as_record() != NocsFrames(dataset, seed=2).as_record()
    (tmp_path / "Real" / "train" / "scene_1" / "0001_color.png").unlink()
    assert source.as_record() != NocsFrames(NocsDataset(tmp_path, "real_train"), seed=1).as_record()
