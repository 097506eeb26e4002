"""Round trip of checkpoints, and errors for missing, corrupt, forged and unsuitable files."""

from __future__ import annotations

import json
import math
import random
import resource
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from clipose_ros.categories import NOCS_CATEGORIES, Category, CategorySet, Symmetry
from clipose_ros.errors import CheckpointError
from clipose_ros.model.checkpoint import FORMAT, HASH, compute_hash, load_checkpoint, save_checkpoint, weights_hash
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.resources import model_path

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, CLIPoseNet(TINY, NOCS_CATEGORIES), {"step": 7})
    return path


def test_checkpoint_round_trip_keeps_network(saved: Path) -> None:
    torch.manual_seed(3)
    written, read = CLIPoseNet(TINY, NOCS_CATEGORIES), load_checkpoint(saved)
    assert read.architecture == TINY and read.categories == NOCS_CATEGORIES and not read.training
    assert all(torch.equal(value, read.state_dict()[name]) for name, value in written.state_dict().items())
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]  # no leftover of the writing


def test_checkpoint_keeps_categories(tmp_path: Path) -> None:
    seven = CategorySet((*NOCS_CATEGORIES, Category(7, "box", Symmetry(), (0.1, 0.2, 0.3))))
    save_checkpoint(tmp_path / "seven.safetensors", CLIPoseNet(TINY, seven))
    assert load_checkpoint(tmp_path / "seven.safetensors").categories == seven


def test_missing_checkpoint_raises_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors.*does not exist"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"rubbish" * 100])
def test_corrupt_checkpoint_raises_checkpoint_error(saved: Path, damage: object) -> None:
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors.*corrupt"):
        load_checkpoint(saved)


def rewrite(path: Path, state: dict[str, torch.Tensor] | None = None, **metadata: str) -> None:
    """Write another file with a hash of its own, so that only what it states can be wrong."""
    facts = {
        "format": FORMAT,
        "architecture": json.dumps(TINY.to_mapping()),
        "categories": json.dumps(NOCS_CATEGORIES.to_records()),
    }
    facts |= metadata
    state = state or load_file(path)
    save_file(state, path, {HASH: compute_hash(facts, state)} | facts)


def test_file_of_other_format_is_rejected(saved: Path) -> None:
    rewrite(saved, format="somebody_else/3")
    with pytest.raises(CheckpointError, match="somebody_else/3"):
        load_checkpoint(saved)


def test_weights_of_other_architecture_are_rejected(saved: Path) -> None:
    wider = Architecture(widths=(8, 8, 8, 16, 32), supports=3, neighbours=8, head_widths=(16, 8))
    rewrite(saved, architecture=json.dumps(wider.to_mapping()))
    with pytest.raises(CheckpointError, match=r"different architecture.*expected \(.*got \("):
        load_checkpoint(saved)


def test_unknown_architecture_settings_are_rejected(saved: Path) -> None:
    rewrite(saved, architecture=json.dumps(TINY.to_mapping() | {"wavelets": 3}))
    with pytest.raises(CheckpointError, match="wavelets"):
        load_checkpoint(saved)


def test_non_finite_weights_are_rejected(saved: Path) -> None:
    state = load_file(saved)
    state["head_y.cloud2.bias"][0] = float("nan")
    rewrite(saved, state)
    with pytest.raises(CheckpointError, match=r"not finite in 'head_y\.cloud2\.bias'"):
        load_checkpoint(saved)


