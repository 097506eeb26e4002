"""Writing of shards and manifests, into a folder or into any store that fsspec opens.

A file in a folder is complete or absent. A store gets each file in one call: object stores make it visible as a whole.
Others, such as FTP, may keep part of a file if they are interrupted. Size and hash in the manifest reveal that.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clipose_ros.atomic_files import PART, write_atomically
from clipose_ros.data.shards.urls import (
    BY_COMMAND,
    check_url,
    local_folder,
    open_store,
    open_url,
    resolve_url,
    store_errors,
)
from clipose_ros.errors import ConfigError, DataError, one_line

WRITE_REMEDY = "free disk space or choose another folder, then run the same command again; complete shards are kept"
"""Remedy of a shard or manifest that cannot be written."""
_STORE_REMEDY = "check address, credentials and network, then run the same command again; complete shards are kept"
_CHUNK = 1 << 20  # shards may be larger than the memory


@dataclass(frozen=True, slots=True)
class FileContent:
    """Description of the content of a file.

    Attributes:
        size: Number of bytes.
        sha256: Hash as hexadecimal digits.
    """

    size: int
    sha256: str


def prepare_folder(target: str | Path) -> None:
    """Create a folder, and remove partial files of killed runs.

    Raises:
        ConfigError: The store cannot be written, or the package that opens it is not installed.
        DataError: The store does not answer, or refuses the folder.
        OSError: The folder cannot be created.
    """
    folder = local_folder(target)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial_files(target)
        return
    url = str(target)
    if url.startswith(BY_COMMAND):
        raise ConfigError(f"shards cannot be written to {url}: use a folder, or a store such as s3://bucket/train")
    check_url(url)
    store, path = open_store(url)
    with _write_errors(url):
        store.makedirs(path, exist_ok=True)


def remove_partial_files(target: str | Path) -> None:
    """Remove the partial files of killed processes; other stores have none."""
    folder = local_folder(target)
    for part in folder.glob(f"*{PART}") if folder is not None else ():
        # Partial files have names of their own and are never read, but they occupy disk space.
        part.unlink(missing_ok=True)


def write_file(target: str | Path, name: str, chunks: Iterable[bytes]) -> FileContent:
    """Write a file into a folder, replacing an earlier one.

    Raises:
        ConfigError: The package that opens the store is not installed.
        DataError: The file cannot be written.
    """
    digest, size = hashlib.sha256(), 0

    def hashed() -> Iterator[bytes]:
        nonlocal size
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            yield chunk

    folder, url = local_folder(target), resolve_url(target, name)
    if folder is not None:
        # Workers on several hosts may write the same file if one was thought to be lost.
        write_atomically(folder / name, hashed(), WRITE_REMEDY, f".{platform.node()}.{os.getpid()}{PART}")
    else:
        data = b"".join(hashed())
        store, path = open_store(url)
        with _write_errors(url):
            store.pipe_file(path, data)
    return FileContent(size, digest.hexdigest())


def find_size(target: str | Path, name: str) -> int | None:
    """Return the size of a file in bytes; None if there is none.

    Raises:
        DataError: The store cannot be read.
        OSError: The same.
    """
    folder, url = local_folder(target), resolve_url(target, name)
    if folder is not None:
        # A network file system learns of new files when the folder is listed.
        names = {entry.name for entry in os.scandir(folder) if entry.is_file()}
        return (folder / name).stat().st_size if name in names else None
    store, path = open_store(url)
    with store_errors(url):
        store.invalidate_cache()
        try:
            return int(store.info(path)["size"])
        except FileNotFoundError:
            return None


def is_intact(target: str | Path, name: str, content: FileContent) -> bool:
    """Return True if a file has the given content.

    Raises:
        DataError: The store cannot be read.
        OSError: The same.
    """
    if find_size(target, name) != content.size:
        return False
    return compute_sha256(resolve_url(target, name)) == content.sha256


def compute_sha256(url: str | Path) -> str:
    """Return the SHA-256 hash of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with open_url(str(url)) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _write_errors(url: str) -> Iterator[None]:
    """Raise ``DataError`` if a file of a store cannot be written."""
    try:
        with store_errors(url):
            yield
    except (OSError, ValueError) as error:
        reason = one_line(" ".join(str(error).split())) or type(error).__name__
        raise DataError(f"{url} could not be written ({reason}): {_STORE_REMEDY}") from error
