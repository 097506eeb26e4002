"""Table of the engines: the built-in ones, and those that installed packages add by entry point.

A built-in engine is one line of ``BUILTIN_ENGINES``. Another package registers an engine in its ``pyproject.toml``::

    [project.entry-points."clipose_ros.engines"]
    my_engine = "my_package.my_module:create_engine"

The value names a factory ``(network, device, threads) -> Engine``. Modules are imported when their engine is chosen.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipose_ros.errors import ConfigError
from clipose_ros.inference.engines.base import Engine
from clipose_ros.plugins import load_entry_points

if TYPE_CHECKING:
    from clipose_ros.model.network import CLIPoseNet

ENTRY_POINT_GROUP = "clipose_ros.engines"
"""Group of entry points under which packages register engines."""

AUTO = "auto"
"""Reserved name that selects an engine: on a CPU the fastest one that keeps the accuracy, see ``selection``."""

AUTO_GPU_ENGINE = "pytorch"
"""Engine that ``auto`` selects on a GPU. It is not ``cuda``, whose compilation delays the first pose."""

EngineFactory = Callable[["CLIPoseNet", str, int], Engine]
"""``(network, device, threads)`` to an engine.

``network`` is in evaluation mode, on the CPU. ``device`` is ``cpu`` or ``cuda:N``. ``threads`` is the number of CPU
threads; 0 leaves the choice to the engine.
"""


@dataclass(frozen=True)
class BuiltinEngine:
    """Entry of the table of built-in engines.

    Attributes:
        factory: ``module:callable`` of its ``EngineFactory``.
        device_kinds: Kinds of device that the engine computes on: ``cpu``, ``cuda``.
    """

    factory: str
    device_kinds: tuple[str, ...]


_ENGINES = "clipose_ros.inference.engines"

BUILTIN_ENGINES: Mapping[str, BuiltinEngine] = {
    "pytorch": BuiltinEngine(f"{_ENGINES}.pytorch:create_pytorch_engine", ("cpu", "cuda")),
    "cpu": BuiltinEngine(f"{_ENGINES}.cpu.engine:create_float32_engine", ("cpu",)),
    "cpu_bf16": BuiltinEngine(f"{_ENGINES}.cpu.engine:create_bf16_engine", ("cpu",)),
    "cpu_int8": BuiltinEngine(f"{_ENGINES}.cpu.engine:create_int8_engine", ("cpu",)),
    "cuda": BuiltinEngine(f"{_ENGINES}.cuda:create_float32_engine", ("cuda",)),
    "cuda_bf16": BuiltinEngine(f"{_ENGINES}.cuda:create_bf16_engine", ("cuda",)),
    "cuda_fp16": BuiltinEngine(f"{_ENGINES}.cuda:create_fp16_engine", ("cuda",)),
}
"""Built-in engine by name."""


def installed_engine_names() -> list[str]:
    """Return the names of the engines that installed packages register, in alphabetical order."""
    return list(load_entry_points(ENTRY_POINT_GROUP, (AUTO, *BUILTIN_ENGINES)))


def engine_names() -> list[str]:
    """Return the names of all engines, built-in ones first, without ``auto``."""
    return [*BUILTIN_ENGINES, *installed_engine_names()]


def load_engine_factory(name: str, device: str) -> EngineFactory | None:
    """Import the factory of an engine.

    Args:
        name: Name of a built-in or installed engine.
        device: Device that the engine is meant for, ``cpu`` or ``cuda:N``.

    Returns:
        The factory; None if there is no engine of that name.

    Raises:
        ConfigError: The engine does not compute on the device, or the module of an installed engine does not load.
    """
    if (builtin := BUILTIN_ENGINES.get(name)) is not None:
        if device.partition(":")[0] not in builtin.device_kinds:
            kinds = " or ".join(builtin.device_kinds)
            raise ConfigError(
                f"'network.engine' '{name}' needs a {kinds} device, got 'network.device' '{device}': choose 'auto'"
            )
        # Imported only now: an engine may need libraries that are slow to import or not installed.
        module, _, attribute = builtin.factory.partition(":")
        factory: EngineFactory = getattr(importlib.import_module(module), attribute)
        return factory
    # An installed engine does not declare its kinds of device; its factory has to check the device.
    entry = load_entry_points(ENTRY_POINT_GROUP, (AUTO, *BUILTIN_ENGINES)).get(name)
    if entry is None:
        return None
    try:
        factory = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"'network.engine' '{name}' is registered as '{entry.value}', which does not load ({error}): "
            "repair or reinstall the package that registers it"
        ) from error
    return factory
