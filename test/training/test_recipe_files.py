"""Recipes from anywhere: what is refused, in one line that names the file."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from clipose_ros.cli.train import overrule, recipes
from clipose_ros.errors import ConfigError
from clipose_ros.training.config import TrainConfig, read_recipe

BAD = {
    "not UTF-8": b"steps: 5\n# \xff",
    "list": b"[1, 2]",
    "text": b"steps",
    "number": b"0",
    "false": b"false",
    "repeated": b"steps: 5\nsteps: 6\n",
    "nested": b"{augment: " * 5000 + b"1" + b"}" * 5000,
    "aliases": b"a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)
    ),
    "itself": b"steps: &a [*a]",
    "huge": b"# " + b"x" * (1 << 19),
    "object": b"steps: !!python/object/apply:os.system ['true']",
    "infinite": b"grad_clip_norm: .inf",
    "not a number": b"learning_rate: .nan",
    "digits": b"seed: " + b"9" * 399,
    "float digits": b"grad_clip_norm: " + b"9" * 399,
    "base number": b"base: 3",
    "base missing": b"base: none.yaml",
    "base folder": b"base: .",
    "base null byte": b'base: "\\0"',
    "base device": b"base: /dev/zero",
    "group and value": b"augment: 3\naugment.roll_deg: 2\n",
    "control": b'"a\\n[FATAL] b": 3',
    "null key": b"null: 3",
    "cut": b"augment: {roll_deg: 1",
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_recipe_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(BAD[kind])
    with pytest.raises(ConfigError) as error:
        read_recipe(path)
    assert str(error.value).isprintable() and len(str(error.value)) < 2500


def test_empty_recipe_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("# nothing\n")
    assert read_recipe(tmp_path / "r.yaml") == TrainConfig()


def test_long_chain_of_bases_is_refused(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}.yaml").write_text(f"base: {number + 1}.yaml\n")
    with pytest.raises(ConfigError, match=r"0\.yaml' has more than 16 bases"):
        read_recipe(tmp_path / "0.yaml")


def test_damaged_recipe_is_read_or_refused(tmp_path: Path) -> None:
    rng = random.Random(2)
    for path in recipes():
        content = bytearray(path.read_bytes())
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / path.name).write_bytes(content)
    for path in tmp_path.iterdir():
        with contextlib.suppress(ConfigError):  # any other exception fails
            read_recipe(path)


@pytest.mark.parametrize(
    "settings",
    [
        ["batch"], ["batch={"], ["batch=[" + "[" * 5000], ["batch=3", "batch.x=1"], ["=3"], ["a\nb=3"],
        ["seed=" + "9" * 399],
    ],
)  # fmt: skip
def test_bad_setting_of_the_command_line_is_refused_in_one_line(settings: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        overrule(TrainConfig(), settings)
    assert str(error.value).isprintable() and len(str(error.value)) < 2500
