"""Search for the topics of a camera in a recording, by type, encoding, frame and size."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from clipose_ros.data.bags.depth_codec import decompress_depth, is_compressed_depth
from clipose_ros.data.bags.message_types import COMPRESSED, DETECTIONS, IMAGE, INFO, decode
from clipose_ros.data.bags.records import Channel, RawMessage
from clipose_ros.decoding.color_encodings import COLOR_LAYOUTS
from clipose_ros.decoding.images import DEPTH_ENCODINGS, read_compressed_size
from clipose_ros.errors import DataError, FrameError, quoted

_SURVEY_NS = 2_000_000_000
"""Time of a recording in which all topics of a camera appear once the first frame is there, nanoseconds."""
_DRAWN = re.compile(r"debug|annotated|overlay|marker|preview", re.IGNORECASE)
_LABELS = re.compile(r"label|segment|mask", re.IGNORECASE)
_RECTIFIED = re.compile(r"(?<![a-z])rect(?![a-z])|rectified", re.IGNORECASE)
_REGISTERED = re.compile(r"registered|aligned", re.IGNORECASE)
_TRUTH = re.compile(r"truth", re.IGNORECASE)
_MAX_LISTED = 12


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """Names of the topics of a camera; None for a topic that is not chosen, or not there.

    Attributes:
        color: Colour image, raw or compressed.
        depth: Depth image registered to the colour image, raw or compressed.
        info: Calibration of the colour image.
        labels: Label image.
        truth: True poses, as the simulated camera publishes them.
    """

    color: str | None = None
    depth: str | None = None
    info: str | None = None
    labels: str | None = None
    truth: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A topic that may belong to a camera.

    Attributes:
        topic: Name.
        role: Name of the attribute of ``CameraTopics`` that it may have.
        frame_id: Frame of its first message.
        size: Width and height of its first message, pixels; None if it has none.
        is_grey: True for a colour image without colour, as of an infrared camera.
        is_packed: True for a compressed image.
    """

    topic: str
    role: str
    frame_id: str
    size: tuple[int, int] | None = None
    is_grey: bool = False
    is_packed: bool = False

    def __str__(self) -> str:
        size = f", {self.size[0]}x{self.size[1]}" if self.size else ""
        return f"{self.role} {quoted(self.topic)} (frame {quoted(self.frame_id)}{size})"


def survey(messages: Iterable[RawMessage], chosen: CameraTopics) -> list[Candidate]:
    """Read the first message of each topic, until the camera has appeared.

    Args:
        messages: Messages of a recording, in order.
        chosen: Topics that are wanted by name, which are waited for.
    """
    found: dict[Channel, Candidate] = {}
    complete_ns: int | None = None
    for message in messages:
        if complete_ns is not None and message.log_ns > complete_ns + _SURVEY_NS:
            break
        if message.channel in found:
            continue
        try:
            candidate = _candidate(message, chosen)
        except FrameError:
            continue  # the next message of the topic may be whole
        if candidate is not None:
            found[message.channel] = candidate
            roles = {item.role for item in found.values()}
            wanted = {name for spec in fields(chosen) if (name := getattr(chosen, spec.name)) is not None}
            topics = {item.topic for item in found.values()}
            if complete_ns is None and {"color", "depth", "info"} <= roles and wanted <= topics:
                complete_ns = message.log_ns
    return list(found.values())


def choose_topics(path: object, candidates: Sequence[Candidate], chosen: CameraTopics) -> CameraTopics:
    """Choose the topics of one camera.

    Args:
        path: Recording, for error messages.
        candidates: Result of ``survey``.
        chosen: Topics that are given by name.

    Raises:
        DataError: A topic is missing, no set fits together, or several do; the message lists what there is.
    """
    sets = [_Set(*three) for three in itertools.product(*(_of(path, candidates, chosen, r) for r in _CAMERA))]
    fitting = [each for each in sets if each.fits]
    if not fitting:
        raise DataError(
            f"'{path}' holds no colour and depth image of the same frame and size with a camera_info: it has "
            f"{_list(candidates)}; record depth that is registered to colour (align_depth, or depth_image_proc)"
        )
    best = max(each.rank for each in fitting)
    chosen_sets = [each for each in fitting if each.rank == best]
    frames = {each.color.frame_id for each in fitting}
    if len(frames) > 1 or len(chosen_sets) > 1:
        several = chosen_sets if len(chosen_sets) > 1 else fitting
        names = "; ".join(
            f"--color {each.color.topic} --depth {each.depth.topic} --info {each.info.topic}" for each in several[:4]
        )
        raise DataError(f"'{path}' holds {len(several)} sets of camera topics that fit together: give one of {names}")
    only = chosen_sets[0]
    labels = chosen.labels or _first(candidates, "labels", lambda item: item.frame_id == only.color.frame_id)
    truth = chosen.truth or _first(candidates, "truth", lambda item: _TRUTH.search(item.topic) is not None)
    return CameraTopics(only.color.topic, only.depth.topic, only.info.topic, labels, truth)


