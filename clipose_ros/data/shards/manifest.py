"""Manifests and reading of WebDataset shards, from disk or object storage.

A folder holds ``clouds-000000.tar``, ``clouds-000001.tar``, ... and ``manifest.json``. Each cloud of a tar has the
files ``KEY.points.npy`` (float32, metres, camera frame), ``KEY.truth.json`` (category, pose, size, visibility) and, if
images were requested, ``KEY.image.png``. Any WebDataset reader can read them.
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
from clipose_ros.data.cloud_sample import stack_samples
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards.codec import READ_ERRORS, EncodedCloud, decode_cloud
from clipose_ros.errors import DataError

MANIFEST = "manifest.json"
FORMAT = 1
"""Version of the manifest format."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Manifest entry of a shard. A scene of NOCS data is one frame.

    Attributes:
        name: File name.
        first_scene: Index of the first scene.
        scenes: Number of scenes.
        samples: Number of clouds.
        size: File size, bytes.
        sha256: Hash of the file.
        counts: Number of clouds of each category.
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
    """Contents of a folder of shards. Only complete shards are listed.

    Attributes:
        made_by: Settings that determine the clouds: seed, scenes per shard, objects, versions.
        scenes: Number of scenes requested.
        categories: Category set of the clouds.
        shards: Shards in the order of their first scene.
    """

    made_by: Mapping[str, Any]
    scenes: int
    categories: CategorySet
    shards: tuple[Shard, ...] = ()

    @property
    def samples(self) -> int:
        """Return the number of clouds in all shards."""
        return sum(shard.samples for shard in self.shards)

    @property
    def missing_scenes(self) -> int:
        """Return the number of requested scenes that are in no shard yet."""
        return self.scenes - sum(shard.scenes for shard in self.shards)

    def write(self, folder: Path) -> None:
        """Write the manifest into a folder, replacing an earlier one atomically."""
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
        write_atomically(folder / MANIFEST, [(json.dumps(record, indent=2) + "\n").encode()])

    @classmethod
    def read(cls, source: str | Path) -> Manifest:
        """Read the manifest of a folder, given by path or URL.

        Raises:
            DataError: The manifest is missing or malformed.
        """
        url = _resolve_url(source, MANIFEST)
        try:
            with gopen(url) as stream:
                record = json.loads(stream.read())
            if record["format"] != FORMAT:
                raise ValueError(f"its format is {record['format']!r}, this version reads format {FORMAT}")
            shards = tuple(Shard(**shard) for shard in record["shards"])
            return cls(record["made_by"], record["scenes"], CategorySet.from_records(record["categories"]), shards)
        except READ_ERRORS as error:
            raise DataError(
                f"{url} is not a manifest of shards ({error}): create shards with `generate --shards`"
            ) from error


def write_atomically(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file through a temporary file that is synced to disk and then renamed.

    Raises:
        DataError: The file cannot be written, for example on a full disk. The temporary file is removed.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
            stream.flush()
            # Without fsync, a rename may survive a power failure while the contents do not.
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} could not be written ({error.strerror}): free disk space or choose another folder, then run the "
            "same command again; complete shards are kept"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def compute_sha256(path: Path) -> str:
    """Return the SHA-256 hash of a file as hexadecimal digits."""
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        # 1 MiB at a time: shards may be larger than the memory.
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_encoded(source: str | Path, shard: Shard) -> list[EncodedCloud]:
    """Read the encoded clouds of a shard.

    Raises:
        DataError: The shard is missing or damaged, or its number of clouds differs from the manifest.
    """
    url = _resolve_url(source, shard.name)
    try:
        with gopen(url) as stream:
            found = list(group_by_keys(tar_file_expander([{"url": url, "stream": stream}])))
    except READ_ERRORS as error:
        raise DataError(f"shard {url} cannot be read ({error}): run `generate` again as before") from error
    # A truncated tar that ends between two entries raises no error.
    if len(found) != shard.samples:
        raise DataError(f"shard {url} should hold {shard.samples} clouds, got {len(found)}: run `generate` again")
    return found


def read_manifests(sources: Sequence[str | Path]) -> tuple[Manifest, ...]:
    """Read the manifests of complete folders with equal categories.

    Raises:
        DataError: A folder has no manifest, lacks scenes, has no clouds, or has other categories than the first.
    """
    manifests = tuple(Manifest.read(source) for source in sources)
    for source, manifest in zip(sources, manifests, strict=True):
        if manifest.missing_scenes:
            raise DataError(
                f"{source} lacks {manifest.missing_scenes} scenes: run the same `generate` command again to finish it"
            )
        if not manifest.samples:
            raise DataError(f"{source} holds no cloud: generate more scenes")
        if manifest.categories != manifests[0].categories:
            raise DataError(f"{source} has different categories from {sources[0]}: generate both with the same ones")
    return manifests


def read_shards(*sources: str | Path) -> CloudSamples:
    """Read all clouds of folders of shards, given by path or URL, in order.

    Raises:
        DataError: A manifest or shard cannot be used; see ``read_manifests`` and ``read_encoded``.
    """
    manifests = read_manifests(sources)
    clouds = [
        decode_cloud(encoded)
        for source, manifest in zip(sources, manifests, strict=True)
        for shard in manifest.shards
        for encoded in read_encoded(source, shard)
    ]
    return stack_samples(clouds, manifests[0].categories if manifests else NOCS_CATEGORIES)


def load_clouds(*paths: str | Path) -> CloudSamples:
    """Read the clouds of ``.npz`` files and folders of shards: all files first, then all folders.

    Raises:
        DataError: A path is missing or malformed, or its categories differ from those of the others.
    """
    folders = [path for path in paths if is_folder(path)]
    files = [path for path in paths if path not in folders]
    if not folders:
        return CloudSamples.load(*files)
    shards = read_shards(*folders)
    return concatenate_samples(CloudSamples.load(*files), shards) if files else shards


def concatenate_samples(first: CloudSamples, second: CloudSamples) -> CloudSamples:
    """Concatenate two sets of clouds; images are kept only if both have them.

    Raises:
        DataError: The category sets differ.
    """
    if first.categories != second.categories:
        raise DataError(
            f"clouds of the categories {', '.join(first.categories.names)} and {', '.join(second.categories.names)} "
            "cannot be concatenated: generate both with the same categories"
        )
    names = [spec.name for spec in fields(CloudSamples) if spec.name not in ("categories", "images")]
    images = None
    if first.images is not None and second.images is not None:
        images = np.concatenate([first.images, second.images])
    arrays = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    return CloudSamples(**arrays, categories=first.categories, images=images)


def is_folder(source: str | Path) -> bool:
    """Return True if the source is a folder, given by path or URL, rather than a file."""
    return _is_url(source) or Path(source).is_dir()


def _is_url(source: str | Path) -> bool:
    """Return True for URLs and for the pipes that WebDataset opens."""
    return "://" in str(source) or str(source).startswith("pipe:")


def _resolve_url(source: str | Path, name: str) -> str:
    """Return the path or URL of a file in a folder.

    Manifests may come from elsewhere, and WebDataset passes pipes to a shell. Names are therefore limited to characters
    that can neither leave the folder nor form a command.

    Raises:
        DataError: The name contains other characters.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise DataError(f"the manifest of {source} names the shard '{name}': expected a plain file name")
    if not _is_url(source):
        return str(Path(source).absolute() / name)
    # A pipe has the file name in the middle of a command: pipe:curl -s HOST/{}.
    if "{}" in str(source):
        return str(source).replace("{}", name)
    return f"{str(source).rstrip('/')}/{name}"
