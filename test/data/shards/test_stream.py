"""Training clouds from memory and from shards: order, balance, URLs and error messages."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.atomic_files import write_atomically
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.cloud_source import InMemorySource
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards import stream as shard_stream
from clipose_ros.data.shards.codec import EncodedCloud, iter_tar_bytes
from clipose_ros.data.shards.manifest import Manifest, Shard
from clipose_ros.data.shards.reader import read_shards
from clipose_ros.data.shards.stores import compute_sha256
from clipose_ros.data.shards.stream import ShardStream, open_clouds
from clipose_ros.errors import ConfigError, DataError

NAMES = NOCS_CATEGORIES.names
ARRAYS = ("points", "category_index", "T_camera_object", "size", "handle_visible", "visible_fraction")


def write_shards(folder: Path, kinds: list[list[str]]) -> Path:
    """Write shards of small clouds; the first point of the n-th cloud is n."""
    written, number = [], 0
    for i, names in enumerate(kinds):
        path = folder / f"clouds-{i:06d}.tar"
        clouds = [(f"{number + k:07d}", make_cloud(number + k, name)) for k, name in enumerate(names)]
        write_atomically(path, iter_tar_bytes(clouds))
        counts = {name: names.count(name) for name in NAMES}
        written.append(Shard(path.name, i, 1, len(names), path.stat().st_size, compute_sha256(path), counts))
        number += len(names)
    Manifest({"seed": 0, "image_side": 8}, len(kinds), NOCS_CATEGORIES, tuple(written)).write(folder)
    return folder


def make_cloud(number: int, name: str) -> CloudSample:
    pose = np.eye(4, dtype=np.float32)
    pose[:3, 3] = number
    points = number + np.linspace(0.0, 0.3, 6, dtype=np.float32)[:, None].repeat(3, axis=1)
    image = np.full((8, 8, 3), (number, 3, 200), dtype=np.uint8)
    return CloudSample(points, name, pose, np.ones(3, np.float32), number % 2 == 0, 0.7, image)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with seventeen mugs in five shards, one of them empty."""
    return write_shards(tmp_path_factory.mktemp("numbered"), [["mug"] * count for count in (4, 0, 7, 1, 5)])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three categories of different frequency in four shards."""
    return write_shards(tmp_path_factory.mktemp("mixed"), [["mug"] * 7 + ["can"] * 3 + ["bowl"] * 2] * 4)


def numbers(samples: CloudSamples) -> list[int]:
    return [int(n) for n in samples.points[:, 0, 0]]


def fetch_numbers(source: InMemorySource | ShardStream, first: int, count: int) -> list[int]:
    samples, rows = source.fetch(range(first, first + count))
    assert rows.tolist() == numbers(samples), "rows are indices among the stored clouds"
    return rows.tolist()


@given(window=st.integers(1, 6), batch=st.integers(1, 9), seed=st.integers(0, 99), start=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_position_has_the_same_cloud_in_every_run(mixed: Path, window: int, batch: int, seed: int, start: int) -> None:
    straight, resumed = (ShardStream(mixed, seed=seed, window=window) for _ in range(2))
    whole = [n for first in range(0, start, batch) for n in fetch_numbers(straight, first, batch)]
    assert fetch_numbers(resumed, start, 3) == fetch_numbers(straight, start, 3)
    assert (
        whole[:start] == fetch_numbers(ShardStream(mixed, seed=seed, window=window), 0, start)[:start]
        if start
        else True
    )


@given(window=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_epoch_of_one_category_contains_every_cloud_once(numbered: Path, window: int, seed: int) -> None:
    for source in (ShardStream(numbered, seed=seed, window=window), InMemorySource(read_shards(numbered), seed)):
        for epoch in (0, 1):
            assert sorted(fetch_numbers(source, 17 * epoch, 17)) == list(range(17))


@pytest.mark.parametrize("window", [1, 4])
def test_stream_is_balanced_over_categories(mixed: Path, window: int) -> None:
    stream = ShardStream(mixed, seed=1, window=window)
    samples, _ = stream.fetch(range(len(stream)))
    counts = np.bincount(samples.category_index, minlength=6)
    assert counts[counts > 0].tolist() == [16, 16, 16]
    assert stream.counts.tolist() == [0, 8, 0, 12, 0, 28] and len(stream) == 48
    everything = {n for epoch in range(12) for n in fetch_numbers(stream, 48 * epoch, 48)}
    assert everything == set(range(48)), "every cloud is drawn after some epochs"


def test_memory_and_stream_have_the_same_counts(mixed: Path) -> None:
    memory = InMemorySource(read_shards(mixed), 3)
    assert memory.counts.tolist() == ShardStream(mixed, seed=3).counts.tolist()
    times = Counter(fetch_numbers(memory, 0, 48))
    assert {times[n] for n in range(48) if n % 12 >= 10} == {2}, "bowls are drawn twice"


def test_order_depends_on_seed_and_epoch(numbered: Path) -> None:
    for make in (
        lambda seed: ShardStream(numbered, seed=seed),
        lambda seed: InMemorySource(read_shards(numbered), seed),
    ):
        first, second = fetch_numbers(make(1), 0, 17), fetch_numbers(make(1), 17, 17)
        assert first != second and first != sorted(first) and fetch_numbers(make(2), 0, 17) != first
    place = ShardStream(numbered, seed=1, window=2).locate(20)
    assert place.epoch == 1


def test_each_shard_is_read_once_per_epoch(numbered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    original = shard_stream.read_encoded

    def read_and_record(source: str | Path, shard: Shard) -> list[EncodedCloud]:
        reads.append(shard.name)
        return original(source, shard)

    monkeypatch.setattr(shard_stream, "read_encoded", read_and_record)
    stream = ShardStream(numbered, seed=3, window=2)
    for position in range(len(stream)):
        stream.fetch([position])
        assert 0 < stream.buffered_clouds <= 12
    assert len(reads) == len(set(reads)) and len(reads) >= 4


def test_images_are_optional(numbered: Path) -> None:
    samples, rows = ShardStream(numbered, seed=0).fetch(range(5))
    assert samples.images is not None
    np.testing.assert_array_equal(samples.images[:, 4, 4], [(n, 3, 200) for n in rows])
    without_images = ShardStream(numbered, seed=0, images=False)
    assert not without_images.has_images and without_images.fetch(range(5))[0].images is None


def test_folders_are_streamed_and_files_are_read_into_memory(numbered: Path, mixed: Path, tmp_path: Path) -> None:
    both = open_clouds(numbered, mixed, seed=1, images=True)
    assert both.in_memory is None and both.counts.sum() == 65
    read_shards(mixed).save(tmp_path / "some.npz")
    alone = open_clouds(tmp_path / "some.npz", seed=1, images=False)
    together = open_clouds(tmp_path / "some.npz", str(numbered), seed=1, images=False)
    assert alone.in_memory is not None and len(alone.in_memory) == 48
    assert together.in_memory is not None and together.counts.sum() == 65


def test_invalid_sources_raise(numbered: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="window of at least 1 shard, got 1 sources and a window of 0"):
        ShardStream(numbered, seed=1, window=0)
    with pytest.raises(DataError, match=r"manifest\.json"):
        open_clouds("file:///nowhere", seed=0, images=False)
    some = read_shards(numbered)
    none = CloudSamples(*(getattr(some, name)[:0] for name in ARRAYS))
    with pytest.raises(DataError, match="at least 1 cloud"):
        InMemorySource(none, 0)
    wrong = write_shards(tmp_path, [["mug", "can"]])
    (wrong / "clouds-000000.tar").write_bytes((numbered / "clouds-000003.tar").read_bytes())
    with pytest.raises(DataError, match=r"clouds-000000\.tar cannot be read \(it .* the manifest"):
        ShardStream(wrong, seed=0).fetch(range(1))


@pytest.fixture
def server_url(mixed: Path) -> Iterator[str]:
    """Serve the shards over HTTP on this machine and return the URL."""
    handler = functools.partial(Quiet, directory=str(mixed))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_http_file_and_pipe_urls_are_streamed(mixed: Path, server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    expected = fetch_numbers(ShardStream(mixed, seed=5, window=2), 0, 60)
    for url in (f"file://{mixed}", server_url, f"{server_url}/", f"pipe:cat {mixed}/{{}}", f"pipe:cat {mixed}"):
        stream = open_clouds(url, seed=5, images=False)
        assert stream.in_memory is None
        assert fetch_numbers(ShardStream(url, seed=5, window=2), 0, 60) == expected, url
    with pytest.raises(DataError, match=r"nothing/manifest\.json"):
        ShardStream(f"{server_url}/nothing", seed=0)


def test_shard_name_with_a_shell_command_raises(mixed: Path, tmp_path: Path) -> None:
    manifest = (mixed / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(manifest.replace("clouds-", f"x; touch {tmp_path}/harm; "))
    with pytest.raises(DataError, match="expected a plain file name"):
        ShardStream(f"pipe:cat {tmp_path}/{{}}", seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
