"""Clouds as WebDataset shards: folders of tar files with a manifest, read from disk or object storage.

A folder holds ``clouds-000000.tar``, ``clouds-000001.tar``, ... and ``manifest.json``. In a tar each cloud is
``KEY.points.npy`` (float32, metres, camera frame), ``KEY.truth.json`` (category, pose, size, visibility) and, where
colour was asked for, ``KEY.image.png``. Any WebDataset reader can read them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from webdataset import gopen
from webdataset.tariterators import group_by_keys, tar_file_expander

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.data.cloud_sample import stacked
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards.codec import UNREADABLE, Encoded, decoded
from clipose_ros.errors import DataError

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Shard:
    """What the manifest says of a shard. Of NOCS data a scene is a frame.

    Attributes:
        name: File name.
        first_scene: The first scene in it.
        scenes: How many scenes.
        samples: How many clouds.
        size: Bytes.
        sha256: Of the file.
        counts: Clouds by category.
    """

    name: str
    first_scene: int
    scenes: int
    samples: int
    size: int
    sha256: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder of shards holds; it lists whole shards alone.

    Attributes:
        made_by: All that decides the clouds: seed, scenes per shard, objects, versions.
        scenes: How many scenes were asked for.
        categories: What the clouds are of.
        shards: The shards, by first scene.
    """

    made_by: Mapping[str, Any]
    scenes: int
    categories: CategorySet
    shards: tuple[Shard, ...] = ()

    @property
    def samples(self) -> int:
        """Clouds in all shards."""
        return sum(shard.samples for shard in self.shards)

    @property
    def missing_scenes(self) -> int:
        """Scenes that were asked for and are in no shard yet."""
        return self.scenes - sum(shard.scenes for shard in self.shards)

    def write(self, folder: Path) -> None:
        """Put it into a folder; the one before stays until the new one is whole."""
        counts = sum((Counter(shard.counts) for shard in self.shards), Counter[str]())
        record = {
            "format": FORMAT,
            "made_by": dict(self.made_by),
            "scenes": self.scenes,
            "samples": self.samples,
            "counts": {name: counts[name] for name in self.categories.names},
            "categories": self.categories.to_records(),
            "shards": [asdict(shard) for shard in self.shards],
        }
        write_whole(folder / MANIFEST, [(json.dumps(record, indent=2) + "\n").encode()])

    @classmethod
    def read(cls, source: str | Path) -> Manifest:
        """Read that of a folder, a path or a URL.

        Raises:
            DataError: There is none, or it is malformed.
        """
        url = _url(source, MANIFEST)
        try:
            with gopen(url) as stream:
                record = json.loads(stream.read())
            if record["format"] != FORMAT:
                raise ValueError(f"its format is {record['format']!r}, this version reads {FORMAT}")
            shards = tuple(Shard(**shard) for shard in record["shards"])
            return cls(record["made_by"], record["scenes"], CategorySet.from_records(record["categories"]), shards)
        except UNREADABLE as error:
            raise DataError(f"{url} is no manifest of shards ({error}): make them with `generate --shards`") from error


def write_whole(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that appears under its name only when it is whole and on the disk.

    Raises:
        DataError: It cannot be written, as on a full disk; nothing of it is left.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} could not be written ({error.strerror}): make room or choose another folder, then run the same "
            "command again; shards that are whole are kept"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_encoded(source: str | Path, shard: Shard) -> list[Encoded]:
    """The clouds of a shard, still encoded.

    Raises:
        DataError: The shard is missing or damaged, or holds another number of clouds than the manifest says.
    """
    url = _url(source, shard.name)
    try:
        with gopen(url) as stream:
            found = list(group_by_keys(tar_file_expander([{"url": url, "stream": stream}])))
    except UNREADABLE as error:
        raise DataError(f"shard {url} cannot be read ({error}): run `generate` again as before") from error
    if len(found) != shard.samples:
        raise DataError(f"shard {url} should hold {shard.samples} clouds, got {len(found)}: run `generate` again")
    return found


def read_manifests(sources: Sequence[str | Path]) -> tuple[Manifest, ...]:
    """The manifests of finished folders of the same categories.

    Raises:
        DataError: One is missing, unfinished, without clouds, or of other categories than the first.
    """
    manifests = tuple(Manifest.read(source) for source in sources)
    for source, manifest in zip(sources, manifests, strict=True):
        if manifest.missing_scenes:
            raise DataError(
                f"{source} lacks {manifest.missing_scenes} scenes: finish it by the same `generate` command"
            )
        if not manifest.samples:
            raise DataError(f"{source} holds no cloud: generate more scenes")
        if manifest.categories != manifests[0].categories:
            raise DataError(f"{source} is of other categories than {sources[0]}: generate both with the same")
    return manifests


def read_shards(*sources: str | Path) -> CloudSamples:
    """Read all clouds of folders of shards, paths or URLs, one after the other.

    Raises:
        DataError: As of ``read_manifests`` and ``read_encoded``.
    """
    manifests = read_manifests(sources)
    clouds = [
        decoded(encoded)
        for source, manifest in zip(sources, manifests, strict=True)
        for shard in manifest.shards
        for encoded in read_encoded(source, shard)
    ]
    return stacked(clouds, manifests[0].categories if manifests else NOCS_CATEGORIES)


def load_clouds(*paths: str | Path) -> CloudSamples:
    """Read clouds of ``.npz`` files and folders of shards, in this order: files, folders.

    Raises:
        DataError: One is missing or malformed, or of other categories than the others.
    """
    folders = [path for path in paths if is_folder(path)]
    files = [path for path in paths if path not in folders]
    if not folders:
        return CloudSamples.load(*files)
    shards = read_shards(*folders)
    return joined(CloudSamples.load(*files), shards) if files else shards


def joined(first: CloudSamples, second: CloudSamples) -> CloudSamples:
    """The clouds of both; images only where both have them.

    Raises:
        DataError: They are of different categories.
    """
    if first.categories != second.categories:
        raise DataError("clouds of different categories cannot go together: generate them with the same")
    names = [spec.name for spec in fields(CloudSamples) if spec.name not in ("categories", "images")]
    images = None
    if first.images is not None and second.images is not None:
        images = np.concatenate([first.images, second.images])
    arrays = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    return CloudSamples(**arrays, categories=first.categories, images=images)


def is_folder(source: str | Path) -> bool:
    """Whether this is a folder, by path or URL, and no file."""
    return _is_url(source) or Path(source).is_dir()


def _is_url(source: str | Path) -> bool:
    return "://" in str(source) or str(source).startswith("pipe:")


def _url(source: str | Path, name: str) -> str:
    """Where a file of a folder is; ``name`` must neither lead out of it nor be a command, should a shell read it."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise DataError(f"the manifest of {source} names a shard '{name}', which is no plain file name")
    if not _is_url(source):
        return str(Path(source).absolute() / name)
    if "{}" in str(source):
        return str(source).replace("{}", name)
    return f"{str(source).rstrip('/')}/{name}"
