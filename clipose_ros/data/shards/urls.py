"""Files of a folder of shards, given by a path, a URL of fsspec, or a pipe of WebDataset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from urllib.parse import unquote

import fsspec
from fsspec.core import url_to_fs
from webdataset import gopen

from clipose_ros.bounded_files import ByteStream, open_regular
from clipose_ros.errors import CliposeError, ConfigError, DataError, one_line, quoted

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Names of files that can neither leave their folder nor form a command."""
_URL = re.compile(r"[A-Za-z0-9._~:/?#@!&*+,;=%\[\]{}-]*")
"""URLs that cannot end the quotes in which WebDataset passes them to a shell."""
_REMEDY = "check address, credentials and network, then try again"
_LOCAL = "file://"
BY_COMMAND = ("pipe:", "http://", "https://")
"""Schemes that WebDataset opens by a command, for reading only. fsspec would need further packages for HTTP."""


def is_folder(source: str | Path) -> bool:
    """Return True if the source is a folder, given by path or URL, rather than a file."""
    return _is_url(source) or Path(source).is_dir()


def local_folder(source: str | Path) -> Path | None:
    """Return the path of a folder in the file system of this machine; None for other stores.

    Raises:
        DataError: A ``file://`` URL names another machine, or no path.
    """
    text = str(source)
    if text.startswith(_LOCAL):
        host, slash, path = text.removeprefix(_LOCAL).partition("/")
        path = unquote(path)
        if host not in ("", "localhost") or not slash or "\0" in path:
            raise DataError(f"the URL {quoted(text)} names no path of this machine: write it as file:///data/train")
        return Path("/", path)
    return None if _is_url(source) else Path(source)


def resolve_url(source: str | Path, name: str) -> str:
    """Return the path or URL of a file in a folder.

    Args:
        source: The folder.
        name: File name of the form ``PLAIN_NAME``.
    """
    if not _is_url(source):
        return str(Path(source).absolute() / name)
    # A pipe has the file name in the middle of a command: pipe:curl -s HOST/{}.
    if "{}" in str(source):
        return str(source).replace("{}", name)
    return f"{str(source).rstrip('/')}/{name}"


def open_url(url: str) -> AbstractContextManager[ByteStream]:
    """Open a path, URL or pipe for reading.

    Raises:
        ConfigError: The package that opens such URLs is not installed.
        DataError: The URL has characters that a shell could execute, or its store cannot be read.
        UnreadableFileError: A path is missing or is not a regular file.
        OSError: The URL cannot be opened.
    """
    path = local_folder(url)
    if path is not None:
        return open_regular(path)
    # The command of a pipe is the user's own and is executed as given.
    if not url.startswith("pipe:"):
        check_url(url)
    if url.startswith(BY_COMMAND):
        stream: AbstractContextManager[ByteStream] = gopen(url)
        return stream
    return _open_in_store(url)


def check_url(url: str) -> None:
    """Raise ``DataError`` if a URL has characters that a shell could execute."""
    if not _URL.fullmatch(url):
        raise DataError(f"the URL {quoted(url)} has characters that are not allowed: encode them with %")


def open_store(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system of fsspec that opens a URL, and the path in it.

    Raises:
        ConfigError: The package that opens such URLs is not installed, or no package does.
        DataError: The store does not answer.
    """
    try:
        with store_errors(url):
            store, path = url_to_fs(url)
    except ImportError as error:
        reason = one_line(str(error))
        raise ConfigError(f"{url} cannot be opened ({reason}): install the package, or use another store") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{url} cannot be opened ({reason}): {_REMEDY}") from error
    except ValueError as error:
        raise ConfigError(f"{url} cannot be opened ({one_line(str(error))}): use a URL that fsspec knows") from error
    return store, path


@contextmanager
def store_errors(url: str) -> Iterator[None]:
    """Raise ``DataError`` for the exceptions that a driver takes from its libraries."""
    try:
        yield
    except (CliposeError, OSError, ImportError, ValueError):
        raise
    except Exception as error:
        reason = one_line(" ".join(str(error).split())) or type(error).__name__
        raise DataError(f"{url} cannot be opened ({reason}): {_REMEDY}") from error


@contextmanager
def _open_in_store(url: str) -> Iterator[ByteStream]:
    """Open a URL of fsspec for reading."""
    store, path = open_store(url)
    with ExitStack() as opened:
        with store_errors(url):
            stream = opened.enter_context(store.open(path, "rb"))
        yield _StoreStream(url, stream)


class _StoreStream:
    """Stream of a store whose exceptions are those of this package."""

    def __init__(self, url: str, stream: ByteStream) -> None:
        self._url, self._stream = url, stream

    def read(self, count: int = -1) -> bytes:
        """Read up to ``count`` bytes."""
        with store_errors(self._url):
            return self._stream.read(count)


def _is_url(source: str | Path) -> bool:
    """Return True for URLs and for the pipes that WebDataset opens."""
    return "://" in str(source) or str(source).startswith("pipe:")
