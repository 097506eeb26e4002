"""The one exception tree of the package.

Every message says what was expected, what came (name and value) and what to do about it. The pose node catches
``CliposeError`` once, at the frame callback; anything else is a bug and ends the process with a trace.
"""


class CliposeError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigError(CliposeError):
    """A setting is unknown, of the wrong type or out of its range. The message names the setting."""


class CheckpointError(CliposeError):
    """A model file is missing, corrupt, or describes another architecture. The message names the file."""


class ExportError(CliposeError):
    """A network cannot be written for another runtime, or does not compute the same there."""


class DeviceError(CliposeError):
    """The compute device asked for does not exist on this machine."""


class SegmentationError(CliposeError):
    """A segmentation backend cannot be set up, or was given an image that it cannot segment."""


class DegenerateInputError(CliposeError):
    """Geometry was asked for something its input does not determine (collinear points, a null axis)."""


class ShapeError(CliposeError, ValueError):
    """An array has another shape or type than documented. The message says expected and got."""


class FrameError(CliposeError):
    """An incoming frame cannot be used: bad encoding, size, calibration or depth. The message names the topic."""


class DataError(CliposeError):
    """A dataset file or folder is missing or malformed. The message names the file."""
