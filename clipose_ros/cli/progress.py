"""Progress bar of the commands that take a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def show_progress(items: Sequence[T], description: str) -> Iterator[T]:
    """Yield the items and show a progress bar on standard error."""
    yield from track(items, description, console=Console(stderr=True), transient=True)
