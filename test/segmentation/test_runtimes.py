"""Threads are set where a runtime computes on the CPU, and left alone elsewhere."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from clipose_ros.segmentation.runtimes import runtime_errors, set_threads

WEIGHTS = Path("detector.weights")


class Options:
    """Session options of ONNX Runtime."""

    def __init__(self):
        self.entries = {}

    def add_session_config_entry(self, name, value):
        self.entries[name] = value


@pytest.fixture
def onnxruntime(monkeypatch):
    module = ModuleType("onnxruntime")
    module.SessionOptions = Options
    module.InferenceSession = lambda path, options, providers: SimpleNamespace(path=path, options=options)
    monkeypatch.setitem(sys.modules, "onnxruntime", module)


def model(kind, **backend):
    return SimpleNamespace(format=kind, backend=SimpleNamespace(**backend))


def session(*providers):
    return SimpleNamespace(get_providers=lambda: list(providers))


@pytest.mark.parametrize("threads", [0, 3])
def test_onnxruntime_on_a_cpu_gets_threads_that_do_not_spin(onnxruntime, threads, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(5))
    loaded = model("onnx", session=session("CPUExecutionProvider"))
    set_threads(loaded, WEIGHTS, threads)
    options = loaded.backend.session.options
    assert options.intra_op_num_threads == (threads or 5)
    assert options.entries["session.intra_op.allow_spinning"] == "0"


def test_onnxruntime_on_a_gpu_keeps_its_session(onnxruntime):
    kept = session("CUDAExecutionProvider", "CPUExecutionProvider")
    loaded = model("onnx", session=kept)
    set_threads(loaded, WEIGHTS, 3)
    assert loaded.backend.session is kept


@pytest.mark.parametrize(("device", "compiled"), [("CPU", True), ("GPU", False)])
def test_openvino_is_compiled_anew_on_a_cpu_alone(device, compiled, monkeypatch, tmp_path):
    module = ModuleType("openvino")
    module.Core = lambda: SimpleNamespace(read_model=lambda path: path)
    monkeypatch.setitem(sys.modules, "openvino", module)
    weights = tmp_path / "graph.xml"
    weights.touch()

    def compile_model(graph, device_name, config):
        return graph, device_name, config

    given = functools.partial(compile_model, device_name=device, config={"PERFORMANCE_HINT": "LATENCY"})
    loaded = model("openvino", compile_model=given, ov_compiled_model="as before")
    set_threads(loaded, weights, 2)
    if compiled:
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 2}
        assert loaded.backend.ov_compiled_model == (str(weights), device, config)
        assert loaded.backend.compile_model("again") == ("again", device, config)
    else:
        assert loaded.backend.ov_compiled_model == "as before" and loaded.backend.compile_model is given


def test_torch_models_are_left_alone():
    loaded = model("pt", session="untouched")
    set_threads(loaded, WEIGHTS, 3)
    assert vars(loaded.backend) == {"session": "untouched"}


def test_errors_of_a_runtime_are_known_only_once_it_is_loaded(monkeypatch):
    name = "onnxruntime.capi.onnxruntime_pybind11_state"
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert runtime_errors() == ()

    class NoSuchFileError(Exception):
        """As ONNX Runtime has them."""

    state = ModuleType(name)
    state.NoSuchFileError, state.count, state.Session = NoSuchFileError, 3, object
    monkeypatch.setitem(sys.modules, name, state)
    assert runtime_errors() == (NoSuchFileError,)
