"""Which frames of a NOCS folder are whole: listing hundreds of thousands of files takes minutes, so it is kept."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clipose_ros.data.nocs.files import PARTS


@dataclass(frozen=True)
class SceneFiles:
    """What one folder of frames holds.

    Attributes:
        changed: When it last changed, nanoseconds.
        whole: Numbers of the frames that have all files.
        missing: Names of the files that the others lack.
    """

    changed: int
    whole: tuple[str, ...]
    missing: tuple[str, ...]


def list_frames(folder: Path, index: Path) -> dict[str, SceneFiles]:
    """What each scene of a folder holds; scenes that did not change since are taken from the index.

    Args:
        folder: Has one folder per scene.
        index: File to keep the list in; done without where it cannot be written.
    """
    kept = _read(index)
    scenes = {}
    for scene in sorted(path for path in folder.iterdir() if path.is_dir()):
        changed = scene.stat().st_mtime_ns
        before = kept.get(scene.name)
        scenes[scene.name] = before if before is not None and before.changed == changed else _scan(scene, changed)
    if scenes != kept:
        with suppress(OSError):
            part = index.with_name(f"{index.name}.part")
            part.write_text(json.dumps({name: asdict(scene) for name, scene in scenes.items()}), encoding="utf-8")
            part.replace(index)
    return scenes


def _read(index: Path) -> dict[str, SceneFiles]:
    """The kept list; nothing where there is none, or not one of these."""
    try:
        values: dict[str, dict[str, Any]] = json.loads(index.read_text(encoding="utf-8"))
        return {
            name: SceneFiles(int(scene["changed"]), tuple(scene["whole"]), tuple(scene["missing"]))
            for name, scene in values.items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _scan(scene: Path, changed: int) -> SceneFiles:
    names = {path.name for path in scene.iterdir()}
    numbers = sorted({name.split("_")[0] for name in names if name.endswith(tuple(f"_{part}" for part in PARTS))})
    missing = tuple(f"{number}_{part}" for number in numbers for part in PARTS if f"{number}_{part}" not in names)
    lacking = {name.split("_")[0] for name in missing}
    return SceneFiles(changed, tuple(number for number in numbers if number not in lacking), missing)
