"""The runtimes that ultralytics runs exported detectors with, ONNX Runtime, OpenVINO, LiteRT: their threads and errors.

Left alone, ONNX Runtime's threads go on spinning after each frame, on the cores that the pose network needs next, and
LiteRT leaves a core unused.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any


def set_threads(model: Any, weights: Path, threads: int) -> None:
    """Give a loaded detector's runtime its threads; they sleep while there is no frame.

    Args:
        model: ultralytics' loaded model (``AutoBackend``). A PyTorch model is left as it is: its threads are torch's.
        weights: The exported file or folder.
        threads: How many; 0 for as many as this process may use cores.
    """
    count = threads or len(os.sched_getaffinity(0))
    if model.format == "onnx":
        _onnxruntime(model.backend, weights, count)
    elif model.format == "openvino":
        _openvino(model.backend, weights, count)
    elif model.format == "litert":
        _litert(model.backend, weights, count)


def _onnxruntime(backend: Any, weights: Path, threads: int) -> None:
    """On a CPU a new session; another device's session stays."""
    import onnxruntime

    if backend.session.get_providers() != ["CPUExecutionProvider"]:
        return
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    backend.session = onnxruntime.InferenceSession(str(weights), options, ["CPUExecutionProvider"])


def _openvino(backend: Any, weights: Path, threads: int) -> None:
    """On a CPU the model compiled anew, now and whenever ultralytics compiles it; another device's stays."""
    import openvino

    known = backend.compile_model.keywords
    if known["device_name"] != "CPU":
        return
    config = {**known["config"], "INFERENCE_NUM_THREADS": threads}
    backend.compile_model = functools.partial(backend.compile_model, config=config)
    graph = weights if weights.is_file() else next(weights.glob("*.xml"))
    backend.ov_compiled_model = backend.compile_model(openvino.Core().read_model(str(graph)))


def _litert(backend: Any, weights: Path, threads: int) -> None:
    """A new interpreter, where ultralytics uses one."""
    if not hasattr(backend, "interpreter"):
        return
    from ai_edge_litert.interpreter import Interpreter

    backend.interpreter = Interpreter(str(weights), num_threads=threads)
    backend.interpreter.allocate_tensors()
    backend.input_details = backend.interpreter.get_input_details()
    backend.output_details = backend.interpreter.get_output_details()


def runtime_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises, if it is loaded: classes of its own, below no built-in one but Exception."""
    state = sys.modules.get("onnxruntime.capi.onnxruntime_pybind11_state")
    known = vars(state).values() if state else ()
    return tuple(each for each in known if isinstance(each, type) and issubclass(each, Exception))
