"""The notebook runs from the first cell to the last, and its committed outputs are small."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "quickstart.ipynb"


def test_the_notebook_is_small() -> None:
    assert NOTEBOOK.stat().st_size < 300_000


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_notebook_runs() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    assert "mug      score" in text and "too few points" in text and "low score" in text
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) == 3
