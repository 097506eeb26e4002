"""Frozen test sets: which command makes them, and the hashes of their clouds.

``config/test_sets/NAME.yaml`` describes a set::

    simulator: tables      # distribution of the clouds, a key of SIMULATORS
    scenes: 150
    seed: 40000000
    clouds: 1960
    truths_sha256: "7483..." # hash of categories, poses, sizes and visibilities
    points_sha256: "fdc0..." # hash of the points
    first_scene_sha256: "..." # hash of the points of the first scene, which tests compare

The clouds are rendered by rays (``RENDERERS``). The hashes are those of the arrays of ``CloudSamples`` in little-endian
byte order, rows first. That of the truths begins with the names of the categories, separated by commas. The points
depend on how a processor rounds; the hashes were recorded on an AMD processor with AVX-512.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipose_ros.bounded_files import read_yaml
from clipose_ros.config import ConfigNode, option
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import ConfigError, DataError, UnreadableFileError, quoted
from clipose_ros.resources import config_path

_TRUTHS = {
    "category_index": "<i8",
    "T_camera_object": "<f4",
    "size": "<f4",
    "handle_visible": "|b1",
    "visible_fraction": "<f4",
}
"""Hashed arrays of the truths with their types, in order."""


@dataclass(frozen=True)
class FrozenTestSet(ConfigNode):
    """A test set that never changes, so that models of all versions can be compared."""

    simulator: str = option("tables", "Simulator that makes the clouds.")
    scenes: int = option(1, "Number of scenes.", low=1, high=1_000_000)
    seed: int = option(0, "Seed of the scenes.", low=0, high=2**31 - 1)
    clouds: int = option(1, "Number of clouds.", low=1, high=10_000_000)
    truths_sha256: str = option("", "SHA-256 hash of the truths.")
    points_sha256: str = option("", "SHA-256 hash of the points.")
    first_scene_sha256: str = option("", "SHA-256 hash of the points of the first scene.")

    def check(self, name: str, samples: CloudSamples) -> None:
        """Compare clouds with the set.

        Args:
            name: Name of the set.
            samples: Clouds that claim to be the set.

        Raises:
            DataError: Their number, their truths or their points differ from those of the set.
        """
        remedy = f"make them with `generate --test-set {name}`"
        if len(samples) != self.clouds:
            raise DataError(f"the test set '{name}' has {self.clouds} clouds, got {len(samples)}: {remedy}")
        if (found := hash_truths(samples)) != self.truths_sha256:
            raise DataError(
                f"the truths of the clouds are not those of the test set '{name}': expected the SHA-256 "
                f"{self.truths_sha256[:16]}, got {found[:16]}: {remedy}"
            )
        if (found := hash_points(samples)) != self.points_sha256:
            raise DataError(
                f"the points of the clouds are not those of the test set '{name}', although their truths are: expected "
                f"the SHA-256 {self.points_sha256[:16]}, got {found[:16]}: {remedy} on an AMD processor with AVX-512; "
                "others round differently"
            )


def read_test_set(name: str) -> FrozenTestSet:
    """Read the description of a shipped test set.

    Raises:
        ConfigError: No shipped set has that name, or its file is malformed.
    """
    if not name.isidentifier():
        raise ConfigError(f"the name of a test set must be one of config/test_sets, without .yaml; got {quoted(name)}")
    path = config_path(f"test_sets/{name}.yaml")
    try:
        values = read_yaml(path)
        if not isinstance(values, Mapping):
            raise ConfigError(f"it must be a mapping, got {quoted(values)}")
        return FrozenTestSet.from_mapping(values)
    except (UnreadableFileError, ConfigError) as error:
        raise ConfigError(f"test set '{path}' cannot be read: {error}") from error


def hash_truths(samples: CloudSamples) -> str:
    """Return the SHA-256 hash of categories, poses, sizes and visibilities, as hexadecimal digits."""
    names = np.frombuffer(",".join(samples.categories.names).encode(), np.uint8)
    return _hash([names, *(np.asarray(getattr(samples, name), dtype) for name, dtype in _TRUTHS.items())])


def hash_points(samples: CloudSamples) -> str:
    """Return the SHA-256 hash of the points, as hexadecimal digits."""
    return _hash([np.asarray(samples.points, "<f4")])


def _hash(arrays: list[NDArray[np.generic]]) -> str:
    """Return the SHA-256 hash of the bytes of arrays, rows first."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
