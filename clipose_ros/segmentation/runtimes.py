"""Threads and exceptions of the runtimes that ultralytics uses for exported models: ONNX Runtime, OpenVINO, LiteRT.

By default, the threads of ONNX Runtime keep spinning after each frame, on the cores that the pose network needs next,
and LiteRT leaves one core unused.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clipose_ros.cores import count_cores

_MAX_SHAPES = 8  # compiled models that are kept; each holds its own weights


def set_threads(model: Any, weights: Path, threads: int) -> None:
    """Set the number of CPU threads of a loaded model's runtime; the threads sleep between frames.

    Args:
        model: Loaded model of ultralytics (``AutoBackend``). PyTorch models are not changed; they use torch's threads.
        weights: Exported file or folder.
        threads: Number of threads; 0 for the number of cores that this process may use.
    """
    count = threads or count_cores()
    if model.format == "onnx":
        _set_onnxruntime_threads(model.backend, weights, count)
    elif model.format == "openvino":
        _set_openvino_threads(model.backend, weights, count)
    elif model.format == "litert":
        _set_litert_threads(model.backend, weights, count)


def _set_onnxruntime_threads(backend: Any, weights: Path, threads: int) -> None:
    """Replace a CPU session by one with the given threads; sessions on other devices are kept."""
    import onnxruntime

    if backend.session.get_providers() != ["CPUExecutionProvider"]:
        return
    # The number of threads of a session is fixed when it is created.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    backend.session = onnxruntime.InferenceSession(str(weights), options, ["CPUExecutionProvider"])


def _set_openvino_threads(backend: Any, weights: Path, threads: int) -> None:
    """Compile the model again with the given threads, and whenever ultralytics compiles it; only on a CPU.

    A model of variable input size is compiled for each size that it meets.
    """
    import openvino

    # ultralytics keeps a functools.partial of Core.compile_model and calls it for each new shape of the input.
    # So the partial is replaced, not only the compiled model.
    keywords = backend.compile_model.keywords
    if keywords["device_name"] != "CPU":
        return
    # Pinned threads would wait on a core that the pose network uses.
    config = {**keywords["config"], "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    compile_model = functools.partial(backend.compile_model, config=config)
    # An exported model is a folder with the graph (.xml) and its weights (.bin).
    graph = weights if weights.is_file() else next(weights.glob("*.xml"))
    read_model = functools.partial(openvino.Core().read_model, str(graph))
    model = read_model()
    if model.is_dynamic():
        # Without read_model, ultralytics runs models of variable size as they are, which is slower; where the CPU has
        # AMX it sets read_model for int8 models, but pads every image to a square, as for models of fixed size.
        backend.read_model, backend.dynamic = read_model, True
        backend.compile_model = _CompiledShapes(compile_model)  # called with the first image
    else:
        backend.compile_model = compile_model
        backend.ov_compiled_model = compile_model(model)


class _CompiledShapes:
    """Compiler of OpenVINO models that keeps the newest ones by the shape of their input."""

    def __init__(self, compile_model: Callable[[Any], Any]) -> None:
        self._compile_model = compile_model
        self._compiled: dict[str, Any] = {}

    def __call__(self, model: Any) -> Any:
        """Return the compiled model; that of an equal shape if there is one."""
        shape = str(model.input().get_partial_shape())
        if shape not in self._compiled:
            if len(self._compiled) >= _MAX_SHAPES:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[shape] = self._compile_model(model)
        return self._compiled[shape]


def _set_litert_threads(backend: Any, weights: Path, threads: int) -> None:
    """Replace the interpreter by one with the given threads, if ultralytics uses one."""
    if not hasattr(backend, "interpreter"):
        return
    from ai_edge_litert.interpreter import Interpreter

    backend.interpreter = Interpreter(str(weights), num_threads=threads)
    backend.interpreter.allocate_tensors()
    # Tensor indices belong to an interpreter: ultralytics keeps those of the replaced one.
    backend.input_details = backend.interpreter.get_input_details()
    backend.output_details = backend.interpreter.get_output_details()


def runtime_errors() -> tuple[type[Exception], ...]:
    """Return the exception classes of ONNX Runtime; none if it has not been imported.

    They derive from ``Exception`` directly and their number depends on the version, so that they are listed by type.
    """
    # Not imported: an exception of ONNX Runtime cannot occur before it is loaded, and its import takes time.
    module = sys.modules.get("onnxruntime.capi.onnxruntime_pybind11_state")
    classes = inspect.getmembers(module, inspect.isclass) if module is not None else []
    return tuple(member for _, member in classes if issubclass(member, Exception))
