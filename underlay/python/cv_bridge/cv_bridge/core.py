"""The conversions themselves."""

from __future__ import annotations

import array
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from cv_bridge.encodings import Encoding, opencv_conversion, parse_encoding

Pixels = NDArray[Any]


class CvBridgeError(TypeError):
    """A conversion is not possible; the message says what was expected and what came."""


class CvBridge:
    """Converts between ROS image messages and arrays in OpenCV's layout."""

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        """NumPy type name and number of channels of ``encoding``.

        Raises:
            CvBridgeError: There is no such encoding.
        """
        layout = _parse(encoding)
        return layout.dtype.name, layout.channels

    def dtype_with_channels_to_cvtype2(self, dtype: np.dtype[Any], n_channels: int) -> str:
        """Return the generic encoding, such as ``8UC3``, of an array's element type and number of channels."""
        try:
            return Encoding(np.dtype(dtype).newbyteorder("="), n_channels, None).generic_name
        except StopIteration:
            raise CvBridgeError(
                f"expected an element type that OpenCV has, got {dtype}; convert the array first"
            ) from None

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> Pixels:
        """Return the pixels of ``img_msg``, ``(H, W)`` or ``(H, W, C)``, contiguous, in native byte order.

        Args:
            img_msg: A ``sensor_msgs/Image``; rows may be padded (``step``), bytes may be big-endian.
            desired_encoding: ``passthrough`` leaves the values as they came.

        Raises:
            CvBridgeError: The encoding is unknown, the data do not fill the image, or there is no such conversion.
        """
        layout = _parse(img_msg.encoding)
        pixels = _unpack(img_msg, layout)
        if desired_encoding == "passthrough":
            return pixels
        return _convert(pixels, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(self, cvim: Pixels, encoding: str = "passthrough", header: Header | None = None) -> Image:
        """``cvim`` as a ``sensor_msgs/Image`` without padding.

        Args:
            cvim: ``(H, W)`` or ``(H, W, C)``.
            encoding: ``passthrough`` names the array's own type, such as ``8UC3``; another must fit that type.
            header: Taken into the message.

        Raises:
            CvBridgeError: The array's type does not fit ``encoding``.
            TypeError: ``cvim`` is no array.
        """
        if not isinstance(cvim, np.ndarray):
            raise TypeError(f"expected a NumPy array, got {type(cvim).__name__}")
        generic = self.dtype_with_channels_to_cvtype2(cvim.dtype, 1 if cvim.ndim < 3 else cvim.shape[2])
        if encoding == "passthrough":
            encoding = generic
        elif _parse(encoding).generic_name != generic:
            raise CvBridgeError(f"encoding '{encoding}' expects {_parse(encoding).generic_name} pixels, got {generic}")
        order = cvim.dtype.byteorder
        big_endian = order == ">" or (order == "=" and sys.byteorder == "big")
        message = Image(height=cvim.shape[0], width=cvim.shape[1], encoding=encoding, is_bigendian=int(big_endian))
        if header is not None:
            message.header = header
        message.step = int(np.prod(cvim.shape[1:])) * cvim.itemsize
        message.data = array.array("B", cvim.tobytes())
        return message

    def compressed_imgmsg_to_cv2(self, cmprs_img_msg: CompressedImage, desired_encoding: str = "passthrough") -> Pixels:
        """Return the pixels of a compressed image (PNG, JPEG, ...).

        Args:
            cmprs_img_msg: A ``sensor_msgs/CompressedImage``.
            desired_encoding: ``passthrough`` gives what OpenCV decodes: grey, BGR or BGRA.

        Raises:
            CvBridgeError: The data cannot be decoded, or there is no such conversion.
        """
        data = np.frombuffer(cmprs_img_msg.data, dtype=np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        if pixels is None:
            raise CvBridgeError(
                f"expected an image compressed as '{cmprs_img_msg.format}', got {data.size} bytes of none"
            )
        if desired_encoding == "passthrough":
            return pixels
        colours = "mono" if pixels.ndim == 2 else {3: "bgr", 4: "bgra"}[pixels.shape[2]]
        return _convert(pixels, f"{colours}{pixels.itemsize * 8}", desired_encoding)

    def cv2_to_compressed_imgmsg(self, cvim: Pixels, dst_format: str = "jpg") -> CompressedImage:
        """``cvim`` (grey, BGR or BGRA) compressed as ``dst_format``: ``jpg``, ``png``, ``bmp``, ``tiff``, ...

        Raises:
            CvBridgeError: OpenCV cannot write the array so.
            TypeError: ``cvim`` is no array.
        """
        if not isinstance(cvim, np.ndarray):
            raise TypeError(f"expected a NumPy array, got {type(cvim).__name__}")
        try:
            written, data = cv2.imencode(f".{dst_format}", cvim)
        except cv2.error as error:
            raise CvBridgeError(f"cannot write {cvim.dtype} {cvim.shape} as '{dst_format}': {error}") from error
        if not written:
            raise CvBridgeError(f"cannot write {cvim.dtype} {cvim.shape} as '{dst_format}'")
        return CompressedImage(format=dst_format, data=array.array("B", data.tobytes()))


def _parse(encoding: str) -> Encoding:
    """Layout of an encoding, with this package's error."""
    try:
        return parse_encoding(encoding)
    except ValueError as error:
        raise CvBridgeError(str(error)) from None


def _unpack(message: Image, layout: Encoding) -> Pixels:
    """Return the message's pixels without padding, in native byte order."""
    data = np.asarray(message.data, dtype=np.uint8) if isinstance(message.data, list) else message.data
    raw = np.frombuffer(data, dtype=np.uint8)
    row = message.width * layout.channels * layout.dtype.itemsize
    if message.step < row:
        raise CvBridgeError(
            f"{message.width} pixels of '{message.encoding}' expect a step of at least {row} bytes, got {message.step}"
        )
    if raw.size < message.height * message.step:
        raise CvBridgeError(
            f"height {message.height} x step {message.step} is {message.height * message.step} bytes; got {raw.size}"
        )
    rows = raw[: message.height * message.step].reshape(message.height, message.step)[:, :row]
    stored = layout.dtype.newbyteorder(">" if message.is_bigendian else "<")
    shape = (message.height, message.width) + ((layout.channels,) if layout.channels > 1 else ())
    return np.ascontiguousarray(rows).view(stored).reshape(shape).astype(layout.dtype, copy=False)


def _convert(pixels: Pixels, source: str, target: str) -> Pixels:
    """Rearrange colours and change the depth; 8 and 16 bits are scaled onto each other's range."""
    if source == target:
        return pixels
    have, want = _parse(source), _parse(target)
    if have.colours is None and want.colours is not None:
        raise CvBridgeError(
            f"'{source}' says nothing about colours, so it cannot become '{target}'; ask for 'passthrough'"
        )
    if have.colours is None or want.colours is None:
        if have.channels != want.channels:
            raise CvBridgeError(f"'{target}' expects {want.channels} channels, '{source}' has {have.channels}")
    elif have.colours != want.colours:
        code = opencv_conversion(have.colours, want.colours)
        if code is None or not hasattr(cv2, code):
            raise CvBridgeError(f"there is no conversion from '{source}' to '{target}'")
        pixels = cv2.cvtColor(pixels, getattr(cv2, code))
    if have.dtype == want.dtype:
        return pixels
    scale = {(1, 2): 65535.0 / 255.0, (2, 1): 255.0 / 65535.0}.get((have.dtype.itemsize, want.dtype.itemsize), 1.0)
    scaled = pixels.astype(np.float64) * scale
    if np.issubdtype(want.dtype, np.integer):
        limits = np.iinfo(want.dtype)
        scaled = np.clip(np.rint(scaled), limits.min, limits.max)
    return scaled.astype(want.dtype)
