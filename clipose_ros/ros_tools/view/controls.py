"""Controls of the settings that can change while the node runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clipose_ros.config import ConfigField, PoseNodeConfig, config_fields

ENABLED = "enabled"
"""Setting that has a control of its own, apart from the others."""
_WIDE = 50.0
"""A range above this multiple of the default is too wide for a slider."""

Value = bool | int | float | tuple[str, ...]
"""Value of a setting that can change while the node runs."""


@dataclass(frozen=True, slots=True)
class Control:
    """Control of one setting.

    Attributes:
        path: Name of the parameter.
        hint: Description for the user.
        value: Default.
        low: Smallest value; 0 for switches and lists.
        high: Largest value.
        step: Distance of neighbouring positions of a slider.
        is_slider: True for a slider, False for a number field, a switch or a text.
    """

    path: str
    hint: str
    value: Value
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0
    is_slider: bool = False

    @property
    def section(self) -> str:
        """Return the group of the setting, empty for those of the node."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Return the name within the section."""
        return self.path.rpartition(".")[2]

    def accept(self, value: object) -> Value | None:
        """Return a value in the type of the setting; None for one that the node would refuse."""
        if isinstance(self.value, bool) or isinstance(value, bool):
            return value if isinstance(value, bool) and isinstance(self.value, bool) else None
        if isinstance(self.value, tuple):
            texts = value.split(",") if isinstance(value, str) else value
            if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
                return None
            return tuple(text.strip() for text in texts if text.strip())
        if not isinstance(value, (int, float)) or not math.isfinite(value) or not self.low <= value <= self.high:
            return None
        return round(value) if isinstance(self.value, int) else float(value)


def live_controls() -> list[Control]:
    """Return the controls of all settings that can change while the node runs, in the order of the settings."""
    return [_control(field) for field in config_fields(PoseNodeConfig()) if field.live]


def _control(field: ConfigField) -> Control:
    value = field.value
    if isinstance(value, (bool, tuple)):
        return Control(field.path, field.doc, value)
    low, high = float(field.low or 0.0), float(field.high if field.high is not None else 1e6)
    # The range of a limit that is rarely reached would leave a slider a pixel for all that matters.
    is_slider = value > 0 and high <= _WIDE * value
    step = 1.0 if isinstance(value, int) else 10.0 ** math.floor(math.log10(max(high - low, 1e-3)) - 2)
    return Control(field.path, field.doc, value, low, high, step, is_slider)
