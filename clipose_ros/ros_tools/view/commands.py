"""Requests of a visitor of the page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from clipose_ros.ros_tools.view.controls import Value


class Button(Enum):
    """Buttons of the page: the services that they call."""

    DETECT_ONCE = "detect_once"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class SetParameter:
    """Change of a setting."""

    path: str
    value: Value


Command = Button | SetParameter
