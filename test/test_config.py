"""Settings: values of any type and size are refused in one line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.config import PoseNodeConfig, config_fields, nest
from clipose_ros.errors import ConfigError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([10**400, -(10**400)]),
    lambda values: st.lists(values, max_size=200) | st.dictionaries(st.text(max_size=300), values, max_size=3),
    max_leaves=9,
)
PATHS = [field.path for field in config_fields(PoseNodeConfig())]


@given(st.sampled_from(PATHS), VALUES)
def test_any_value_is_accepted_or_refused_in_one_line(path: str, value: object) -> None:
    try:
        config = PoseNodeConfig.from_mapping(nest({path: value}))
    except ConfigError as error:
        message = str(error)
        assert message.isprintable() and len(message) < 400, message
    else:
        assert PoseNodeConfig.from_mapping(config.to_mapping()) == config


@given(st.text(max_size=300))
def test_any_unknown_key_is_refused_in_one_line(key: str) -> None:
    with pytest.raises(ConfigError) as error:
        PoseNodeConfig.from_mapping({"x" + key: 1})
    assert str(error.value).isprintable()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**63])
def test_numbers_without_bounds_must_be_finite(value: float) -> None:
    from clipose_ros.training.config import TrainConfig

    for key in ("seed", "grad_clip_norm", "pose_loss.size"):
        with pytest.raises(ConfigError, match=f"{key}'"):
            TrainConfig.from_mapping(nest({key: value}))


def test_setting_below_a_setting_is_refused() -> None:
    for flat in ({"cloud": 1, "cloud.points": 128}, {"cloud.points": 128, "cloud.points.x": 1}):
        with pytest.raises(ConfigError, match="are both set"):
            nest(flat)


@pytest.mark.parametrize("path", ["publish.tf_prefix", "publish.target_frame", "tracking.frame"])
@pytest.mark.parametrize(
    ("name", "meant"), [("/robot1/", "robot1/"), ("my robot", "myrobot"), (" map\n", "map"), ("//", "")]
)
def test_names_of_frames_that_tf_does_not_accept_are_refused_with_the_one_to_set(path, name, meant):
    with pytest.raises(ConfigError, match=f"'{re.escape(path)}'.*set '{meant}'$"):
        PoseNodeConfig.from_mapping(nest({path: name}))
    values = {field.path: field.value for field in config_fields(PoseNodeConfig.from_mapping(nest({path: meant})))}
    assert values[path] == meant
