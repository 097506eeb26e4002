"""CPU engine: compiled loops between few matrix products, in float32, bfloat16 or int8."""

from pathlib import Path

from clipose_ros.model.numba_cache import ensure_writable_cache

ensure_writable_cache(Path(__file__).parent)
