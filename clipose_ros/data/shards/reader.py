"""Reading of WebDataset shards, from disk or object storage. Size and hash of each shard are those of its manifest."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from webdataset.tariterators import group_by_keys

from clipose_ros.bounded_files import ByteStream
from clipose_ros.data.samples import CloudSamples, concatenate_samples
from clipose_ros.data.shards.codec import READ_ERRORS, EncodedCloud, decode_clouds
from clipose_ros.data.shards.manifest import Manifest, Shard
from clipose_ros.data.shards.urls import is_folder, open_url, resolve_url
from clipose_ros.errors import DataError

_CHUNK = 1 << 20


class _VerifiedStream:
    """Stream of a shard that is hashed while it is read.

    Args:
        stream: The open shard.
        shard: Its manifest entry.
    """

    def __init__(self, stream: ByteStream, shard: Shard) -> None:
        self._stream, self._shard = stream, shard
        self._digest, self._size = hashlib.sha256(), 0

    def read(self, count: int) -> bytes:
        """Read up to ``count`` bytes.

        Raises:
            DataError: The shard has more bytes than its manifest states. URLs may be endless.
        """
        data = self._stream.read(count)
        self._digest.update(data)
        self._size += len(data)
        if self._size > self._shard.size:
            raise DataError(f"it is larger than the {self._shard.size} bytes of the manifest")
        return data

    def verify(self) -> None:
        """Read the rest and compare size and hash.

        Raises:
            DataError: They differ from the manifest.
        """
        while self.read(_CHUNK):
            pass
        if self._size != self._shard.size:
            raise DataError(f"it has {self._size} bytes, the manifest states {self._shard.size}")
        if self._digest.hexdigest() != self._shard.sha256:
            raise DataError("its SHA-256 differs from the manifest: the file is damaged or was replaced")


def read_encoded(source: str | Path, shard: Shard) -> list[EncodedCloud]:
    """Read the encoded clouds of a shard.

    Raises:
        DataError: The shard is missing or damaged: its size, its hash or its number of clouds differs from the
            manifest.
    """
    url = resolve_url(source, shard.name)
    try:
        with open_url(url) as stream:
            verified = _VerifiedStream(stream, shard)
            found = list(group_by_keys(_iter_files(verified, url)))
            verified.verify()
    except READ_ERRORS as error:
        raise DataError(f"shard {url} cannot be read ({error}): run `generate` again as before") from error
    if len(found) != shard.samples:
        raise DataError(f"shard {url} should hold {shard.samples} clouds, got {len(found)}: run `generate` again")
    return found


def _iter_files(stream: _VerifiedStream, url: str) -> Iterator[dict[str, str | bytes]]:
    """Yield name, content and URL of the files in a tar that is not compressed."""
    with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]  # its type wants more than read
        for member in tar:
            # A sparse file may unpack to more than the memory.
            if member.issparse():
                raise DataError(f"entry {member.name!r:.80} is a sparse file")
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None:
                yield {"fname": member.name, "data": content.read(), "__url__": url}
            tar.members = []


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
    """Read all clouds of folders of shards, at least one, given by path or URL, in order.

    Raises:
        DataError: A manifest or shard cannot be used; see ``read_manifests`` and ``read_encoded``.
    """
    manifests = read_manifests(sources)
    sets = [
        decode_clouds(read_encoded(source, shard), manifest.categories)
        for source, manifest in zip(sources, manifests, strict=True)
        for shard in manifest.shards
        if shard.samples
    ]
    return concatenate_samples(sets)


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
    return concatenate_samples([CloudSamples.load(*files), shards]) if files else shards
