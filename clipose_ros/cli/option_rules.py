"""Command lines on which some options mean nothing without others."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any


def parse(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    goes_with: Mapping[str, Sequence[str]],
    apart: Sequence[tuple[str, str]] = (),
) -> argparse.Namespace:
    """Parse a command line; ends the program with a message where options do not go together.

    Args:
        parser: With all options.
        arguments: The command line; that of the process if left out.
        goes_with: Options that mean something only beside one of others.
        apart: Pairs of which only one may be given.

    Returns:
        Their values.
    """
    named = {*goes_with, *(name for pair in apart for name in pair)}
    defaults = {name: parser.get_default(name) for name in named}
    parser.set_defaults(**dict.fromkeys(named))  # so that what is given can be told from what is not
    options = parser.parse_args(arguments)
    given = {name for name, value in vars(options).items() if value is not None}
    for name, others in goes_with.items():
        if name in given and not given.intersection(others):
            parser.error(f"{_flag(name)} goes with {' or '.join(map(_flag, others))}")
    for one, other in apart:
        if one in given and other in given:
            parser.error(f"{_flag(one)} does not go with {_flag(other)}")
    return argparse.Namespace(**vars(options) | {name: defaults[name] for name in named - given})


def add_renamed_flag(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Refuse a flag that has another name now, and name it."""
    parser.add_argument(old, action=_RenamedFlag, new=new, nargs="?", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


class _RenamedFlag(argparse.Action):
    """Ends the program with the new name of a flag."""

    def __init__(self, new: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._new = new

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.error(f"{self.option_strings[0]} is now called {self._new}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
