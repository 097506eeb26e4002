"""Dependencies between command line options, and renamed flags."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any


def parse(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    requirements: Mapping[str, Sequence[str]],
    conflicts: Sequence[tuple[str, str]] = (),
) -> argparse.Namespace:
    """Parse a command line; exit with a message if options contradict each other.

    Args:
        parser: Parser with all options.
        arguments: Command line; that of the process if None.
        requirements: Options that require one of others: names of the others by option.
        conflicts: Pairs of options that exclude each other.

    Returns:
        The values of the options.
    """
    named = {*requirements, *(name for pair in conflicts for name in pair)}
    defaults = {name: parser.get_default(name) for name in named}
    parser.set_defaults(**dict.fromkeys(named))  # distinguishes given options from defaults
    options = parser.parse_args(arguments)
    given = {name for name, value in vars(options).items() if value is not None}
    for name, others in requirements.items():
        if name in given and not given.intersection(others):
            parser.error(f"{_flag(name)} requires {' or '.join(map(_flag, others))}")
    for one, other in conflicts:
        if one in given and other in given:
            parser.error(f"{_flag(one)} cannot be combined with {_flag(other)}")
    return argparse.Namespace(**vars(options) | {name: defaults[name] for name in named - given})


def add_renamed_flag(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Add the earlier name of a flag. Its use ends the program with a message that states the present name."""
    parser.add_argument(old, action=_RenamedFlag, new=new, nargs="?", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


class _RenamedFlag(argparse.Action):
    """Action that ends the program with the present name of a flag."""

    def __init__(self, new: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._new = new

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.error(f"{self.option_strings[0]} is now called {self._new}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
