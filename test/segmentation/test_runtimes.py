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


class Graph:
    """Model of OpenVINO with an input of a fixed or variable shape."""

    def __init__(self, path, shape="[1,3,?,?]"):
        self.path, self.shape = path, shape

    def is_dynamic(self):
        return "?" in self.shape

    def input(self):
        return SimpleNamespace(get_partial_shape=lambda: self.shape)


@pytest.fixture
def openvino(monkeypatch, tmp_path):
    """Stand-in for the package; returns a function that loads a model of a given input shape as ultralytics does."""
    weights = tmp_path / "graph.xml"
    weights.touch()
    module = ModuleType("openvino")
    monkeypatch.setitem(sys.modules, "openvino", module)

    def load(device, shape):
        module.Core = lambda: SimpleNamespace(read_model=lambda path: Graph(path, shape))
        compiled = functools.partial(
            lambda graph, device_name, config: (graph.shape, device_name, config),
            device_name=device, config={"PERFORMANCE_HINT": "LATENCY"},
        )  # fmt: skip
        loaded = model("openvino", compile_model=compiled, ov_compiled_model="as before", read_model=None)
        set_threads(loaded, weights, 2)
        return loaded.backend, compiled

    return load


CONFIG = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 2, "ENABLE_CPU_PINNING": False}


def test_openvino_is_compiled_anew_on_a_cpu(openvino):
    backend, _ = openvino("CPU", "[1,3,96,96]")
    assert backend.ov_compiled_model == ("[1,3,96,96]", "CPU", CONFIG)
    assert backend.compile_model(Graph("", "[1]")) == ("[1]", "CPU", CONFIG)
    assert backend.read_model is None


def test_openvino_is_left_alone_on_other_devices(openvino):
    backend, given = openvino("GPU", "[1,3,?,?]")
    assert backend.ov_compiled_model == "as before" and backend.compile_model is given and backend.read_model is None


def test_openvino_model_of_variable_size_is_compiled_once_for_each_of_the_newest_shapes(openvino):
    backend, _ = openvino("CPU", "[1,3,?,?]")
    assert backend.dynamic and backend.read_model().is_dynamic()
    first = backend.compile_model(Graph("", "0"))
    assert first == ("0", "CPU", CONFIG) and backend.compile_model(Graph("", "0")) is first
    for number in range(1, 9):
        backend.compile_model(Graph("", str(number)))
    assert backend.compile_model(Graph("", "8")) is backend.compile_model(Graph("", "8"))
    assert backend.compile_model(Graph("", "0")) is not first  # the oldest one was dropped


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
