"""Description of the machine: processor, memory, versions, date."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipose_ros.cores import count_cores

_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_PACKAGES = (
    "numpy", "torch", "numba", "opencv-python-headless", "onnxruntime", "openvino", "ultralytics", "ai-edge-litert",
)  # fmt: skip
_SETTINGS = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RMW_IMPLEMENTATION")


@dataclass(frozen=True, slots=True)
class MachineDescription:
    """Machine, versions and settings of a benchmark run. The attribute names are the keys of the record.

    Attributes:
        date: Date in UTC, ISO 8601.
        processor: Name of the processor.
        cores: Number of cores that this process may use.
        flags: Instruction sets of the processor that matter for the speed.
        memory_gib: Memory, GiB.
        gpu: Name of the first GPU; None without one.
        system: Operating system and architecture.
        python: Version of Python.
        versions: Version of each installed package.
        threads: Number of threads that torch uses.
        settings: Environment variables that influence the speed.
        load: Load average over one minute. Other processes distort the measurements.
    """

    date: str
    processor: str
    cores: int
    flags: tuple[str, ...]
    memory_gib: float
    gpu: str | None
    system: str
    python: str
    versions: Mapping[str, str]
    threads: int
    settings: Mapping[str, str]
    load: float

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MachineDescription:
        """Build from plain values, as ``dataclasses.asdict`` returns them."""
        return cls(**{**values, "flags": tuple(values["flags"])})


def describe_machine() -> MachineDescription:
    """Describe the machine and the present process."""
    import torch

    processor = _read_fields("/proc/cpuinfo")
    memory_kib = int(_read_fields("/proc/meminfo").get("MemTotal", "0 kB").split()[0])
    flags = processor.get("flags", "").split()
    return MachineDescription(
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        processor=processor.get("model name") or platform.processor() or platform.machine(),
        cores=count_cores(),
        flags=tuple(flag for flag in _FLAGS if flag in flags),
        memory_gib=round(memory_kib / 2**20, 1),
        gpu=torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: version for name in _PACKAGES if (version := _installed_version(name))},
        threads=torch.get_num_threads(),
        settings={name: os.environ[name] for name in _SETTINGS if name in os.environ},
        load=round(os.getloadavg()[0], 2),
    )


def _read_fields(path: str) -> dict[str, str]:
    """Read the ``name: value`` lines of a file under ``/proc``; the first of a repeated name is kept."""
    lines = (line.split(":", 1) for line in reversed(Path(path).read_text().splitlines()) if ":" in line)
    return {name.strip(): value.strip() for name, value in lines}


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
