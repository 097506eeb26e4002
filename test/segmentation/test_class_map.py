"""Class maps: what is mapped, and that every mistake is named."""

from pathlib import Path

import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import ConfigError, SegmentationError
from clipose_ros.segmentation.class_map import parse_class_map, resolve_classes, resolve_weights

NAMES = {0: "person", 39: "bottle", 41: "cup", 45: "bowl"}


def test_names_and_numbers_are_resolved() -> None:
    mapping = parse_class_map(("cup:mug", "45:bowl", "bottle : bottle"), NOCS_CATEGORIES)
    assert resolve_classes(mapping, NAMES, "m.pt") == {41: "mug", 45: "bowl", 39: "bottle"}


def test_a_class_name_may_hold_a_colon() -> None:
    assert parse_class_map(("kitchen:cup:mug",), NOCS_CATEGORIES) == {"kitchen:cup": "mug"}


@pytest.mark.parametrize("entry", ["cup", "cup:", ":mug", ""])
def test_a_malformed_entry_is_named(entry: str) -> None:
    with pytest.raises(ConfigError, match=rf"segmentation\.class_map.*got '{entry}'"):
        parse_class_map((entry,), NOCS_CATEGORIES)


def test_an_unknown_category_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown category 'spoon'.*bottle, bowl"):
        parse_class_map(("cup:spoon",), NOCS_CATEGORIES)


def test_a_class_mapped_twice_is_named() -> None:
    with pytest.raises(ConfigError, match="'cup' twice"):
        parse_class_map(("cup:mug", "cup:bowl"), NOCS_CATEGORIES)


def test_an_empty_map_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty"):
        parse_class_map((), NOCS_CATEGORIES)


def test_an_unknown_class_is_named_with_the_nearest() -> None:
    with pytest.raises(SegmentationError, match="'botle'.*m.pt.*did you mean 'bottle'"):
        resolve_classes({"botle": "bottle"}, NAMES, "m.pt")


def test_without_a_near_class_all_are_listed() -> None:
    with pytest.raises(SegmentationError, match="its classes are person, bottle, cup, bowl"):
        resolve_classes({"xyzzy": "mug"}, NAMES, "m.pt")


def test_a_model_without_names_asks_for_numbers() -> None:
    nameless = {number: f"class{number}" for number in range(80)}
    with pytest.raises(SegmentationError, match="has no class names.*'41:mug'"):
        resolve_classes({"cup": "mug"}, nameless, "m.tflite")
    assert resolve_classes({"41": "mug"}, nameless, "m.tflite") == {41: "mug"}


def test_shipped_weights_go_by_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "share/clipose_ros/models/unit_test.pt"
    shipped.parent.mkdir(parents=True)
    shipped.touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert resolve_weights("unit_test", "yolo", "do this") == shipped
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unit_test").mkdir()  # an exported model is a folder
    assert resolve_weights("unit_test", "yolo", "do this") == tmp_path / "unit_test", "what is here comes first"


@pytest.mark.parametrize("model", ["", "unit_test", "yolo11n-seg.pt", "/nowhere/weights.onnx"])
def test_missing_weights_are_named_with_advice(model: str) -> None:
    with pytest.raises(SegmentationError, match=rf"{model or 'none was given'}.*Nothing is downloaded.*do this"):
        resolve_weights(model, "yolo", "do this")
