"""Entry points of other packages: reading, reserved names and duplicates."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipose_ros.plugins import load_entry_points

GROUP = "clipose_ros.test_group"


def install(site: Path, package: str, *entries: str) -> None:
    """Write the metadata of an installed package with entry points of ``GROUP``."""
    info = site / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *entries, ""]))


def test_entry_points_are_read_without_importing_their_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "foreign", "second = not_importable:thing", "first = json:loads")
    monkeypatch.syspath_prepend(tmp_path)
    found = load_entry_points(GROUP, ())
    assert list(found) == ["first", "second"]
    assert found["first"].load()("1") == 1


def test_builtin_names_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "foreign", "yolo = json:loads", "other = json:dumps")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning, match=r"'yolo = json:loads' of package 'foreign'.* is ignored"):
        found = load_entry_points(GROUP, ("yolo",))
    assert list(found) == ["other"]


def test_first_of_two_equal_names_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "a", "one", "blobs = json:dumps")
    install(tmp_path / "b", "two", "blobs = json:loads")
    for folder in ("a", "b"):
        monkeypatch.syspath_prepend(tmp_path / folder)
    with pytest.warns(UserWarning, match="has the same name"):
        assert load_entry_points(GROUP, ())["blobs"].value == "json:dumps"


@pytest.mark.filterwarnings("error")
def test_package_found_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("build", "install"):
        install(tmp_path / folder, "foreign", "blobs = json:loads")
        monkeypatch.syspath_prepend(tmp_path / folder)
    assert list(load_entry_points(GROUP, ())) == ["blobs"]
