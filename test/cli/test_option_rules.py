"""Dependencies between command line options, and renamed flags."""

from __future__ import annotations

import argparse

import pytest

from clipose_ros.cli.option_rules import add_renamed_flag, parse

GOES_WITH = {"lag_ms": ["sequence"], "top": ["meshes", "index"]}
APART = [("meshes", "sequence")]


def parser():
    made = argparse.ArgumentParser()
    for flag in ("--sequence", "--meshes", "--index"):
        made.add_argument(flag)
    made.add_argument("--lag-ms", type=float, default=3.0)
    made.add_argument("--top", type=int, default=5)
    add_renamed_flag(made, "--emphasis", "--sampling")
    return made


def run(*arguments):
    return parse(parser(), arguments, GOES_WITH, APART)


def test_parse_keeps_defaults():
    options = run()
    assert (options.lag_ms, options.top, options.sequence, options.meshes) == (3.0, 5, None, None)


def test_parse_keeps_given_values():
    options = run("--sequence", "a", "--lag-ms", "3.0")
    assert (options.sequence, options.lag_ms, options.top) == ("a", 3.0, 5)


@pytest.mark.parametrize("other", ["--meshes", "--index"])
def test_parse_accepts_any_required_option(other):
    assert run("--top", "7", other, "x").top == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lag-ms", "3.0"], "--lag-ms requires --sequence"),  # also where the default is given
        (["--top", "5", "--sequence", "a"], "--top requires --meshes or --index"),
        (["--meshes", "a", "--sequence", "b"], "--meshes cannot be combined with --sequence"),
        (["--emphasis"], "--emphasis is now called --sampling"),
        (["--emphasis", "value"], "--emphasis is now called --sampling"),
    ],
)
def test_parse_rejects_contradicting_and_renamed_options(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_renamed_flag_is_hidden_from_the_help(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    assert "emphasis" not in capsys.readouterr().out
