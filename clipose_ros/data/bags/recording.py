"""Frames of a camera in a recording, converted as the pose node converts them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clipose_ros.config import SyncConfig
from clipose_ros.data.bags import message_types
from clipose_ros.data.bags.camera_topics import CameraTopics, choose_topics, survey
from clipose_ros.data.bags.depth_codec import decompress_depth
from clipose_ros.data.bags.matching import COLOR, INFO, FrameMatcher, MatchedSet
from clipose_ros.data.bags.message_types import COMPRESSED, DETECTIONS, IMAGE, READ_TYPES, decode
from clipose_ros.data.bags.records import Channel, RawMessage, Report
from clipose_ros.data.bags.storage import find_files, read_messages
from clipose_ros.data.bags.transform_tree import TransformTree, is_transform
from clipose_ros.decoding.calibration import CalibrationReader
from clipose_ros.decoding.frame_checks import describe_depth_unit
from clipose_ros.decoding.frames import read_frame
from clipose_ros.decoding.messages import FrameMessages, Topics, is_valid_stamp, stamp_ns
from clipose_ros.errors import DataError, FrameError, ShapeError, quoted
from clipose_ros.geometry.se3 import make_transform, rotation_from_quat_xyzw
from clipose_ros.types import FloatArray, RgbdFrame

_KINDS = {
    COLOR: (IMAGE, COMPRESSED),
    "depth": (IMAGE, COMPRESSED),
    INFO: (message_types.INFO,),
    "labels": (IMAGE,),
    "truth": (DETECTIONS,),
}
"""Types of the messages by their role."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedObject:
    """True object of a recorded frame.

    Attributes:
        name: Id of the object.
        scores: Score by class; the first class is the category.
        T_camera_object: ``(4, 4)`` pose, metres.
        size: ``(3,)`` full extent, metres.
    """

    name: str
    scores: dict[str, float]
    T_camera_object: FloatArray
    size: FloatArray

    @property
    def category(self) -> str:
        """Return the name of the category."""
        return next(iter(self.scores), "")


@dataclass(frozen=True, slots=True, eq=False)
class RecordedFrame:
    """Frame of a recording.

    Attributes:
        stamp_ns: Stamp of the colour image, nanoseconds.
        frame: The frame; None if it cannot be used.
        fault: Why it cannot be used; empty if it can.
        truths: True objects; None if the recording has none for this frame.
        progress: Fraction of the recording up to this frame, 0 to 1.
    """

    stamp_ns: int
    frame: RgbdFrame | None
    fault: str = ""
    truths: tuple[RecordedObject, ...] | None = None
    progress: float = 0.0


class Recording:
    """Camera of a recording. Frames are read on request, and may be read several times.

    Args:
        path: Recording.
        files: Its files.
        topics: Topics of the camera.
        report: Receives a line about each part that cannot be read, and about the calibration.

    Attributes:
        path: Recording.
        topics: Topics of the camera.
    """

    def __init__(self, path: Path, files: list[Path], topics: CameraTopics, report: Report) -> None:
        self.path, self.topics = path, topics
        self._files, self._report = files, report

    def frames(self, sync: SyncConfig | None = None, *, with_labels: bool = False) -> Iterator[RecordedFrame]:
        """Yield every frame in the order of the recording, also those that cannot be used.

        Args:
            sync: Matching and rectification, the settings ``sync.*`` of the pose node; its defaults if None.
            with_labels: A frame needs its label image.
        """
        reader = _FrameReader(self.topics, sync or SyncConfig(), with_labels, _once(self._report))
        roles = reader.roles
        messages = read_messages(self._files, reader.selects, _once(self._report))
        for message in messages:
            yield from reader.add(roles[message.channel.topic], message)
        yield from reader.finish()

    @functools.cached_property
    def transforms(self) -> TransformTree:
        """Return the transforms of the whole recording, which is read once for them."""
        tree = TransformTree()
        for message in read_messages(self._files, lambda c: is_transform(c.topic, c.kind), lambda text: None):
            try:
                tree.add(message)
            except FrameError as error:
                self._report(f"'{self.path}': {error}")
        if tree.refused:
            self._report(f"'{self.path}': {tree.refused} transforms are no transforms, or too many: they are left out")
        return tree


def open_recording(
    path: str | Path, chosen: CameraTopics | None = None, report: Report = lambda text: None
) -> Recording:
    """Find the camera in a recording.

    Args:
        path: File or folder: MCAP, sqlite3 or ROS 1.
        chosen: Topics that are given by name; the others are found by type, frame and size.
        report: Receives a line about each part that cannot be read.

    Raises:
        DataError: There is no such recording, it holds no message, or no single camera fits; the message names what
            there is and what to do.
    """
    chosen, files = chosen or CameraTopics(), find_files(Path(path))
    problems: list[str] = []
    channels: set[Channel] = set()

    def selects(channel: Channel) -> bool:
        channels.add(channel)
        return channel.kind in READ_TYPES

    candidates = survey(read_messages(files, selects, problems.append), chosen)
    if not candidates:
        held = ", ".join(map(quoted, sorted({channel.kind for channel in channels})[:8]))
        reason = f"; {problems[0]}" if problems else ""
        raise DataError(
            f"'{path}' holds no readable message of a camera ({held or 'no topic'}){reason}: record a colour image, "
            "a depth image registered to it, and their camera_info"
        )
    return Recording(Path(path), files, choose_topics(path, candidates, chosen), report)


