"""Shards in stores of fsspec: the same files as in a folder, and errors of one line."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from folder_files import read_files
from fsspec.implementations.memory import MemoryFileSystem

from clipose_ros.cli import generate
from clipose_ros.data.shards.manifest import MANIFEST
from clipose_ros.data.shards.reader import load_clouds, read_shards
from clipose_ros.data.shards.writer import generate_shards
from clipose_ros.data.synthetic.scene_source import SimulatedScenes
from clipose_ros.errors import CliposeError, ConfigError, DataError

SOURCE = SimulatedScenes(seed=5)


class LostError(Exception):
    """Exception of a driver's library; like those of botocore, it is no OSError."""


class FailingStore(MemoryFileSystem):
    """Store whose call ``fails`` raises."""

    protocol = "failing"
    fails: str | None = None

    def _open(self, *arguments: Any, **options: Any) -> Any:
        self.fail("open")
        return super()._open(*arguments, **options)

    def info(self, *arguments: Any, **options: Any) -> Any:
        self.fail("info")
        return super().info(*arguments, **options)

    def pipe_file(self, *arguments: Any, **options: Any) -> None:
        self.fail("pipe_file")
        super().pipe_file(*arguments, **options)

    def fail(self, call: str) -> None:
        if call == FailingStore.fails:
            raise LostError("the bucket\nis gone")


@pytest.fixture
def memory() -> Iterator[str]:
    """Return the URL of a new folder in the memory of this process."""
    url = f"memory://{uuid.uuid4().hex}/train"
    yield url
    fsspec.filesystem("memory").rm(url, recursive=True)


@pytest.fixture
def failing() -> Iterator[str]:
    """Return the URL of a folder with one shard whose store can be made to fail."""
    fsspec.register_implementation("failing", FailingStore, clobber=True)
    url = f"failing://{uuid.uuid4().hex}"
    generate_shards(url, SOURCE, 1, 1, log=lambda line: None)
    yield url
    FailingStore.fails = None


def test_store_holds_the_files_of_a_folder_and_is_continued_like_it(memory: str, tmp_path: Path) -> None:
    store, path = fsspec.core.url_to_fs(memory)
    assert generate.main(["--seed", "5", "--scenes", "3", "--scenes-per-shard", "1", "--shards", memory]) == 0
    generate_shards(tmp_path, SOURCE, 3, 1, log=lambda line: None)
    expected = read_files(tmp_path)
    assert {name.rpartition("/")[2]: store.cat_file(name) for name in store.ls(path, detail=False)} == expected
    assert (read_shards(memory).points == load_clouds(tmp_path).points).all()
    damaged = bytearray(expected["clouds-000001.tar"])
    damaged[700] ^= 1
    store.pipe_file(f"{path}/clouds-000001.tar", bytes(damaged))
    store.rm(f"{path}/clouds-000002.tar")
    lines: list[str] = []
    generate_shards(memory, SOURCE, 3, 1, log=lines.append)
    assert lines[0] == "1 shards exist, 2 remain"
    assert {name.rpartition("/")[2]: store.cat_file(name) for name in store.ls(path, detail=False)} == expected
    with pytest.raises(ConfigError, match=f"{memory} was made for 3 scenes, got 2"):
        generate_shards(memory, SOURCE, 2, 1)


@pytest.mark.parametrize("host", ["", "localhost"])
def test_file_url_is_a_folder_of_this_machine(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"file://{host}{tmp_path}/a%20new"
    generate_shards(url, SOURCE, 1, 1, log=lambda line: None)
    (tmp_path / "a new" / "x.part").write_bytes(b"half")
    generate_shards(url, SOURCE, 1, 1, log=lambda line: None)
    assert sorted(read_files(tmp_path / "a new")) == ["clouds-000000.tar", MANIFEST]
    assert len(read_shards(url)) == len(read_shards(tmp_path / "a new"))


@pytest.mark.parametrize("url", ["file://data/train", "file://localhost", "file:///a%00b"])
def test_file_url_of_another_machine_is_refused(url: str) -> None:
    with pytest.raises(DataError, match=f"the URL '{url}' names no path of this machine: write it as file:///data"):
        generate_shards(url, SOURCE, 1, 1)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://bucket/train", "cannot be opened (Install s3fs to access S3): install the package"),
        ("nonsense://x/train", "cannot be opened (Protocol not known: nonsense): use a URL that fsspec knows"),
        ("ftp://127.0.0.1:1/train", "cannot be opened (Connection refused): check address"),
        ("pipe:cat x/{}", "shards cannot be written to pipe:cat x/{}: use a folder, or a store"),
        (
            "https://127.0.0.1:1/train",
            "shards cannot be written to https://127.0.0.1:1/train: use a folder, or a store",
        ),
        ("s3://b/`true`", "has characters that are not allowed"),
    ],
)
def test_stores_that_cannot_be_written_are_named(url: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--seed", "5", "--scenes", "1", "--shards", url]) == 1
    said = capsys.readouterr().err
    assert reason in said and url in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("info", "cannot be opened (the bucket is gone): check address, credentials and network"),
        ("open", "cannot be opened (the bucket is gone): check address, credentials and network"),
        ("pipe_file", "(the bucket is gone): check address, credentials and network"),
    ],
)
def test_exceptions_of_drivers_become_one_line(failing: str, call: str, message: str) -> None:
    FailingStore.fails = call
    with pytest.raises(CliposeError) as caught:
        generate_shards(failing, SOURCE, 2, 1, log=lambda line: None)
    assert message in str(caught.value) and failing in str(caught.value) and "\n" not in str(caught.value)
    FailingStore.fails = None
    generate_shards(failing, SOURCE, 2, 1, log=lambda line: None)
    FailingStore.fails = "open"
    with pytest.raises(DataError, match="the bucket is gone"):
        read_shards(failing)