def require_refused(path: Path) -> str:
    """Return the message of the error, which is one line that names the file and is not too long for a log."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError) as error:
            load_checkpoint(path)
    message = str(error.value)
    assert path.name in message and message.isprintable() and len(message) < 1000, message
    return message


def test_hash_is_that_of_stored_files() -> None:
    """Another value would refuse every file written so far."""
    state = {"b": torch.tensor([[1.0, -2.0]]), "a": torch.tensor(3)}
    metadata = {"format": "clipose_ros/1", "notes": "é"}
    expected = "085b7bc23b5c9fccbddfea1d5660a939b131bffdf81965da8c0b020985ff4672"
    assert compute_hash(metadata, state) == compute_hash(metadata | {HASH: "x"}, state) == expected
    assert compute_hash({}, state) != expected != compute_hash(metadata, state | {"a": torch.tensor(3.0)})
    assert compute_hash(metadata, state | {"b": torch.tensor([1.0, -2.0])}) != expected


def test_shipped_model_loads_without_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_checkpoint(model_path("clipose_small"))


def test_file_without_hash_loads_with_one_warning(saved: Path) -> None:
    with safe_open(saved, "pt") as file:
        metadata = {key: text for key, text in file.metadata().items() if key != HASH}
    save_file(load_file(saved), saved, metadata)
    with pytest.warns(UserWarning, match=r"tiny\.safetensors' has no hash") as given:
        load_checkpoint(saved)
    assert [warning.filename for warning in given] == [__file__]


def test_damage_anywhere_is_noticed(saved: Path) -> None:
    content, rng = saved.read_bytes(), random.Random(6)
    header = struct.unpack("<Q", content[:8])[0] + 8
    flips = [rng.randrange(header) for _ in range(120)] + [rng.randrange(header, len(content)) for _ in range(60)]
    for place in flips:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        saved.write_bytes(damaged)
        require_refused(saved)
    for length in (*range(9), header, header + 1, len(content) - 1, *(rng.randrange(len(content)) for _ in range(20))):
        saved.write_bytes(content[:length])
        require_refused(saved)
    saved.write_bytes(content + b"\0")
    require_refused(saved)
    saved.write_bytes(content)
    load_checkpoint(saved)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.float8_e4m3fn])
def test_other_array_types_are_refused(saved: Path, dtype: torch.dtype) -> None:
    state = load_file(saved)
    save_file({name: value.to(dtype) for name, value in state.items()}, saved, {"format": FORMAT})
    assert "expected F32 or I64" in require_refused(saved)


def test_integer_weights_are_refused(saved: Path) -> None:
    rewrite(saved, {name: value.to(torch.int64) for name, value in load_file(saved).items()})
    assert "expected (torch.float32," in require_refused(saved)


def with_header(content: bytes, header: bytes) -> bytes:
    """Return a file with another header."""
    return struct.pack("<Q", len(header)) + header + content[8 + struct.unpack("<Q", content[:8])[0] :]


@contextmanager
def limited_memory(more_bytes: int) -> Iterator[None]:
    """Fail allocations beyond the present address space and ``more_bytes``."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("length", [0, 1, 100_000_000, 2**40, 2**63, 2**64 - 1])
def test_stated_header_length_is_checked_first(saved: Path, length: int) -> None:
    saved.write_bytes(struct.pack("<Q", length) + saved.read_bytes()[8:])
    with limited_memory(64 << 20):
        assert f"states a header of {length} bytes" in require_refused(saved)


def test_widest_network_and_largest_arrays_cost_no_memory(saved: Path) -> None:
    widest = Architecture(widths=(4096,) * 5, supports=64, head_widths=(8192, 8192))
    content = saved.read_bytes()
    with limited_memory(256 << 20):
        rewrite(saved, architecture=json.dumps(widest.to_mapping()))
        assert "different architecture" in require_refused(saved)
        huge = {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 2**82]}
        saved.write_bytes(with_header(content, json.dumps({"w": huge}).encode()))
        assert "its header states 48357" in require_refused(saved)
        with saved.open("wb") as stream:
            stream.truncate(2**40)  # a sparse file
        assert "expected at most" in require_refused(saved)


