"""Creation of engines by name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from clipose_ros.config_aliases import current_value
from clipose_ros.errors import ConfigError
from clipose_ros.inference.engines.base import Engine
from clipose_ros.inference.engines.registry import (
    AUTO,
    AUTO_GPU_ENGINE,
    BUILTIN_ENGINES,
    installed_engine_names,
    load_engine_factory,
)
from clipose_ros.inference.engines.selection import create_fastest_engine

if TYPE_CHECKING:
    from clipose_ros.model.network import CLIPoseNet


def create_engine(name: str, network: CLIPoseNet, device: str, threads: int = 0) -> Engine:
    """Create an engine.

    Args:
        name: ``auto``, a built-in engine, or an engine that an installed package registers. Earlier names of built-in
            engines are translated with a warning. ``auto`` on a CPU is the fastest engine that keeps the accuracy.
        network: Network whose weights the engine computes with, in evaluation mode, on the CPU.
        device: Device that computes: ``cpu`` or ``cuda:N``.
        threads: CPU threads of the engine; 0 leaves the choice to torch.

    Raises:
        ConfigError: There is no such engine, it does not load, or it does not compute on the device.
        DeviceError: The CPU lacks instructions that the engine needs.
    """
    # Repeated here, because calls from Python pass names that no settings reader has translated.
    name = str(current_value("network.engine", name))
    if name == AUTO and device == "cpu":
        return create_fastest_engine(network, threads, lambda each: create_engine(each, network, device, threads))
    if name == AUTO:
        name = AUTO_GPU_ENGINE
    factory = load_engine_factory(name, device)
    # Checked here, not when settings are read: the table of settings does not know the engines of other packages.
    if factory is None:
        raise ConfigError(_unknown_engine_message(name))
    return factory(network, device, threads)


def _unknown_engine_message(name: str) -> str:
    """Return a message that lists the engines and names the nearest one."""
    installed = installed_engine_names()
    builtin = [AUTO, *BUILTIN_ENGINES]
    nearest = difflib.get_close_matches(name, [*builtin, *installed], n=1, cutoff=0.5)
    return (
        f"'network.engine' must be one of {', '.join(builtin)} (built-in) or {', '.join(installed) or 'none'} (from "
        f"installed packages), got {name!r:.80}" + (f": did you mean '{nearest[0]}'?" if nearest else "")
    )
