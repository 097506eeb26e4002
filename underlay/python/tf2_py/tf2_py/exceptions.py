"""Why a transform cannot be given."""


class TransformException(Exception):  # noqa: N818 - the name that tf2_py gives it
    """Base of all of them."""


class ConnectivityException(TransformException):
    """The two frames hang in different trees."""


class LookupException(TransformException):
    """A frame has never been heard of."""


class ExtrapolationException(TransformException):
    """The time lies outside what is stored for a frame on the way."""


class InvalidArgumentException(TransformException):
    """A frame's name is empty or starts with a slash."""


class TimeoutException(TransformException):
    """The time allowed has passed."""