_CAMERA = ("color", "depth", "info")


def _common_length(name: str, other: str) -> int:
    """Return the number of equal namespaces at the beginning of two topics."""
    pairs = zip(name.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


@dataclass(frozen=True, slots=True)
class _Set:
    """A colour image, a depth image and a calibration."""

    color: Candidate
    depth: Candidate
    info: Candidate

    @property
    def fits(self) -> bool:
        """Return True if all are of the same frame, and the images of the same size."""
        return self.color.frame_id == self.depth.frame_id == self.info.frame_id and self.color.size == self.depth.size

    @property
    def rank(self) -> tuple[int, ...]:
        """Return how probably this set is meant."""
        color, depth, info = self.color, self.depth, self.info
        return (
            not color.is_grey,
            not _DRAWN.search(color.topic),
            info.size == color.size,
            _RECTIFIED.search(color.topic) is not None,
            _REGISTERED.search(depth.topic) is not None,
            not color.is_packed,
            not depth.is_packed,
            _common_length(color.topic, info.topic),
        )


def _of(path: object, candidates: Sequence[Candidate], chosen: CameraTopics, role: str) -> Iterator[Candidate]:
    """Return the candidates of a role: the one that is given by name, or all."""
    name = getattr(chosen, role)
    fitting = [item for item in candidates if item.role == role and (name is None or item.topic == name)]
    if not fitting:
        missing = f"no {_NAMES[role]} under '{name}'" if name else f"no {_NAMES[role]}"
        raise DataError(
            f"'{path}' holds {missing}: it has {_list(candidates)}; name the topic with --{role}, or record it"
        )
    return iter(fitting)


_NAMES = {"color": "colour image", "depth": "depth image", "info": "camera_info"}


def _list(candidates: Sequence[Candidate]) -> str:
    more = f" and {len(candidates) - _MAX_LISTED} more" if len(candidates) > _MAX_LISTED else ""
    return (", ".join(map(str, candidates[:_MAX_LISTED])) or "no message of a camera") + more


def _first(candidates: Sequence[Candidate], role: str, fits: Callable[[Candidate], bool]) -> str | None:
    return next((item.topic for item in candidates if item.role == role and fits(item)), None)


def _candidate(message: RawMessage, chosen: CameraTopics) -> Candidate | None:
    """Return what a topic may be, by its first message; None if it is of no use.

    Raises:
        FrameError: The message cannot be decoded.
    """
    topic, kind = message.channel.topic, message.channel.kind
    if kind not in (IMAGE, COMPRESSED, INFO, DETECTIONS):
        return None
    decoded = decode(message)
    frame_id = decoded.header.frame_id
    if kind == DETECTIONS:
        return Candidate(topic, "truth", frame_id)
    if kind == INFO:
        roi = decoded.roi
        size = (roi.width, roi.height) if roi.width and roi.height else (decoded.width, decoded.height)
        return Candidate(topic, "info", frame_id, size)
    if kind == COMPRESSED:
        return _compressed(topic, decoded)
    size = decoded.width, decoded.height
    if decoded.encoding in COLOR_LAYOUTS:
        return Candidate(topic, "color", frame_id, size, decoded.encoding == "mono8")
    is_label = topic == chosen.labels or (topic != chosen.depth and _LABELS.search(topic) is not None)
    if is_label and decoded.encoding != "32FC1":
        return Candidate(topic, "labels", frame_id, size)
    return Candidate(topic, "depth", frame_id, size) if decoded.encoding in DEPTH_ENCODINGS else None


def _compressed(topic: str, decoded: Any) -> Candidate:
    """Return what a compressed topic may be, without decoding its pixels."""
    if not is_compressed_depth(decoded, topic):
        return Candidate(topic, "color", decoded.header.frame_id, read_compressed_size(decoded, topic), is_packed=True)
    image = decompress_depth(decoded, topic)
    return Candidate(topic, "depth", decoded.header.frame_id, (image.width, image.height), is_packed=True)
