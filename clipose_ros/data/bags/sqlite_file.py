"""Reading of rosbag2 files of the storage ``sqlite3`` (``.db3``) in the order of their rows, without their index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from clipose_ros.data.bags.records import (
    MAX_MESSAGE_BYTES,
    ZSTD_MAGIC,
    Channel,
    RawMessage,
    Report,
    Selection,
    decompress,
    message_type,
)
from clipose_ros.errors import UnreadableFileError

MAGIC = b"SQLite format 3\0"
_MAX_CHANNELS = 10_000
_TABLES = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('topics', 'messages')"
_TOPICS = "SELECT id, name, type, serialization_format FROM topics LIMIT ?"
# A value that is too large is not loaded.
_MESSAGES = (
    "SELECT rowid, topic_id, timestamp, CASE WHEN length(data) <= ? THEN data END FROM messages "
    "WHERE rowid > ? ORDER BY rowid"
)


def scan_sqlite(path: Path, selects: Selection, report: Report) -> Iterator[RawMessage]:
    """Yield the messages of the selected channels in the order of their rows.

    Args:
        path: The file.
        selects: Selects the channels.
        report: Receives what cannot be read.
    """
    try:
        # A recorder that was killed may leave a write-ahead log, which an immutable database would not show.
        has_log = path.with_name(f"{path.name}-wal").is_file()
        mode = "mode=ro" if has_log else "mode=ro&immutable=1"
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)
    except sqlite3.Error as error:
        report(f"it cannot be opened: {error}")
        return
    try:
        connection.text_factory = lambda data: data.decode(errors="replace")
        connection.execute("PRAGMA trusted_schema = OFF")
        yield from _rows(connection, selects, report)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter where the message of SQLite is no text
        report(f"it is damaged or cut short ({error}): what is before is used; `sqlite3 FILE .recover` may save more")
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection, selects: Selection, report: Report) -> Iterator[RawMessage]:
    (tables,) = connection.execute(_TABLES).fetchone()
    if tables != 2:
        report("it has no tables 'topics' and 'messages', so it is no recording of rosbag2")
        return
    channels = {
        key: Channel(str(name), message_type(str(kind)), str(encoding))
        for key, name, kind, encoding in connection.execute(_TOPICS, (_MAX_CHANNELS,))
    }
    selected = {key: channel for key, channel in channels.items() if selects(channel)}
    (last,) = connection.execute("SELECT max(rowid) FROM messages").fetchone()
    for row, key, log_ns, data in connection.execute(_MESSAGES, (MAX_MESSAGE_BYTES, -1)):
        channel = selected.get(key)
        if channel is None:
            continue
        if not isinstance(data, bytes) or not isinstance(log_ns, int):
            report(f"its message {row} is no message of at most {MAX_MESSAGE_BYTES} bytes and is left out")
            continue
        try:
            # rosbag2's compression of single messages; CDR begins with a zero.
            plain = decompress(data, "zstd", MAX_MESSAGE_BYTES) if data.startswith(ZSTD_MAGIC) else data
        except UnreadableFileError as error:
            report(f"its message {row} is left out: {error}")
            continue
        yield RawMessage(channel, log_ns, plain, min(row / max(last or 1, 1), 1.0))
