"""Text prompts: wording of the paper, units, and recovery of the pose from the numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from clipose_ros.data.prompts import PromptConfig, make_prompt, prompt_with_pose, prompt_without_pose, random_pose
from clipose_ros.errors import ConfigError, ShapeError

PAPER = (
    "a point cloud model of a mug whose rotation euler angles is <-103.73, 58.98, 71.62> "
    "and translation is <10.63, 48.78, 41.32>."
)


def pose(angles: tuple[float, float, float], t: tuple[float, float, float], order: str = "xyz") -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_euler(order, angles, degrees=True).as_matrix(), t
    return T


def numbers(text: str) -> list[float]:
    return [float(value) for value in re.findall(r"-?\d+\.?\d*", text)]


def test_prompt_with_pose_equals_the_example_of_the_paper() -> None:
    T = pose((-103.73, 58.98, 71.62), (0.1063, 0.4878, 0.4132))
    assert prompt_with_pose("mug", T, PromptConfig()) == PAPER


def test_prompt_without_pose_equals_the_text_of_the_paper() -> None:
    assert prompt_without_pose("bowl") == "a point cloud model of a bowl whose pose is to be estimated."


def test_prompt_follows_units_decimals_and_euler_order() -> None:
    T = pose((90.0, 0.0, 0.0), (0.1, -0.2, 1.0))
    text = prompt_with_pose("can", T, PromptConfig(length="mm", angle="rad", decimals=1))
    assert text.endswith("is <1.6, 0.0, 0.0> and translation is <100.0, -200.0, 1000.0>.")
    order = pose((10.0, 20.0, 30.0), (0.0, 0.0, 1.0), "ZYX")
    assert "<10.00, 20.00, 30.00>" in prompt_with_pose("can", order, PromptConfig(euler="ZYX"))
    with pytest.raises(ConfigError, match="length"):
        PromptConfig(length="inch")


@given(seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_prompt_numbers_determine_the_pose(seed: int) -> None:
    T = random_pose(np.random.default_rng(seed))
    values = numbers(prompt_with_pose("mug", T, PromptConfig(decimals=6)))
    again = pose(tuple(values[:3]), tuple(np.array(values[3:]) / 100))
    np.testing.assert_allclose(again, T, atol=1e-6)


def test_prompt_contains_no_minus_zero() -> None:
    assert "-0.00" not in prompt_with_pose("mug", pose((-1e-5, 0.0, 0.0), (-1e-6, 0.0, 1.0)), PromptConfig())


def test_make_prompt_with_true_random_and_no_pose() -> None:
    T = pose((10.0, 20.0, 30.0), (0.1, 0.2, 0.3))
    rng = np.random.default_rng(0)
    assert make_prompt("mug", T, PromptConfig(), rng) == prompt_without_pose("mug")
    true = PromptConfig(pose="true")
    assert make_prompt("mug", T, true, rng) == prompt_with_pose("mug", T, true)
    drawn = PromptConfig(pose="random")
    one, two = make_prompt("mug", T, drawn, rng), make_prompt("mug", T, drawn, rng)
    assert one != two and prompt_with_pose("mug", T, drawn) not in (one, two)
    assert one == make_prompt("mug", T, drawn, np.random.default_rng(0))


def test_prompt_of_a_pose_with_wrong_shape_raises() -> None:
    with pytest.raises(ShapeError, match=r"\(3, 3\)"):
        prompt_with_pose("mug", np.eye(3), PromptConfig())
