"""Cached index of the complete frames of a NOCS folder. Listing hundreds of thousands of files takes minutes."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeGuard

from clipose_ros.bounded_files import read_json
from clipose_ros.data.nocs.files import FRAME_FILES
from clipose_ros.errors import UnreadableFileError


@dataclass(frozen=True)
class SceneFiles:
    """Frames of one scene folder.

    Attributes:
        changed: Modification time of the folder, nanoseconds.
        whole: Numbers of the complete frames.
        missing: Names of the files that the other frames lack.
    """

    changed: int
    whole: tuple[str, ...]
    missing: tuple[str, ...]


def list_frames(folder: Path, index: Path) -> dict[str, SceneFiles]:
    """List the frames of every scene. Unchanged scenes are taken from the index, which is updated.

    Args:
        folder: Folder with one folder per scene.
        index: JSON file of the index. If it cannot be written, no index is kept.

    Returns:
        The frames of each scene by the name of its folder.
    """
    kept = _read_index(index)
    scenes = {}
    for scene in sorted(path for path in folder.iterdir() if path.is_dir()):
        # Adding or removing a file changes the modification time of its folder, so one stat call per scene suffices.
        changed = scene.stat().st_mtime_ns
        before = kept.get(scene.name)
        scenes[scene.name] = before if before is not None and before.changed == changed else _scan(scene, changed)
    if scenes != kept:
        # The data may lie on a read-only disk.
        with suppress(OSError):
            part = index.with_name(f"{index.name}.part")
            part.write_text(json.dumps({name: asdict(scene) for name, scene in scenes.items()}), encoding="utf-8")
            part.replace(index)
    return scenes


def _read_index(index: Path) -> dict[str, SceneFiles]:
    """Read an index. Malformed scenes are left out, and a malformed file is empty: they are listed again."""
    try:
        scenes = read_json(index)
    except UnreadableFileError:
        return {}
    kept = {}
    for name, scene in scenes.items() if isinstance(scenes, dict) else ():
        values = scene if isinstance(scene, dict) else {}
        changed, whole, missing = values.get("changed"), values.get("whole"), values.get("missing")
        if isinstance(changed, int) and _are_file_names(whole) and _are_file_names(missing):
            kept[str(name)] = SceneFiles(changed, tuple(whole), tuple(missing))
    return kept


def _are_file_names(values: object) -> TypeGuard[list[str]]:
    """Return True for a list of names without separators of paths."""
    return isinstance(values, list) and all(isinstance(value, str) and "/" not in value for value in values)


def _scan(scene: Path, changed: int) -> SceneFiles:
    """List the frames of a scene folder."""
    # Some systems leave hidden files beside those that they copy, such as ._0000_color.png.
    names = {path.name for path in scene.iterdir() if not path.name.startswith(".")}
    numbers = sorted({name.split("_")[0] for name in names if name.endswith(tuple(f"_{part}" for part in FRAME_FILES))})
    missing = tuple(f"{number}_{part}" for number in numbers for part in FRAME_FILES if f"{number}_{part}" not in names)
    lacking = {name.split("_")[0] for name in missing}
    return SceneFiles(changed, tuple(number for number in numbers if number not in lacking), missing)