HEADERS = {
    "nested": b"[" * 200_000 + b"]" * 200_000,
    "list": b"[]",
    "not a number": b'{"w": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 4]}}',
    "fraction": b'{"w": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}',
    "long": b'{"w": {"dtype": "F32", "shape": [' + b"9, " * 99_999 + b"9]}}",
    "negative": b'{"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
    "truth": b'{"w": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}',
    "no entry": b'{"w": 3}',
    "digits": b'{"w": {"dtype": "F32", "shape": [' + b"9" * 5000 + b"]}}",
    "type": b'{"w": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}',
    "metadata": b'{"__metadata__": {"format": 3}}',
    "metadata list": b'{"__metadata__": [1]}',
    "repeated": b'{"__metadata__": {"format": "a", "format": "b"}}',
    "not text": b'{"w\xff": 1}',
    "control": json.dumps({"a\n[FATAL] b" * 50: {"dtype": "\x1b[31m", "shape": []}}).encode(),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_forged_header_is_refused_in_one_line(saved: Path, kind: str) -> None:
    saved.write_bytes(with_header(saved.read_bytes(), HEADERS[kind]))
    require_refused(saved)


WRONG = [None, True, 7, -1.5, 1e308, float("nan"), float("inf"), 10**300, "x", "7", [], [None], {}, {"x": 1}, [[[]]]]
"""Values of which a field accepts at most some."""


def fits(good: Any, value: Any) -> bool:
    """Return True if a value has the type of a good one."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return type(value) is type(good) or (type(good), type(value)) == (float, int)


@pytest.mark.parametrize("field", TINY.to_mapping())
def test_wrong_type_of_any_architecture_setting_is_refused(saved: Path, field: str) -> None:
    good = TINY.to_mapping()[field]
    for value in WRONG:
        if not fits(list(good) if isinstance(good, tuple) else good, value):
            rewrite(saved, architecture=json.dumps(TINY.to_mapping() | {field: value}))
            assert field in require_refused(saved)


OUT_OF_RANGE: dict[str, list[Any]] = {
    "id": [0, 65536, 10**30],
    "name": ["", "x" * 81, "a\n[FATAL] b", "\ud800", "bottle"],
    "symmetry": [[1, 1, 1], [1, 1, 1, 2], [1, 1, 1, "x"]],
    "mean_size": [[0.1, 0.1, 0], [1, 1, 10**400], [1, 1], [1, 1, "1"], [1, 1, True], [1, 1, float("nan")]],
}


@pytest.mark.parametrize("field", OUT_OF_RANGE)
def test_wrong_value_of_any_category_field_is_refused(saved: Path, field: str) -> None:
    *others, record = NOCS_CATEGORIES.to_records()
    for value in OUT_OF_RANGE[field] + [value for value in WRONG if not fits(record[field], value)]:
        rewrite(saved, categories=json.dumps([*others, record | {field: value}]))
        require_refused(saved)
    rewrite(saved, categories=json.dumps([*others, {key: value for key, value in record.items() if key != field}]))
    assert f"lacks {field}" in require_refused(saved)


@pytest.mark.parametrize("key", ["architecture", "categories"])
@pytest.mark.parametrize("text", ["", "null", "5", '"x"', "[]", "[1]", "[null]", "{", "[" * 99_999, '{"a":' * 50_000])
def test_metadata_of_wrong_kind_are_refused(saved: Path, key: str, text: str) -> None:
    rewrite(saved, **{key: text})
    require_refused(saved)


def test_unknown_metadata_are_refused(saved: Path) -> None:
    rewrite(saved, sha255="x")
    assert "unknown key 'sha255'" in require_refused(saved)


def test_failed_write_keeps_previous_checkpoint(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full_disk(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(saved, CLIPoseNet(TINY, NOCS_CATEGORIES))
    assert saved.read_bytes() == before and [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_folder_and_impossible_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    require_refused(tmp_path / "folder.safetensors")
    require_refused(tmp_path / f"{'x' * 300}")


def test_hash_of_the_weights_leaves_out_settings_with_their_default(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = CLIPoseNet(TINY, NOCS_CATEGORIES)
    before = weights_hash(network)
    original = Architecture.to_mapping
    # a later version with one more setting
    monkeypatch.setattr(Architecture, "to_mapping", lambda self: original(self) | {"later": False})
    assert weights_hash(network) == before
    torch.manual_seed(0)
    assert weights_hash(CLIPoseNet(replace(TINY, ray_aligned=True), NOCS_CATEGORIES)) != before


def test_checkpoint_round_trip_keeps_the_refiner(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = CLIPoseNet(TINY, NOCS_CATEGORIES)
    alone = weights_hash(network)
    network.refiner = CLIPoseNet(replace(TINY, refines=True), NOCS_CATEGORIES)
    save_checkpoint(tmp_path / "both.safetensors", network)
    read = load_checkpoint(tmp_path / "both.safetensors")
    assert read.refiner is not None and read.refiner.architecture == replace(TINY, refines=True)
    assert weights_hash(read) == weights_hash(network) != alone
    assert all(torch.equal(value, read.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("refines", [(True, None), (False, False), (True, True)])
def test_a_network_and_its_refiner_cannot_be_confused(tmp_path: Path, refines: tuple[bool, bool | None]) -> None:
    network = CLIPoseNet(replace(TINY, refines=refines[0]), NOCS_CATEGORIES)
    if refines[1] is not None:
        network.refiner = CLIPoseNet(replace(TINY, refines=refines[1]), NOCS_CATEGORIES)
    save_checkpoint(tmp_path / "wrong.safetensors", network)
    with pytest.raises(CheckpointError, match=r"wrong\.safetensors.*refiner"):
        load_checkpoint(tmp_path / "wrong.safetensors")
