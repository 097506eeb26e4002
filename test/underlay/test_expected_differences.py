"""Expected differences of a distribution name tests that exist, and cost nothing beside the stand-ins."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from expected_differences import DIFFERENCES, STAND_INS, find_difference

HERE = Path(__file__).parent


def test_every_difference_names_a_test():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in HERE.glob("test_*.py")]
    functions = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    named = [name.partition("[")[0] for difference in DIFFERENCES for name in difference.tests]
    assert set(named) <= functions and len(set(named)) == len(named)


def test_parameters_narrow_a_difference():
    assert find_difference("test_unusable_transforms_are_ignored[fault3]") is not None
    assert find_difference("test_unusable_transforms_are_ignored[fault0]") is None
    assert find_difference("test_unknown_encoding_is_named[rgb9]") is not None


@pytest.mark.parametrize("package", sorted({difference.package for difference in DIFFERENCES}))
def test_a_stand_in_is_told_from_another_package(package, tmp_path):
    other = tmp_path / package
    other.mkdir()
    (other / "__init__.py").write_text("'''Of a distribution.'''\n")
    asked = f"from expected_differences import is_stand_in; print(is_stand_in({package!r}))"
    for paths, expected in (([HERE, tmp_path], "False"), ([HERE, STAND_INS / package], "True")):
        code = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}; {asked}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
