"""Controls: one for each setting that can change at run time; what they accept, the settings accept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.config import PoseNodeConfig, config_fields, nest
from clipose_ros.ros_tools.view.controls import Control, live_controls

CONTROLS = {control.path: control for control in live_controls()}


def test_every_live_setting_has_its_control_and_no_other_has() -> None:
    assert list(CONTROLS) == [field.path for field in config_fields(PoseNodeConfig()) if field.live]
    assert any(control.is_slider for control in CONTROLS.values())


@pytest.mark.parametrize("control", CONTROLS.values(), ids=str)
def test_default_is_accepted_and_lies_in_the_range(control: Control) -> None:
    assert control.accept(control.value) == control.value
    if control.is_slider:
        assert control.low <= control.value <= control.high
        assert isinstance(control.value, int) or 20 <= (control.high - control.low) / control.step <= 2000


@given(
    st.sampled_from(sorted(CONTROLS)),
    st.one_of(
        st.floats(), st.integers(), st.booleans(), st.text(), st.none(), st.lists(st.text(max_size=3)), st.binary()
    ),
)
def test_accepted_values_are_values_of_the_setting(path: str, given_value: object) -> None:
    value = CONTROLS[path].accept(given_value)
    if value is not None and path not in ("cloud.depth_min_m", "cloud.depth_max_m"):  # the node compares these two
        PoseNodeConfig.from_mapping(nest({path: value}))


def test_lists_are_split_at_commas() -> None:
    assert CONTROLS["categories"].accept("mug, can,") == ("mug", "can") and CONTROLS["categories"].accept("") == ()