class _FrameReader:
    """Matches and converts the messages of a camera."""

    def __init__(self, topics: CameraTopics, sync: SyncConfig, with_labels: bool, report: Report) -> None:
        if with_labels and topics.labels is None:
            raise DataError(
                "the recording holds no label image: name its topic with --labels, or use another segmenter"
            )
        self._names = Topics(topics.color or "", topics.depth or "", topics.info or "", topics.labels or "", "")
        self._sync, self._with_labels, self._report = sync, with_labels, report
        required = ("depth", "labels") if with_labels else ("depth",)
        optional = ("truth",) if topics.truth else ()
        self.roles = {getattr(topics, role): role for role in (COLOR, INFO, *required, *optional)}
        slop_ns = 0 if sync.exact else round(sync.slop_s * 1e9)
        self._matcher = FrameMatcher(required, optional, slop_ns)
        self._calibrations = CalibrationReader(sync.rectify, report)
        self._required, self._progress = required, 0.0

    def selects(self, channel: Channel) -> bool:
        """Return True for a topic of the camera of a type that fits."""
        return channel.kind in _KINDS.get(self.roles.get(channel.topic, ""), ())

    def add(self, role: str, message: RawMessage) -> Iterator[RecordedFrame]:
        """Add a message and yield the frames that it completes."""
        self._progress = message.progress
        try:
            decoded = decode(message)
            stamp = decoded.header.stamp
            if not is_valid_stamp(stamp):
                raise FrameError(
                    f"'{message.channel.topic}' has the stamp {stamp.sec} s {stamp.nanosec} ns: its driver must fill "
                    "in header.stamp"
                )
            if role == "depth" and message.channel.kind == COMPRESSED:
                decoded = decompress_depth(decoded, message.channel.topic)
        except FrameError as error:
            if role == COLOR:
                yield RecordedFrame(message.log_ns, None, str(error), None, self._progress)
            else:
                self._report(str(error))
            return
        for matched in self._matcher.add(role, stamp_ns(stamp), decoded):
            yield self._convert(matched)

    def finish(self) -> Iterator[RecordedFrame]:
        """Yield the frames that wait for messages that will not come."""
        for matched in self._matcher.finish():
            yield self._convert(matched)

    def _convert(self, matched: MatchedSet) -> RecordedFrame:
        messages = matched.messages
        missing = next((role for role in (*self._required, INFO) if role not in messages), None)
        if missing is not None:
            topic = getattr(self._names, missing)
            fault = (
                f"no message of '{topic}' within {0.0 if self._sync.exact else self._sync.slop_s:g} s of the colour "
                "image: record both at one rate, or raise sync.slop_s"
            )
            return RecordedFrame(matched.stamp_ns, None, fault, None, self._progress)
        try:
            labels = messages["labels"] if self._with_labels else None
            given = FrameMessages(messages[COLOR], messages["depth"], messages[INFO], labels)
            frame = read_frame(given, self._names, self._calibrations)
            truths = None if "truth" not in messages else _truths(messages["truth"], frame.frame_id)
        except (FrameError, ShapeError) as error:
            return RecordedFrame(matched.stamp_ns, None, str(error), None, self._progress)
        for doubt in (*self._calibrations.warnings, describe_depth_unit(given.depth, frame, self._names.depth)):
            if doubt is not None:
                self._report(doubt)
        return RecordedFrame(matched.stamp_ns, frame, "", truths, self._progress)


def _truths(message: Any, frame_id: str) -> tuple[RecordedObject, ...] | None:
    """Return the true objects of a message; None if they are in another frame."""
    if message.header.frame_id != frame_id:
        return None
    return tuple(item for detection in message.detections if (item := _true_object(detection)) is not None)


def _true_object(detection: Any) -> RecordedObject | None:
    """Return a true object; None if its pose is none."""
    p, q, size = detection.bbox.center.position, detection.bbox.center.orientation, detection.bbox.size
    values = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w, size.x, size.y, size.z])
    if not np.isfinite(values).all() or not values[3:7].any() or not detection.results:
        return None
    T = make_transform(rotation_from_quat_xyzw(values[3:7] / np.linalg.norm(values[3:7])), values[:3])
    scores = {result.hypothesis.class_id: float(result.hypothesis.score) for result in detection.results}
    return RecordedObject(detection.id, scores, T, values[7:])


def _once(report: Callable[[str], None]) -> Report:
    """Return a reporter that repeats no line."""
    seen: set[str] = set()

    def tell(text: str) -> None:
        if text not in seen and len(seen) < 1000:
            seen.add(text)
            report(text)

    return tell
