"""Train the network on CPUs: its graph and point operations as compiled loops with hand-written gradients."""

from pathlib import Path

from clipose_ros.model.numba_cache import ensure_writable_cache

ensure_writable_cache(Path(__file__).parent)
