"""Tables of renamed settings and renamed values, which are applied wherever settings are read.

A renamed setting is still accepted under its old name. The first use of each old name in a process warns with the new
name.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

RENAMED_SETTINGS: Mapping[str, str] = {
    "sync.silence_s": "sync.timeout_s",
    "check.hidden_tolerance": "check.max_occlusion_ratio",
    "network.looks": "network.tta.max_passes",
    "network.agree_deg": "network.tta.disagreement_deg",
    "emphasis": "sampling",
    "weights": "pose_loss",
    "shape": "shape_loss",
    "contrast": "clip_loss",
    "clip_norm": "grad_clip_norm",
    "flat_fraction": "lr_flat_fraction",
    "early_points": "initial_points",
    "early_fraction": "initial_points_fraction",
    "sampling.from_below": "sampling.below_view_weight",
    "sampling.handle_in_sight": "sampling.visible_handle_weight",
}
"""New dotted path of each renamed setting or group by its old path."""

RENAMED_VALUES: Mapping[str, Mapping[str, str]] = {
    "network.engine": {"reference": "pytorch", "fused": "cpu", "fused_int8": "cpu_int8"},
}
"""New name of each renamed value by its old name, for each setting by its new dotted path."""

reported_messages: set[str] = set()
"""Warnings that this process has already given."""


def find_new_name(path: str) -> str | None:
    """Return the new dotted path of a renamed setting, or None if the setting was not renamed."""
    renamed = path
    # Groups are listed before their keys: "emphasis.from_below" becomes "sampling.from_below" first.
    for old, new in RENAMED_SETTINGS.items():
        if renamed == old or renamed.startswith(f"{old}."):
            renamed = new + renamed[len(old) :]
    return None if renamed == path else renamed


def find_new_value(path: str, value: Any) -> str | None:
    """Return the new name of a renamed value of the setting ``path``, or None if the value was not renamed."""
    return RENAMED_VALUES.get(path, {}).get(value) if isinstance(value, str) else None


def current_name(path: str) -> str:
    """Translate the dotted path of a setting to its new path; warn once if the path is an old one."""
    new = find_new_name(path)
    if new is None:
        return path
    _warn_once(f"setting '{path}' is now called '{new}'")
    return new


def current_value(path: str, value: Any) -> Any:
    """Translate a value of the setting with the new path ``path`` to its new name; warn once if it is an old one."""
    new = find_new_value(path, value)
    if new is None:
        return value
    _warn_once(f"'{path}' {value!r} is now called {new!r}")
    return new


def _warn_once(message: str) -> None:
    """Warn about an old name once per process."""
    if message not in reported_messages:
        reported_messages.add(message)
        warnings.warn(message, FutureWarning, stacklevel=4)
