"""On what the figures were taken: processor, memory, versions, date."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_PACKAGES = (
    "numpy", "torch", "numba", "opencv-python-headless", "onnxruntime", "openvino", "ultralytics", "ai-edge-litert",
)  # fmt: skip
_SETTINGS = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RMW_IMPLEMENTATION")


def describe_machine() -> dict[str, Any]:
    """Plain values for JSON. ``load`` is the load average at this moment: other work disturbs what is timed."""
    import torch

    processor = _fields("/proc/cpuinfo")
    memory_kib = int(_fields("/proc/meminfo").get("MemTotal", "0 kB").split()[0])
    flags = processor.get("flags", "").split()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "processor": processor.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "memory_gib": round(memory_kib / 2**20, 1),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "threads": torch.get_num_threads(),
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "load": round(os.getloadavg()[0], 2),
    }


def _fields(path: str) -> dict[str, str]:
    """``name: value`` lines of a file of the kernel's; of a repeated name the first."""
    lines = (line.split(":", 1) for line in reversed(Path(path).read_text().splitlines()) if ":" in line)
    return {name.strip(): value.strip() for name, value in lines}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
