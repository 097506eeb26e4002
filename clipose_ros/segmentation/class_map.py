"""From the classes of a detector to our categories, and the check that its weights are a local file."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from clipose_ros.categories import CategorySet
from clipose_ros.errors import CheckpointError, ConfigError, SegmentationError
from clipose_ros.resources import model_path

SHIPPED_SUFFIX = ".pt"
"""Of shipped weights; their names are given without."""


def parse_class_map(entries: Sequence[str], categories: CategorySet) -> dict[str, str]:
    """Read ``class:category`` entries into a mapping.

    Args:
        entries: One ``class:category`` each; the class is a name or a number of the model.
        categories: Where the category must come from.

    Raises:
        ConfigError: An entry has no colon, names an unknown category, or a class is mapped twice; or there is no entry.
    """
    mapping: dict[str, str] = {}
    for entry in entries:
        name, colon, category = (part.strip() for part in entry.rpartition(":"))
        if not (name and colon and category):
            raise ConfigError(f"'segmentation.class_map' needs entries like 'cup:mug', got {entry!r}")
        if name in mapping:
            raise ConfigError(
                f"'segmentation.class_map' maps class '{name}' twice: to '{mapping[name]}' and '{category}'"
            )
        mapping[name] = categories[category].name
    if not mapping:
        raise ConfigError("'segmentation.class_map' is empty: map at least one class of the model, as in 'cup:mug'")
    return mapping


def resolve_classes(mapping: Mapping[str, str], names: Mapping[int, str], model: str) -> dict[int, str]:
    """Find the class numbers of a model that stand for our categories.

    Args:
        mapping: Class name or number to category, from ``parse_class_map``.
        names: The model's class names by number.
        model: The model's name for messages.

    Returns:
        Category by class number.

    Raises:
        SegmentationError: The model has no such class; the message lists the nearest, or all where none is near.
    """
    resolved: dict[int, str] = {}
    for name, category in mapping.items():
        numbers = [number for number, known in names.items() if known == name]
        if not numbers and name.isdecimal() and int(name) in names:
            numbers = [int(name)]
        if not numbers:
            raise SegmentationError(_unknown_class(name, names, model))
        resolved.update(dict.fromkeys(numbers, category))
    return resolved


def existing_weights(model: str, backend: str, advice: str) -> Path:
    """The absolute path of weights on this machine, or of the shipped ones of that name; nothing is ever downloaded.

    Raises:
        SegmentationError: ``model`` is empty or no such file exists; the message carries ``advice``.
    """
    path = Path(model).expanduser()
    with contextlib.suppress(CheckpointError):  # no name of shipped weights: then it must be a path
        if model and not path.exists():
            path = model_path(model, SHIPPED_SUFFIX)
    if not model or not path.exists():
        got = f"no such file: '{model}'" if model else "none was given"
        raise SegmentationError(
            f"'segmentation.model' must be a local weights file for backend '{backend}', {got}. Nothing is downloaded "
            f"automatically. {advice}"
        )
    return path.resolve()


def _unknown_class(name: str, names: Mapping[int, str], model: str) -> str:
    """The sentence for a class that the model does not have."""
    start = f"'segmentation.class_map' names class '{name}', which '{model}' does not have"
    if all(known == f"class{number}" for number, known in names.items()):
        return f"{start}: its file carries no class names. Use class numbers instead, as in '41:mug'"
    near = difflib.get_close_matches(name, names.values(), n=4, cutoff=0.5)
    if near:
        return f"{start}: did you mean {' or '.join(repr(n) for n in near)}?"
    listed = list(names.values())
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return f"{start}: it knows {', '.join(listed[:20])}{more}"
