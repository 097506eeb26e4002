"""Tests that the packages of a ROS 2 distribution may fail, each with its reason.

The tests of this folder describe the stand-ins of ``underlay/``. The stand-ins are stricter in places, and their
error messages name values. Where the distribution's own package is imported, these tests may fail: see ``conftest``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

STAND_INS = Path(__file__).resolve().parents[2] / "underlay" / "python"


@dataclass(frozen=True)
class Difference:
    """A known difference between a distribution's package and its stand-in.

    Attributes:
        package: Package that differs.
        tests: Names of tests, with the parameters in brackets if only these differ.
        reason: What the distribution's package does instead.
    """

    package: str
    tests: tuple[str, ...]
    reason: str


_OTHER_WORDS = "the error has other words or another type"
DIFFERENCES = (
    Difference(
        "message_filters",
        ("test_arrival_time_replaces_the_stamp",),
        "older releases have no argument sync_arrival_time",
    ),
    Difference(
        "tf2_ros",
        ("test_unusable_transforms_are_ignored[fault3]",),
        "some releases accept a quaternion whose length is not 1",
    ),
    Difference(
        "tf2_ros",
        ("test_transforms_arrive_over_dds_late_listeners_included",),
        "the thread of TransformListener spins in the default context, which this test does not initialize",
    ),
    Difference("tf_transformations", ("test_unknown_axes_are_refused",), "unknown axes raise KeyError"),
    Difference(
        "cv_bridge",
        (
            "test_alpha_is_dropped",
            "test_bayer_and_yuv_are_decoded",
            "test_bytes_are_in_the_documented_order",
            "test_colour_order_is_exchanged",
            "test_every_pair_of_colours_keeps_white_and_black",
            "test_names_of_the_same_layout_are_accepted",
        ),
        "its C++ library has the type codes of OpenCV 4: images of several channels raise KeyError beside OpenCV 5",
    ),
    Difference(
        "cv_bridge",
        ("test_padding_and_byte_order_are_undone", "test_big_endian_array_makes_a_big_endian_message"),
        "releases of 2024 call ndarray.newbyteorder, which NumPy 2 removed",
    ),
    Difference("cv_bridge", ("test_unknown_encoding_is_named", "test_unwritable_format_is_refused"), _OTHER_WORDS),
    Difference(
        "cv_bridge",
        ("test_data_that_do_not_fill_the_image_are_refused", "test_array_that_does_not_fit_its_encoding_is_refused"),
        _OTHER_WORDS,
    ),
    Difference("cv_bridge", ("test_senseless_conversions_are_refused",), f"{_OTHER_WORDS}, or the image is converted"),
    Difference(
        "cv_bridge",
        ("test_undecodable_data_are_refused",),
        "data that are no image give None or cv2.error",
    ),
    Difference(
        "cv_bridge",
        ("test_compressed_colours_come_as_asked",),
        "a compressed grey image is not converted to colour",
    ),
)


def is_stand_in(package: str) -> bool:
    """Return True if the package that is imported is the stand-in of this repository, or if there is none."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return True
    return Path(spec.origin).read_bytes() == (STAND_INS / package / package / "__init__.py").read_bytes()


def find_difference(name: str) -> Difference | None:
    """Return the known difference of a test, named with its parameters in brackets."""
    function = name.partition("[")[0]
    return next((each for each in DIFFERENCES if name in each.tests or function in each.tests), None)
