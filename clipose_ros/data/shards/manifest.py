"""Manifests of WebDataset shards.

A folder holds ``clouds-000000.tar``, ``clouds-000001.tar``, ... and ``manifest.json``. Each cloud of a tar has the
files ``KEY.points.npy`` (float32, metres, camera frame), ``KEY.truth.json`` (category, pose, size, visibility) and, if
images were requested, ``KEY.image.png``. Any WebDataset reader can read them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clipose_ros.bounded_files import parse_json, read_stream
from clipose_ros.categories import CategorySet
from clipose_ros.data.shards.codec import READ_ERRORS
from clipose_ros.data.shards.stores import write_file
from clipose_ros.data.shards.urls import PLAIN_NAME, open_url, resolve_url
from clipose_ros.errors import DataError, quoted

MANIFEST = "manifest.json"
FORMAT = 1
"""Version of the manifest format."""
_MAX_BYTES = 1 << 25
_MAX_NUMBER = 1 << 40


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

    def write(self, folder: str | Path) -> None:
        """Write the manifest into a folder, given by path or URL, replacing an earlier one atomically."""
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
        write_file(folder, MANIFEST, [(json.dumps(record, indent=2) + "\n").encode()])

    @classmethod
    def read(cls, source: str | Path) -> Manifest:
        """Read the manifest of a folder, given by path or URL.

        Raises:
            DataError: The manifest is missing or malformed.
        """
        url = resolve_url(source, MANIFEST)
        try:
            with open_url(url) as stream:
                return _parse_manifest(parse_json(read_stream(stream, _MAX_BYTES)))
        except READ_ERRORS as error:
            raise DataError(
                f"{url} is not a manifest of shards ({error}): create shards with `generate --shards`"
            ) from error


def _parse_manifest(record: object) -> Manifest:
    """Check the values of a manifest."""
    values = _mapping(record, "the manifest")
    if values.get("format") != FORMAT:
        raise DataError(f"its format is {quoted(values.get('format'))}, this version reads format {FORMAT}")
    records, categories = values.get("shards"), values.get("categories")
    if not isinstance(records, list) or not isinstance(categories, list):
        raise DataError("'shards' and 'categories' must be lists")
    manifest = Manifest(
        _mapping(values.get("made_by"), "'made_by'"),
        _number(values, "scenes"),
        CategorySet.from_records(categories),
        tuple(_parse_shard(_mapping(shard, "a shard")) for shard in records),
    )
    if unknown := {name for shard in manifest.shards for name in shard.counts} - set(manifest.categories.names):
        raise DataError(f"it counts clouds of the category {quoted(min(unknown))}, which is not one of its categories")
    repeated = [name for name, times in Counter(shard.name for shard in manifest.shards).items() if times > 1]
    if repeated:
        raise DataError(f"the shard {quoted(repeated[0])} is listed twice")
    if manifest.missing_scenes < 0:
        raise DataError(f"the shards hold {manifest.scenes - manifest.missing_scenes} scenes of {manifest.scenes}")
    return manifest


def _parse_shard(values: Mapping[str, object]) -> Shard:
    """Check the values of a shard's entry."""
    name, sha256 = values.get("name"), values.get("sha256")
    # The name becomes part of a path, or of a command of WebDataset's pipes.
    if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name):
        raise DataError(f"it names the shard {quoted(name)}: expected a plain file name")
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise DataError(f"the SHA-256 of the shard {name} is {quoted(sha256)}: expected 64 hexadecimal digits")
    entries = _mapping(values.get("counts"), f"'counts' of the shard {name}")
    counts = {category: _number(entries, category) for category in entries}
    first, scenes, samples, size = (_number(values, key) for key in ("first_scene", "scenes", "samples", "size"))
    if sum(counts.values()) != samples:
        raise DataError(f"the shard {name} has {samples} clouds and counts of {sum(counts.values())}")
    return Shard(name, first, scenes, samples, size, sha256, counts)


def _mapping(value: object, what: str) -> dict[str, object]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise DataError(f"{what} must be a mapping, got {quoted(value)}")
    return value


def _number(values: Mapping[str, object], key: str) -> int:
    """Return a whole number from 0 to ``_MAX_NUMBER``."""
    value = values.get(key)
    if type(value) is not int or not 0 <= value <= _MAX_NUMBER:
        raise DataError(f"'{key[:80]}' must be a whole number from 0 to {_MAX_NUMBER}, got {quoted(value)}")
    return value
