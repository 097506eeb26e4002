"""The buffer that a listener fills."""

from __future__ import annotations

import time as wall
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_py import BufferCore, TransformException

_NO_WAIT = Duration()
_POLL_S = 0.01


class Buffer(BufferCore):
    """Transforms of the last seconds, with waiting for those that are still on their way.

    Waiting blocks the calling thread: it helps only where another thread spins the listener's node.

    Args:
        cache_time: How far back transforms are kept; 10 s if not given.
        node: Its clock tells when (simulated) time jumps back, which clears the buffer.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        super().__init__(cache_time)
        self.clock = Clock() if node is None else node.get_clock()
        self._new_data_callbacks: list[Callable[[], None]] = []
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self.jump_handle = self.clock.create_jump_callback(threshold, post_callback=self.time_jump_callback)

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Forget what belongs to a time that is yet to come again."""
        get_logger("tf2_buffer").warning("time jumped back: transforms cleared")
        self.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take in a transform that holds at its stamp."""
        super().set_transform(transform, authority)
        self._notify()

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take in a transform that holds at all times."""
        super().set_transform_static(transform, authority)
        self._notify()

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration = _NO_WAIT
    ) -> TransformStamped:
        """Return the transform from ``source_frame`` to ``target_frame`` at ``time``; 0 is the latest.

        Raises:
            TransformException: There is none when ``timeout`` has passed; its kind says why.
        """
        self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = _NO_WAIT,
    ) -> TransformStamped:
        """Return the transform between two frames at two times, through ``fixed_frame``, which stands still."""
        arguments = (target_frame, target_time, source_frame, source_time, fixed_frame)
        self.can_transform_full(*arguments, timeout)
        return self.lookup_transform_full_core(*arguments)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = _NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> Any:
        """Whether the transform can be given within ``timeout``; with ``return_debug_tuple`` also why not."""
        result = _wait(lambda: self.can_transform_core(target_frame, source_frame, time), timeout)
        return result if return_debug_tuple else result[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = _NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> Any:
        """Whether the transform over two times can be given within ``timeout``."""
        arguments = (target_frame, target_time, source_frame, source_time, fixed_frame)
        result = _wait(lambda: self.can_transform_full_core(*arguments), timeout)
        return result if return_debug_tuple else result[0]

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """Return a future that is set to the transform once it is available."""
        future: Future = Future()

        def attempt() -> None:
            if future.done():
                return
            try:
                transform = self.lookup_transform_core(target_frame, source_frame, time)
            except TransformException:
                return
            self._new_data_callbacks = [each for each in self._new_data_callbacks if each is not attempt]
            future.set_result(transform)

        self._new_data_callbacks = [*self._new_data_callbacks, attempt]
        attempt()
        return future

    async def lookup_transform_async(self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        """Return the transform; wait for it without a limit."""
        await self.wait_for_transform_async(target_frame, source_frame, time)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def _notify(self) -> None:
        for callback in self._new_data_callbacks:
            callback()


def _wait(attempt: Callable[[], tuple[bool, str]], timeout: Duration) -> tuple[bool, str]:
    """Try until it succeeds or ``timeout`` of wall time has passed."""
    end = wall.monotonic() + timeout.nanoseconds / 1e9
    while not (result := attempt())[0] and wall.monotonic() < end:
        wall.sleep(_POLL_S)
    return result
