"""Start values of the node under earlier names, over real rclpy."""

from __future__ import annotations

import sys

import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

from clipose_ros.errors import ConfigError
from clipose_ros.ros.parameters import NodeParameters
from clipose_ros.ros.rclpy_compat import get_parameter_overrides


@pytest.fixture
def make_parameters(ros_context):
    """Makes the parameters of a node that is started with command line arguments or overrides."""
    nodes = []

    def make(*arguments: str, overrides: dict | None = None) -> tuple[Node, NodeParameters]:
        parameters = [Parameter(name, value=value) for name, value in (overrides or {}).items()]
        node = rclpy.create_node(
            "parameters_under_test",
            cli_args=["--ros-args", *arguments] if arguments else None,
            parameter_overrides=parameters,
            start_parameter_services=False,
        )
        nodes.append(node)
        return node, NodeParameters(node)

    yield make
    for node in nodes:
        node.destroy_node()


@pytest.mark.parametrize(
    ("old", "value", "new", "expected"),
    [
        ("network.looks", 2, "network.tta.max_passes", 2),
        ("sync.silence_s", 7.5, "sync.timeout_s", 7.5),
        ("network.agree_deg", 3.0, "network.tta.disagreement_deg", 3.0),
        ("check.hidden_tolerance", 4.0, "check.max_occlusion_ratio", 4.0),
        ("network.engine", "fused", "network.engine", "cpu"),
    ],
)
def test_an_earlier_name_sets_the_present_parameter_and_warns_once(make_parameters, old, value, new, expected):
    node, parameters = make_parameters("-p", f"{old}:={value}")
    setting = parameters.config
    for name in new.split("."):
        setting = getattr(setting, name)
    assert setting == expected == node.get_parameter(new).value
    (warning,) = parameters.warnings
    assert f"'{old}'" in warning and (new if old != new else expected) in warning


def test_a_parameter_file_may_use_earlier_names(make_parameters, tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text("/**:\n  ros__parameters:\n    network:\n      looks: 3\n      engine: fused_int8\n")
    _, parameters = make_parameters("--params-file", str(path))
    assert parameters.config.network.tta.max_passes == 3 and parameters.config.network.engine == "cpu_int8"
    assert len(parameters.warnings) == 2


def test_the_present_name_takes_precedence(make_parameters):
    _, parameters = make_parameters(overrides={"network.looks": 2, "network.tta.max_passes": 5})
    assert parameters.config.network.tta.max_passes == 5
    (warning,) = parameters.warnings
    assert "'network.looks' is ignored" in warning and "'network.tta.max_passes'" in warning


def test_a_value_under_an_earlier_name_is_checked_as_under_the_present_one(make_parameters):
    for name in ("network.looks", "network.tta.max_passes"):
        with pytest.raises(ConfigError, match=r"network\.tta\.max_passes"):
            make_parameters(overrides={name: 99})
        with pytest.raises(ConfigError, match=r"network\.tta\.max_passes"):
            make_parameters(overrides={name: "two"})


def test_unknown_names_are_ignored_with_the_nearest_name(make_parameters):
    _, parameters = make_parameters(overrides={"network.modle": "x"})
    (warning,) = parameters.warnings
    assert "did you mean 'network.model'?" in warning and warning.endswith("(ignored)")


def test_renamed_values_can_be_set_while_the_node_runs(make_parameters):
    node, parameters = make_parameters()
    (result,) = node.set_parameters([Parameter("network.engine", value="reference")])
    assert result.successful and parameters.config.network.engine == "pytorch"


def test_an_rclpy_without_its_private_attribute_fails_with_its_name():
    with pytest.raises(RuntimeError, match="_parameter_overrides"):
        get_parameter_overrides(object())


def test_the_node_logs_each_earlier_name_once(ros, start_node, capfd):
    start_node(started=False, network__looks=2)
    ros.wait_for(lambda: "network.tta.max_passes" in _read(capfd), "the warning")
    assert _LOG[0].count("is now called 'network.tta.max_passes'") == 1


_LOG = [""]


def _read(capfd) -> str:
    """What was logged so far."""
    sys.stderr.flush()
    captured = capfd.readouterr()
    _LOG[0] += captured.out + captured.err
    return _LOG[0]
