"""Exceptions of the client. Each message names the pose node and the remedy."""

from __future__ import annotations

from clipose_ros.errors import CliposeError


class PoseClientError(CliposeError):
    """The pose node could not process the frame, or a transform is missing; base class of the others."""


class NodeNotFoundError(PoseClientError):
    """There is no pose node of the name."""


class NodeNotActiveError(PoseClientError):
    """The pose node is not in the state ``active`` of its lifecycle."""


class PoseTimeoutError(PoseClientError, TimeoutError):
    """The pose node is active, but the result did not arrive in time."""


class WouldDeadlockError(PoseClientError):
    """A blocking call would wait for a pose node whose executor it blocks."""
