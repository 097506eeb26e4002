"""Panel of the page: state of the node, annotated image, layers, buttons and settings."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import viser

from clipose_ros.errors import one_line
from clipose_ros.ros_tools.view.canvas import LAYERS, scaled
from clipose_ros.ros_tools.view.commands import Button, Command, SetParameter
from clipose_ros.ros_tools.view.controls import ENABLED, Control
from clipose_ros.types import ByteArray

IMAGE = "image"
"""Layer that is drawn in the panel."""
_IMAGE_WIDTH = 640
_Input = viser.GuiInputHandle[Any]  # of the type that its control accepts


class Panel:
    """Panel for all visitors.

    Args:
        server: Server of the page.
        controls: Controls of the settings; none without a node.
        show_layer: Called with the name of a layer of the scene and whether it is shown.

    Attributes:
        commands: What visitors asked for, in order.
    """

    def __init__(
        self, server: viser.ViserServer, controls: Sequence[Control], show_layer: Callable[[str, bool], None]
    ) -> None:
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._gui = server.gui
        self._controls = {control.path: control for control in controls}
        self._inputs: dict[str, _Input] = {}
        self._gui.configure_theme(control_width="large", dark_mode=True, show_logo=False, show_share_button=False)
        self._gui.main_panel.dock_right()
        tabs = self._gui.add_tab_group()
        with tabs.add_tab("View"):
            self._status = self._gui.add_html("")
            if controls:
                self._add_buttons()
            self._image = self._gui.add_image(np.zeros((1, 1, 3), np.uint8), format="jpeg", visible=False)
            self._rejected = self._gui.add_html("")
            self._shown = self._add_layers(show_layer)
        if controls:
            with tabs.add_tab("Parameters"):
                self._add_settings()

    @property
    def reply(self) -> str:
        """Return the reply to the newest command."""
        return str(self._reply.value)

    @property
    def settings(self) -> dict[str, object]:
        """Return what the inputs of the settings show; without those that the node does not have."""
        return {path: handle.value for path, handle in self._inputs.items() if not handle.disabled}

    @property
    def status(self) -> str:
        """Return the state of the node as HTML."""
        return str(self._status.content)

    @property
    def interval_s(self) -> float:
        """Return the time between two point clouds and images, seconds."""
        return float(self._interval.value)

    def set_interval(self, seconds: float) -> None:
        """Set the time between two point clouds and images, seconds."""
        _write(self._interval, seconds)

    @property
    def has_image(self) -> bool:
        """Return True if an annotated image is shown."""
        return bool(self._image.visible)

    @property
    def history_s(self) -> float:
        """Return the time that the history shows, seconds."""
        return float(self._history.value)

    def is_shown(self, layer: str) -> bool:
        """Return True if visitors want to see a layer."""
        return bool(self._shown[layer].value)

    def show_status(self, html: str) -> None:
        """Show the state of the node."""
        if self._status.content != html:
            self._status.content = html

    def show_rejected(self, html: str) -> None:
        """Show the list of rejected instances."""
        if self._rejected.content != html:
            self._rejected.content = html

    def show_image(self, rgb: ByteArray) -> None:
        """Show the annotated image."""
        self._image.image, self._image.visible = scaled(rgb, _IMAGE_WIDTH), True

    def show_reply(self, text: str) -> None:
        """Show the reply to a command."""
        _write(self._reply, one_line(text)[:200])

    def show_settings(self, values: Mapping[str, object]) -> None:
        """Show the settings of the node; those that it does not have are disabled."""
        for path, handle in self._inputs.items():
            value = self._controls[path].accept(values[path]) if path in values else None
            handle.disabled = value is None
            shown = ", ".join(value) if isinstance(value, tuple) else value
            if shown is not None and handle.value != shown:
                _write(handle, shown)

    def _add_buttons(self) -> None:
        enabled = self._controls[ENABLED]
        self._add_input(
            enabled, self._gui.add_checkbox("enabled", bool(enabled.value), disabled=True, hint=enabled.hint)
        )
        for button, label, hint in (
            (Button.DETECT_ONCE, "Detect once", "Process the next frame, also if the node is disabled"),
            (Button.RESET, "Reset tracks", "Forget all tracks before the next frame"),
        ):
            self._gui.add_button(label, hint=hint).on_click(partial(self._ask, button))
        self._reply = self._gui.add_text("reply", "", disabled=True)

    def _ask(self, button: Button, _: object) -> None:
        self.commands.put(button)

    def _add_layers(self, show_layer: Callable[[str, bool], None]) -> dict[str, viser.GuiCheckboxHandle]:
        boxes = {}
        with self._gui.add_folder("Show", expand_by_default=False):
            for name in (*LAYERS, IMAGE):
                boxes[name] = self._gui.add_checkbox(name, True)
            self._interval = self._gui.add_slider(
                "interval, s",
                0.2,
                10.0,
                0.1,
                1.0,
                hint="Time between two point clouds, images and lists of rejections",
                visible=bool(self._controls),
            )
            self._history = self._gui.add_slider("history, s", 0.0, 60.0, 1.0, 5.0)

        def show(name: str, _: object) -> None:
            if name != IMAGE:
                show_layer(name, bool(boxes[name].value))
            elif not boxes[name].value:
                self._image.visible = False

        for name, box in boxes.items():
            box.on_update(partial(show, name))
        return boxes

    def _add_settings(self) -> None:
        others = [control for control in self._controls.values() if control.path != ENABLED]
        for section, group in itertools.groupby(others, key=lambda control: control.section):
            with self._gui.add_folder(section or "node"):
                for control in group:
                    self._add_input(control, self._make_input(control))

    def _make_input(self, control: Control) -> _Input:
        """Make the input of a setting; it is disabled until the value of the node is known."""
        value, hint = control.value, control.hint
        if isinstance(value, bool):
            return self._gui.add_checkbox(control.name, value, disabled=True, hint=hint)
        if isinstance(value, tuple):
            return self._gui.add_text(control.name, ", ".join(value), disabled=True, hint=hint)
        low, high, step = control.low, control.high, control.step
        if isinstance(value, int):
            low, high, step = int(low), int(high), int(step)
        if control.is_slider:
            return self._gui.add_slider(control.name, low, high, step, value, disabled=True, hint=hint)
        return self._gui.add_number(control.name, value, min=low, max=high, step=step, disabled=True, hint=hint)

    def _add_input(self, control: Control, handle: _Input) -> None:
        self._inputs[control.path] = handle

        def on_update(event: viser.GuiEvent[_Input]) -> None:
            # Without a client, the program itself has set the value that the node reported.
            value = control.accept(handle.value)
            if event.client_id is not None and value is not None:
                self.commands.put(SetParameter(control.path, value))

        handle.on_update(on_update)


def _write(handle: _Input, value: bool | float | str) -> None:
    setattr(handle, "value", value)  # noqa: B010 - mypy does not see the setter of viser
