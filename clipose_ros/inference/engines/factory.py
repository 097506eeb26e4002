"""Creation of engines by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipose_ros.config import ENGINES
from clipose_ros.errors import ConfigError
from clipose_ros.inference.engines.base import Engine

if TYPE_CHECKING:
    from clipose_ros.model.network import CLIPoseNet


def create_engine(name: str, network: CLIPoseNet, device: str, threads: int = 0) -> Engine:
    """Make an engine.

    Args:
        name: One of ``ENGINES``.
        network: Whose weights it takes; in evaluation mode.
        device: Where it is to compute: ``cpu`` or ``cuda:N``.
        threads: CPU threads for it; 0 leaves the choice to torch.

    Raises:
        ConfigError: There is no such engine, or it cannot compute on the device.
        DeviceError: The CPU lacks the instructions that it needs.
    """
    if name not in ENGINES:
        raise ConfigError(f"'network.engine' must be one of {', '.join(ENGINES)}, got '{name}'")
    if name == "auto":
        name = "cpu" if device == "cpu" else "pytorch"
    if name == "pytorch":
        from clipose_ros.inference.engines.pytorch import PytorchEngine

        return PytorchEngine(network.to(device), device, threads)
    if name.startswith("cuda"):
        if device == "cpu":
            raise ConfigError(f"'network.engine' '{name}' computes on a CUDA device, got device 'cpu': choose 'auto'")
        from clipose_ros.inference.engines.cuda import CudaEngine

        return CudaEngine(network, device, name)
    if device != "cpu":
        raise ConfigError(f"'network.engine' '{name}' computes on the CPU alone, got device '{device}': choose 'auto'")
    from clipose_ros.inference.engines.cpu.engine import CpuEngine  # numba loads here, which only the CPU needs

    return CpuEngine(network, name, threads)
