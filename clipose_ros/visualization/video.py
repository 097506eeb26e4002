"""Writers of videos and animated images from images with irregular time stamps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from PIL import Image

from clipose_ros.errors import DataError, ShapeError
from clipose_ros.types import ByteArray


class VideoWriter:
    """Writer of an MP4 file with constant frame rate; each image is shown until the stamp of the next.

    It is a context manager. If no image is added, no file is written.

    Args:
        path: Output file.
        fps: Frame rate, Hz.
    """

    MAX_GAP_S = 2.0
    """Longest time for which an image is shown, seconds."""

    def __init__(self, path: str | Path, fps: float = 15.0) -> None:
        self._path, self._fps = Path(path), fps
        self._writer: cv2.VideoWriter | None = None
        self._shape: tuple[int, ...] = ()
        self._last_image: ByteArray | None = None
        self._next_frame_ns = 0

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, rgb: ByteArray, stamp_ns: int) -> None:
        """Add an image that is shown from its stamp to the stamp of the next image.

        Args:
            rgb: ``(H, W, 3)`` uint8, channels R, G, B; all images have the same size.
            stamp_ns: Stamp, nanoseconds. An image with an earlier stamp than the last one directly follows it.

        Raises:
            ShapeError: The image differs in size or type from the first one.
            DataError: The file cannot be written.
        """
        if self._writer is None:
            self._open(rgb, stamp_ns)
        if rgb.shape != self._shape or rgb.dtype != np.uint8:
            raise ShapeError(f"images of '{self._path}' must be uint8 {self._shape}, got {rgb.dtype} {rgb.shape}")
        period_ns = round(1e9 / self._fps)
        # The bounds limit gaps to MAX_GAP_S and continue at the new stamp after a backward step.
        self._next_frame_ns = min(max(self._next_frame_ns, stamp_ns - int(self.MAX_GAP_S * 1e9)), stamp_ns + period_ns)
        while self._last_image is not None and self._next_frame_ns <= stamp_ns:
            self._write(self._last_image)
            self._next_frame_ns += period_ns
        self._last_image = rgb

    def close(self) -> None:
        """Finish and close the file."""
        if self._writer is not None:
            if self._last_image is not None:
                self._write(self._last_image)
            self._writer.release()
            self._writer = None

    def _open(self, rgb: ByteArray, stamp_ns: int) -> None:
        """Open the file for images of the size of the first one."""
        height, width = rgb.shape[:2]
        # mp4v (MPEG-4 part 2) is the codec that every build of OpenCV can write; H.264 is not in the wheels.
        writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, (width, height))
        if not writer.isOpened():
            raise DataError(
                f"'{self._path}' cannot be written as MP4: create its folder, or install an OpenCV with FFmpeg"
            )
        self._writer, self._shape, self._next_frame_ns = writer, rgb.shape, stamp_ns

    def _write(self, rgb: ByteArray) -> None:
        """Write one frame of the video."""
        assert self._writer is not None
        self._writer.write(np.ascontiguousarray(rgb[..., ::-1]))


def write_animation(path: str | Path, images: Sequence[ByteArray], stamps_ns: Sequence[int], quality: int = 60) -> None:
    """Write images as an animated WebP that repeats forever. Each image is shown until the stamp of the next.

    Args:
        path: Output file.
        images: At least two images ``(H, W, 3)`` uint8, channels R, G, B.
        stamps_ns: Increasing stamps of the images, nanoseconds.
        quality: Quality of the lossy compression, 0 to 100.

    Raises:
        DataError: There are too few images, or the file cannot be written.
    """
    if len(images) < 2:
        raise DataError(f"an animation needs at least two images, got {len(images)}")
    durations_ms = np.diff(stamps_ns) / 1e6
    durations_ms = np.maximum(np.append(durations_ms, np.median(durations_ms)).round(), 1.0).astype(int).tolist()
    first, *others = (Image.fromarray(image) for image in images)
    try:
        first.save(
            path, "WEBP", save_all=True, append_images=others, duration=durations_ms, loop=0, quality=quality, method=4
        )
    except OSError as error:
        raise DataError(f"animation '{path}' cannot be written: {error}") from error
