"""Mapping from the classes of a detector to categories, and the lookup of its weights."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from clipose_ros.categories import CategorySet
from clipose_ros.errors import CheckpointError, ConfigError, SegmentationError, quoted
from clipose_ros.resources import model_path

WEIGHTS_SUFFIX = ".pt"
"""Suffix of shipped weights, which their names omit."""


def parse_class_map(
    entries: Sequence[str],
    categories: CategorySet,
    setting: str = "segmentation.class_map",
    example: str = "cup:mug",
) -> dict[str, str]:
    """Parse ``class:category`` entries.

    Args:
        entries: Entries; a class is given by its name or number in the model.
        categories: Categories that entries may name.
        setting: Name of the setting for error messages.
        example: Entry for error messages.

    Returns:
        Category name by class name or number.

    Raises:
        ConfigError: An entry has no colon or names an unknown category, a class is mapped twice, or there are no
            entries.
    """
    mapping: dict[str, str] = {}
    for entry in entries:
        name, colon, category = (part.strip() for part in entry.rpartition(":"))
        if not (name and colon and category):
            raise ConfigError(f"'{setting}' needs entries like '{example}', got {entry!r:.80}")
        if name in mapping:
            raise ConfigError(f"'{setting}' maps {quoted(name)} twice: to '{mapping[name]}' and {quoted(category)}")
        mapping[name] = categories[category].name
    if not mapping:
        raise ConfigError("'segmentation.class_map' is empty: map at least one class of the model, as in 'cup:mug'")
    return mapping


def resolve_classes(mapping: Mapping[str, str], names: Mapping[int, str], model: str) -> dict[int, str]:
    """Look up the class numbers of a model.

    Args:
        mapping: Category by class name or number, from ``parse_class_map``.
        names: Class names of the model by number.
        model: Name of the model for error messages.

    Returns:
        Category by class number.

    Raises:
        SegmentationError: The model has no such class. The message lists similar names, or all if none is similar.
    """
    resolved: dict[int, str] = {}
    for name, category in mapping.items():
        # A name takes precedence over a number, and several classes may have the same name.
        numbers = [number for number, known in names.items() if known == name]
        if not numbers and name.isdecimal() and int(name) in names:
            numbers = [int(name)]
        if not numbers:
            raise SegmentationError(_unknown_class_message(name, names, model))
        resolved.update(dict.fromkeys(numbers, category))
    return resolved


def resolve_weights(model: str, backend: str, advice: str) -> Path:
    """Return the absolute path of local weights; nothing is downloaded.

    Args:
        model: Path of a file or of the folder of an exported model, or the name of shipped weights.
        backend: Name of the segmentation backend for error messages.
        advice: Advice on usable weights, which is appended to error messages.

    Raises:
        SegmentationError: ``model`` is empty or does not exist.
    """
    path = Path(model).expanduser()
    with contextlib.suppress(CheckpointError):  # not the name of shipped weights, so a path
        if model and not path.exists():
            path = model_path(model, WEIGHTS_SUFFIX)
    if not model or not path.exists():
        got = f"no such file: '{model}'" if model else "none was given"
        raise SegmentationError(
            f"'segmentation.model' must be a local weights file for backend '{backend}', {got}. Nothing is downloaded "
            f"automatically. {advice}"
        )
    return path.resolve()


def _unknown_class_message(name: str, names: Mapping[int, str], model: str) -> str:
    """Return the error message for a class that the model does not have."""
    start = f"'segmentation.class_map' names class '{name}', which '{model}' does not have"
    if all(known == f"class{number}" for number, known in names.items()):
        return f"{start}: its file has no class names. Use class numbers instead, as in '41:mug'"
    near = difflib.get_close_matches(name, names.values(), n=4, cutoff=0.5)
    if near:
        return f"{start}: did you mean {' or '.join(repr(n) for n in near)}?"
    listed = list(names.values())
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return f"{start}: its classes are {', '.join(listed[:20])}{more}"
