"""Exceptions of the package.

Messages name the expected and the received value and a remedy. The pose node leaves out a frame that raises. All other
exceptions are bugs: the node logs their trace, and in a lifecycle transition they end the process.
"""


class CliposeError(Exception):
    """Base class of the package's exceptions."""


class ConfigError(CliposeError):
    """A setting is unknown, of the wrong type or out of its range. The message names the setting."""


class CheckpointError(CliposeError):
    """A model file is missing, corrupt, or describes another architecture. The message names the file."""


class ExportError(CliposeError):
    """A network cannot be exported to another runtime, or its outputs differ there."""


class DeviceError(CliposeError):
    """The requested compute device does not exist on this machine."""


class SegmentationError(CliposeError):
    """A segmentation backend cannot be set up, or was given an image that it cannot segment."""


class DegenerateInputError(CliposeError):
    """The input does not determine the result, such as collinear points or a zero axis."""


class ShapeError(CliposeError, ValueError):
    """An array has another shape or type than documented. The message states both."""


class FrameError(CliposeError):
    """An incoming frame cannot be used: bad encoding, size, calibration or depth. The message names the topic."""


class DataError(CliposeError):
    """A dataset file or folder is missing or malformed. The message names the file."""


class UnreadableFileError(CliposeError):
    """A file is missing, too large or malformed. The message states the reason only; callers add the file's name."""


def quoted(text: object) -> str:
    """Return text from outside for a message: in quotes, control characters escaped, cut to 80 characters."""
    shown = str(text)
    return repr(shown if len(shown) <= _QUOTE_LENGTH else f"{shown[: _QUOTE_LENGTH - 1]}…")


def one_line(text: str) -> str:
    """Return a message with its control characters escaped, cut to 1000 characters, for a log or a reply."""
    shown = text if len(text) <= _LINE_LENGTH else f"{text[: _LINE_LENGTH - 1]}…"
    return shown if shown.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


_QUOTE_LENGTH = 80
_LINE_LENGTH = 1000
