"""The example goes from meshes over two training steps to poses."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipose_ros import Predictor


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_candles_are_trained_and_posed(tmp_path: Path, run_example) -> None:
    output = run_example(
        "own_category/own_category.py", "--folder", tmp_path, "--scenes", 3, "--steps", 2, timeout=380.0
    )
    assert "poses: median error" in output
    predictor = Predictor.load(tmp_path / "run" / "model.safetensors", device="cpu")
    assert predictor.categories.names == ("candle",)
