"""Files of a recording, and their messages.

The readers of ``rosbags`` need the index of a file and decompress without a limit, so files are read here, from their
first record on: ones that were cut short or never closed are read up to their end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from clipose_ros.bounded_files import open_regular
from clipose_ros.data.bags import mcap_file, rosbag1_file, sqlite_file
from clipose_ros.data.bags.records import ZSTD_MAGIC, Channel, RawMessage, Report, Selection
from clipose_ros.errors import DataError, UnreadableFileError, one_line

SUFFIXES = (".mcap", ".db3", ".bag")
"""Suffixes of the files in a folder that are read."""
_FORMATS = "an MCAP file, a .db3 file of rosbag2, a ROS 1 bag, or a folder of these"
_MAX_REPORTS = 20
_TOPIC = re.compile(r"[A-Za-z_/~][\w/~]{0,254}", re.ASCII)


def find_files(path: Path) -> list[Path]:
    """Return the files of a recording in the order of their numbers.

    Args:
        path: A file, or the folder of a recording.

    Raises:
        DataError: There is no such file, or the folder holds none.
    """
    root = path.expanduser()
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise DataError(f"no such recording: '{path}': expected {_FORMATS}")
    entries = sorted(root.iterdir(), key=lambda entry: _numbered(entry.name))
    files = [entry for entry in entries if entry.suffix in SUFFIXES and entry.is_file()]
    if files:
        return files
    packed = [entry.name for entry in entries if entry.suffix in (".zst", ".zstd")]
    if packed:
        raise DataError(f"'{path}' holds compressed files ({packed[0]}): decompress them first, with `zstd -d --rm`")
    raise DataError(f"'{path}' holds no file of a recording ({', '.join(SUFFIXES)}): expected {_FORMATS}")


def is_recording(path: Path) -> bool:
    """Return True for a file of a recording by its suffix, and for a folder that holds one."""
    if path.is_dir():
        return any(entry.suffix in SUFFIXES for entry in path.iterdir())
    return path.suffix in SUFFIXES or path.name.endswith(".bag.active")


def read_messages(files: Collection[Path], selects: Selection, report: Report) -> Iterator[RawMessage]:
    """Yield the messages of the selected channels, file by file. Channels whose name is none of ROS are left out.

    Args:
        files: Files of one recording.
        selects: Selects the channels.
        report: Receives a line about each part that cannot be read. It names the file.

    Raises:
        DataError: A file is of another format.
    """

    def is_named_and_selected(channel: Channel) -> bool:
        return _TOPIC.fullmatch(channel.topic) is not None and selects(channel)

    for number, path in enumerate(files):
        for message in _file_messages(path, is_named_and_selected, _Reports(path, report)):
            yield message._replace(progress=(number + message.progress) / len(files))


class _Reports:
    """Reports about one file, at most ``_MAX_REPORTS``."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path, self._report, self._count = path, report, 0

    def __call__(self, text: str) -> None:
        self._count += 1
        if self._count < _MAX_REPORTS:
            self._report(one_line(f"'{self._path}': {text}"))
        elif self._count == _MAX_REPORTS:
            self._report(f"'{self._path}': further damage is not listed")


def _file_messages(path: Path, selects: Selection, report: Report) -> Iterator[RawMessage]:
    """Yield the messages of a file whose first bytes tell its format."""
    try:
        with open_regular(path) as stream:
            magic = stream.read(16)
            size = stream.seek(0, 2)
            if magic.startswith(mcap_file.MAGIC):
                yield from mcap_file.McapScanner(stream, size, selects, report).messages()
            elif magic.startswith(rosbag1_file.MAGIC):
                yield from rosbag1_file.Rosbag1Scanner(stream, size, selects, report).messages()
            elif magic.startswith(sqlite_file.MAGIC):
                yield from sqlite_file.scan_sqlite(path, selects, report)
            elif not size:
                report("it is empty: the recorder wrote nothing, or was killed before its first write")
            elif magic.startswith(ZSTD_MAGIC):
                raise DataError(f"'{path}' is compressed as a whole: decompress it first, with `zstd -d --rm`")
            else:
                raise DataError(f"'{path}' is no recording, it begins with {magic[:8]!r}: expected {_FORMATS}")
    except UnreadableFileError as error:
        raise DataError(f"'{path}' cannot be read: {error}") from error
    except OSError as error:
        report(f"reading stops there: {error.strerror or error}")


def _numbered(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts ``bag_10`` after ``bag_9``."""
    return [(int(digits) if digits else -1, text) for digits, text in re.findall(r"(\d{1,18})|(\D+)", name)]
