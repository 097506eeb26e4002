"""Files of ``process``: recording of the results, CSV, annotated video, report and summary."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

import numpy as np

from clipose_ros.atomic_files import write_atomically
from clipose_ros.config import PublishConfig
from clipose_ros.data.bags.writer import BagWriter
from clipose_ros.errors import DataError, ShapeError
from clipose_ros.evaluation.report.recording_report import RecordingSource, recording_html
from clipose_ros.evaluation.runs.live_statistics import LiveError
from clipose_ros.evaluation.runs.recording_poses import ProcessedFrame
from clipose_ros.evaluation.runs.recording_statistics import RecordingStatistics
from clipose_ros.geometry.se3 import quat_xyzw_from_rotation
from clipose_ros.tracking.published_frame import PublishedFrame, draw_published
from clipose_ros.types import ByteArray, TrackedObject
from clipose_ros.visualization.labels import LabelOffsets
from clipose_ros.visualization.video import VideoWriter

if TYPE_CHECKING:  # loads the message packages of ROS, which may be missing
    from clipose_ros.ros_tools.result_messages import ResultMessages

RESULTS, TABLE, VIDEO, REPORT, SUMMARY = "poses", "poses.csv", "annotated.mp4", "report.html", "summary.json"
"""Names of the folder and the files in the output folder."""
COLUMNS = (
    "stamp_ns", "track", "category", "seen", "score", "x", "y", "z", "qx", "qy", "qz", "qw", "size_x", "size_y",
    "size_z", "std_x", "std_y", "std_z", "error_cm", "error_deg",
)  # fmt: skip
"""Columns of the table: metres, quaternions, standard deviations of the position in metres."""
_MIN_FPS, _MAX_FPS = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class OutputChoice:
    """Choice of the files that are written.

    Attributes:
        recording: Write the results as a recording, which needs the message packages of ROS.
        images: Write annotated images into it.
        video: Write the annotated video.
    """

    recording: bool = True
    images: bool = False
    video: bool = True


class ProcessOutput:
    """Writer of all files. Leaving the context completes them, after an exception as well.

    Args:
        folder: Output folder; files of an earlier run are replaced.
        choice: Files to write.
        statistics: Statistics, to which each frame is added.
        publish: Settings of the messages.

    Attributes:
        notes: What could not be written.

    Raises:
        DataError: The folder cannot be written.
    """

    def __init__(
        self, folder: Path, choice: OutputChoice, statistics: RecordingStatistics, publish: PublishConfig
    ) -> None:
        self._folder, self._choice, self._statistics, self._publish = folder, choice, statistics, publish
        self._stack = ExitStack()
        self._labels = LabelOffsets()
        self._video: _Video | None = None
        self.notes: list[str] = []

    def __enter__(self) -> ProcessOutput:
        folder = self._folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in (TABLE, VIDEO, REPORT, SUMMARY):
                (folder / name).unlink(missing_ok=True)
            stream = self._stack.enter_context((folder / TABLE).open("w", newline="", encoding="utf-8"))
        except OSError as error:
            raise DataError(f"'{folder}' cannot be written: {error.strerror}: choose another folder") from error
        self._table = _Table(stream)
        self._recording = self._open_recording() if self._choice.recording else None
        if self._choice.video:
            self._video = self._stack.enter_context(_Video(folder / VIDEO))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, processed: ProcessedFrame) -> None:
        """Write a frame.

        Raises:
            DataError: A file cannot be written.
        """
        start_s = time.perf_counter()
        self._write(processed, self._statistics.add(processed))
        self._statistics.times_ms["output"].append(1e3 * (time.perf_counter() - start_s))

    def _write(self, processed: ProcessedFrame, errors: Sequence[LiveError | None]) -> None:
        published = processed.published
        if published is None:
            return
        image = draw_published(published, self._labels)
        self._statistics.keep_if_worst(processed, image)
        self._table.add(published, errors)
        if self._recording is not None:
            self._recording.add(published, image if self._choice.images else None)
        if self._video is not None:
            try:
                self._video.add(image, processed.stamp_ns)
            except ShapeError as error:
                self.notes.append(f"the video ends at {self._statistics.seconds(processed.stamp_ns):.2f} s: {error}")
                self._video = None

    def finish(self, source: RecordingSource) -> None:
        """Write report and summary."""
        record = {
            "source": source.name,
            "model": source.model,
            "frame_id": source.frame_id,
            "seconds": round(source.seconds, 3),
            "notes": source.notes,
        }
        text = json.dumps(record | self._statistics.as_record(), indent=2) + "\n"
        write_atomically(self._folder / SUMMARY, [text.encode()])
        write_atomically(self._folder / REPORT, [recording_html(source, self._statistics).encode()])

    def _open_recording(self) -> _ResultRecording | None:
        try:
            from clipose_ros.ros_tools.result_messages import ResultMessages
        except ImportError as error:
            self.notes.append(
                f"no recording of the results is written, since ROS' package {error.name} is missing: source a ROS 2 "
                "distribution, or use the environment of `make env`"
            )
            return None
        writer = self._stack.enter_context(BagWriter(self._folder / RESULTS))
        return _ResultRecording(writer, ResultMessages(self._publish))


class _ResultRecording:
    """Recording of the messages that the node would publish."""

    def __init__(self, writer: BagWriter, messages: ResultMessages) -> None:
        self._writer, self._messages = writer, messages

    def add(self, published: PublishedFrame, image: ByteArray | None) -> None:
        for message in self._messages.make(published, image):
            self._writer.write(message.topic, message.kind, published.frame.stamp_ns, message.data)


class _Table:
    """CSV file with one row per object and frame."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._rows = stream, csv.writer(stream)
        self._rows.writerow(COLUMNS)

    def add(self, published: PublishedFrame, errors: Sequence[LiveError | None]) -> None:
        for track, error in zip(published.tracks, errors, strict=True):
            self._rows.writerow([published.frame.stamp_ns, *_row(track), *_error(error)])
        self._stream.flush()  # a process that is killed leaves whole rows


def _row(track: TrackedObject) -> list[str | int]:
    deviations = np.sqrt(np.diag(track.covariance)[:3])
    values = (
        track.score, *track.T_frame_object[:3, 3], *quat_xyzw_from_rotation(track.T_frame_object[:3, :3]),
        *track.size, *deviations,
    )  # fmt: skip
    return [track.name, track.category, int(track.seen), *(f"{value:.6f}" for value in values)]


def _error(error: LiveError | None) -> tuple[str, str]:
    return ("", "") if error is None else (f"{error.translation_cm:.3f}", f"{error.rotation_deg:.3f}")


class _Video:
    """Video at the rate of the first two images."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: tuple[ByteArray, int] | None = None
        self._writer: VideoWriter | None = None

    def __enter__(self) -> _Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None and self._first is not None:
            self._open(self._first[1])
        if self._writer is not None:
            self._writer.close()

    def add(self, image: ByteArray, stamp_ns: int) -> None:
        if self._writer is not None:
            self._writer.add(image, stamp_ns)
        elif self._first is None:
            self._first = image, stamp_ns
        else:
            self._open(stamp_ns).add(image, stamp_ns)

    def _open(self, second_ns: int) -> VideoWriter:
        """Open the file with the first image."""
        assert self._first is not None
        image, first_ns = self._first
        rate = 1e9 / max(second_ns - first_ns, 1)
        self._writer = VideoWriter(self._path, round(min(max(rate, _MIN_FPS), _MAX_FPS), 2))
        self._writer.add(image, first_ns)
        return self._writer
