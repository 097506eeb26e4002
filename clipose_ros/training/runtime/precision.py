"""Mixed precision: matrix products of networks and heads in bfloat16 if the device supports it; losses in float32."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor


def uses_bf16(precision: str, device: str) -> bool:
    """Return True if a run with this ``precision`` multiplies in bfloat16 on a device."""
    if precision == "auto":
        return device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return precision == "bf16"


def to_float32(value: Any) -> Any:
    """Convert floating-point tensors to float32: a tensor, or those inside dataclasses and tuples."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(to_float32(each) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{spec.name: to_float32(getattr(value, spec.name)) for spec in fields(value)})
    return value
