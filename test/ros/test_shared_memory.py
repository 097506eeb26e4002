"""Files of Fast DDS are removed if this process holds their lock open; those of others stay."""

from __future__ import annotations

from pathlib import Path

from clipose_ros.ros import shared_memory


def test_only_files_whose_lock_is_open_are_removed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shared_memory, "_SHARED_MEMORY", tmp_path)
    own, others = "fastdds_port7411", "fastdds_0123456789abcdef"
    for name in (own, others, f"sem.{own}_mutex", f"{others}_el", "other_el"):
        (tmp_path / name).touch()
    with (tmp_path / f"{own}_el").open("w"), (tmp_path / others).open(), (tmp_path / "other_el").open():
        shared_memory.remove_own_files()
    assert sorted(path.name for path in tmp_path.iterdir()) == [others, f"{others}_el", "other_el"]


def test_without_open_files_nothing_happens(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shared_memory, "_OPEN_FILES", tmp_path / "missing")
    shared_memory.remove_own_files()
