"""Settings and services of the pose node, called without waiting. A node that restarts is found again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.task import Future
from std_srvs.srv import Trigger

from clipose_ros.ros_tools.view.commands import Button, Command, SetParameter
from clipose_ros.ros_tools.view.controls import Value

_POLL_S = 2.0
"""Time between two readings of the settings, seconds."""
_LIMIT_S = 15.0
"""Longest wait for a reply, seconds; ``~/detect_once`` waits up to 10 s for a frame."""


class RemoteNode:
    """Client of a pose node.

    Args:
        node: Node that calls; ``advance`` and all callbacks run in the thread of its executor.
        name: Name of the pose node.
        paths: Settings to read.
        on_settings: Receives the settings that the node has.
        on_reply: Receives the replies to commands as text.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        paths: Sequence[str],
        on_settings: Callable[[Mapping[str, object]], None],
        on_reply: Callable[[str], None],
    ) -> None:
        self._name, self._paths = name, list(paths)
        self._on_settings, self._on_reply = on_settings, on_reply
        self._get: Client = node.create_client(GetParameters, f"{name}/get_parameters")
        self._set: Client = node.create_client(SetParameters, f"{name}/set_parameters")
        self._buttons: dict[Button, Client] = {
            button: node.create_client(Trigger, f"{name}/{button.value}") for button in Button
        }
        self._pending: dict[Future[Any], tuple[Client, float]] = {}
        self._wanted: dict[str, Value] = {}
        self._next_poll_s = 0.0
        self._is_setting = self._is_polling = False

    def send(self, command: Command) -> None:
        """Send a command. Of several changes of one setting, the newest is sent."""
        if isinstance(command, SetParameter):
            self._wanted[command.path] = command.value
            return
        client = self._buttons[command]
        if not client.service_is_ready():
            self._on_reply(f"no node offers '{self._name}/{command.value}'")
            return
        self._on_reply(f"{command.value}: waiting")
        self._call(client, Trigger.Request(), lambda reply: self._on_reply(str(reply.message)))

    def advance(self) -> None:
        """Send what waits, read the settings when it is time, and give up requests without a reply."""
        now_s = time.monotonic()
        for future, (client, since_s) in list(self._pending.items()):
            if now_s - since_s > _LIMIT_S:
                client.remove_pending_request(future)
                self._finish(future)
                self._on_reply(f"'{self._name}' has not replied within {_LIMIT_S:.0f} s")
        if self._wanted and not self._is_setting:
            self._send_settings()
        if now_s >= self._next_poll_s and not self._is_polling and self._get.service_is_ready():
            self._next_poll_s = now_s + _POLL_S
            self._is_polling = True
            self._call(self._get, GetParameters.Request(names=self._paths), self._on_values)

    def _send_settings(self) -> None:
        wanted, self._wanted = self._wanted, {}
        if not self._set.service_is_ready():
            self._on_reply(f"no node offers '{self._name}/set_parameters'")
            return
        messages = [
            Parameter(path, value=(list(value) or [""]) if isinstance(value, tuple) else value).to_parameter_msg()
            for path, value in wanted.items()
        ]
        self._is_setting = True
        self._call(self._set, SetParameters.Request(parameters=messages), lambda reply: self._on_set(wanted, reply))

    def _on_set(self, wanted: Mapping[str, Value], reply: Any) -> None:
        refused = [str(result.reason) for result in reply.results if not result.successful]
        self._on_reply("; ".join(refused) or ", ".join(f"{path} = {value}" for path, value in wanted.items()))
        self._next_poll_s = 0.0  # shows what the node has taken, or still has

    def _on_values(self, reply: Any) -> None:
        if self._is_setting or self._wanted:  # the reply may be older than what a visitor has set
            return
        values = {path: parameter_value_to_python(v) for path, v in zip(self._paths, reply.values, strict=False)}
        self._on_settings({path: value for path, value in values.items() if value is not None})

    def _call(self, client: Client, request: Any, on_reply: Callable[[Any], None]) -> None:
        future = client.call_async(request)
        self._pending[future] = client, time.monotonic()

        def done(finished: Future[Any]) -> None:
            if finished in self._pending:
                self._finish(finished)
                if finished.exception() is None and finished.result() is not None:
                    on_reply(finished.result())

        future.add_done_callback(done)

    def _finish(self, future: Future[Any]) -> None:
        client, _ = self._pending.pop(future)
        self._is_setting = self._is_setting and client is not self._set
        self._is_polling = self._is_polling and client is not self._get
