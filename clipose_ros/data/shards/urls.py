"""Files of a folder of shards, given by a path, a URL, or a pipe of WebDataset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

from webdataset import gopen

from clipose_ros.bounded_files import open_regular
from clipose_ros.errors import DataError, quoted

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Names of files that can neither leave their folder nor form a command."""
_URL = re.compile(r"[A-Za-z0-9._~:/?#@!&*+,;=%\[\]{}-]*")
"""URLs that cannot end the quotes in which WebDataset passes them to a shell."""


def is_folder(source: str | Path) -> bool:
    """Return True if the source is a folder, given by path or URL, rather than a file."""
    return _is_url(source) or Path(source).is_dir()


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


def open_url(url: str) -> IO[bytes]:
    """Open a path, URL or pipe for reading.

    Raises:
        DataError: The URL has characters that a shell could execute.
        UnreadableFileError: A path is missing or is not a regular file.
        OSError: The URL cannot be opened.
    """
    if not _is_url(url):
        return open_regular(url)
    # The command of a pipe is the user's own and is executed as given.
    if not url.startswith("pipe:") and not _URL.fullmatch(url):
        raise DataError(f"the URL {quoted(url)} has characters that are not allowed: encode them with %")
    stream: IO[bytes] = gopen(url)
    return stream


def _is_url(source: str | Path) -> bool:
    """Return True for URLs and for the pipes that WebDataset opens."""
    return "://" in str(source) or str(source).startswith("pipe:")
