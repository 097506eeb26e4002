"""Writing of recordings: MCAP with the metadata of rosbag2, from messages that are encoded already."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError

from clipose_ros.data.bags.message_types import type_store
from clipose_ros.errors import DataError

_METADATA_VERSION: Literal[8] = 8
_MARK = "metadata.yaml"


class BagWriter:
    """Writer of a folder with one MCAP file. Leaving the context completes it, after an exception as well.

    Args:
        folder: Folder; an earlier recording in it is replaced.

    Attributes:
        folder: The folder.

    Raises:
        DataError: The folder exists and is no recording, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _remove_earlier(folder)
        self._writer = Writer(folder, version=_METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._connections: dict[str, Connection] = {}
        try:
            self._writer.open()
        except (OSError, WriterError) as error:
            raise DataError(f"'{folder}' cannot be written: {error}: choose another folder") from error

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, topic: str, kind: str, log_ns: int, data: bytes) -> None:
        """Write a message.

        Args:
            topic: Its topic.
            kind: Its type, such as ``tf2_msgs/msg/TFMessage``.
            log_ns: Time under which it is found, nanoseconds.
            data: Message in CDR, as rclpy serialises it.

        Raises:
            DataError: The disk is full, or the file cannot be written.
        """
        try:
            connection = self._connections.get(topic)
            if connection is None:
                store = type_store("cdr")
                connection = self._connections[topic] = self._writer.add_connection(topic, kind, typestore=store)
            self._writer.write(connection, log_ns, data)
        except OSError as error:
            raise DataError(
                f"'{self.folder}' cannot be written: {error}: make room, or choose another folder"
            ) from error

    def close(self) -> None:
        """Write index and metadata; later calls do nothing."""
        if self._writer.storage is not None:
            self._writer.close()


def _remove_earlier(folder: Path) -> None:
    """Remove an earlier recording of this writer; raise ``DataError`` for any other folder."""
    if not folder.exists():
        return
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else {""}
    if names - {_MARK, f"{folder.name}.mcap"}:
        raise DataError(f"'{folder}' exists and holds other files than a recording: choose another folder")
    shutil.rmtree(folder)
