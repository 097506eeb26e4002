"""Entry points of other installed packages, by which they add implementations to this package."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points


def load_entry_points(group: str, builtin_names: Collection[str]) -> dict[str, EntryPoint]:
    """Read the entry points of a group from the metadata of all installed packages.

    No module is imported: ``EntryPoint.load`` imports the one that is chosen. An entry point that repeats a built-in
    name, or a name that another package has already registered, is ignored with a warning.

    Args:
        group: Name of the group, such as ``clipose_ros.segmenters``.
        builtin_names: Names that entry points must not replace.

    Returns:
        Entry point by name, ordered by name.
    """
    accepted: dict[str, EntryPoint] = {}
    # A package that is found twice on sys.path, as under colcon, repeats its entry points: equal ones count once.
    for entry in sorted(set(entry_points(group=group)), key=lambda entry: (entry.name, entry.value)):
        package = entry.dist.name if entry.dist is not None else "unknown"
        found = f"entry point '{entry.name} = {entry.value}' of package '{package}', group '{group}', is ignored"
        if entry.name in builtin_names:
            warnings.warn(f"{found}: clipose_ros reserves the name '{entry.name}'", stacklevel=2)
        elif entry.name in accepted:
            warnings.warn(f"{found}: '{accepted[entry.name].value}' has the same name", stacklevel=2)
        else:
            accepted[entry.name] = entry
    return accepted
