"""Paths of the package's files, in a source checkout or in ``share/clipose_ros`` of an installation."""

from __future__ import annotations

import os
from pathlib import Path

from clipose_ros.errors import CheckpointError, ConfigError, one_line, quoted

PACKAGE = "clipose_ros"
MODEL_SUFFIX = ".safetensors"
HUB_PREFIX = "hf:"
"""Start of the names of models of the Hugging Face Hub, which ``model.hub`` downloads."""


def share_folders() -> list[Path]:
    """Return the existing folders that may contain ``models`` and ``config``, in search order.

    The order is: source checkout, ``share`` of the installation, ``share`` of the sourced workspaces.
    """
    here = Path(__file__).resolve().parent
    checkout = [here.parent] if (here.parent / "package.xml").is_file() else []
    installed = [folder / "share" / PACKAGE for folder in here.parents]
    workspaces = [
        Path(prefix) / "share" / PACKAGE
        for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
        if prefix
    ]
    return checkout + [folder for folder in dict.fromkeys(installed + workspaces) if folder.is_dir()]


def model_path(model: str | Path, suffix: str = MODEL_SUFFIX) -> Path:
    """Return the file of a model.

    Args:
        model: Name of a shipped model (``clipose_small``), or path of a file, which is returned unchanged.
        suffix: Suffix of the file name.

    Raises:
        CheckpointError: No shipped model has that name; the message lists the searched folders and the shipped files.
            Or the name is one of the hub: nothing is downloaded here.
    """
    if str(model).startswith(HUB_PREFIX):
        raise CheckpointError(
            f"model {quoted(model)} is not downloaded here: do it once with `ros2 run clipose_ros hub download "
            f"{one_line(str(model))[:80]} --out FILE`, and give that file"
            if suffix == MODEL_SUFFIX
            else f"{quoted(model)} is no {suffix} file: only pose models are loaded from the hub"
        )
    given = Path(model).expanduser()
    if given.suffix or given.is_absolute():
        return given
    folders = [folder / "models" for folder in share_folders()]
    for folder in folders:
        if (path := folder / f"{given}{suffix}").is_file():
            return path
    shipped = sorted({path.stem for folder in folders for path in folder.glob(f"*{suffix}")})
    raise CheckpointError(
        f"expected the path of a {suffix} file or the name of a shipped model "
        f"({', '.join(shipped) or 'there are none'}), got '{model}'; searched {_format_folders(folders)}"
    )


def config_path(name: str) -> Path:
    """Return the path of a shipped configuration file, such as ``pose.yaml``.

    Raises:
        ConfigError: No shipped file has that name; the message lists the searched folders and the shipped files.
    """
    folders = [folder / "config" for folder in share_folders()]
    for folder in folders:
        if (path := folder / name).is_file():
            return path
    shipped = sorted(
        {path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*") if path.is_file()}
    )
    raise ConfigError(
        f"expected one of the shipped configuration files ({', '.join(shipped) or 'there are none'}), got '{name}'; "
        f"searched {_format_folders(folders)}"
    )


def _format_folders(folders: list[Path]) -> str:
    """Format the searched folders for an error message."""
    return (
        ", ".join(str(folder) for folder in folders) or f"no folder: neither a checkout nor share/{PACKAGE} was found"
    )
