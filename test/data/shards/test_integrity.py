"""Files of shards from elsewhere: damage, false claims and paths that leave the folder are refused in one line."""

import io
import json
import os
import tarfile
import tracemalloc

import numpy as np
import pytest

from clipose_ros.atomic_files import write_atomically
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.shards.codec import iter_tar_bytes
from clipose_ros.data.shards.manifest import MANIFEST, Manifest, Shard
from clipose_ros.data.shards.reader import read_shards
from clipose_ros.data.shards.stores import compute_sha256
from clipose_ros.data.shards.stream import ShardStream
from clipose_ros.data.shards.urls import open_url
from clipose_ros.errors import DataError

SHARD = "clouds-000000.tar"


def cloud(seed):
    rng = np.random.default_rng(seed)
    pose = np.eye(4, dtype=np.float32)
    pose[2, 3] = 1.0
    points = (rng.uniform(-0.1, 0.1, (32, 3)) + pose[:3, 3]).astype(np.float32)
    image = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return CloudSample(points, "mug", pose, np.full(3, 0.2, np.float32), True, 0.5, image)


def write_manifest(folder, samples=2, **changes):
    path = folder / SHARD
    values = {"size": path.stat().st_size, "sha256": compute_sha256(path), "counts": {"mug": samples}, **changes}
    Manifest({"seed": 0}, 1, NOCS_CATEGORIES, (Shard(SHARD, 0, 1, samples, **values),)).write(folder)


@pytest.fixture
def folder(tmp_path):
    write_atomically(tmp_path / SHARD, iter_tar_bytes((f"{i:03d}", cloud(i)) for i in range(2)))
    write_manifest(tmp_path)
    return tmp_path


def refusal(folder):
    """Return the message of the refusal; it is one line and names a file of the folder."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read_shards(folder)
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700 and (SHARD in message or MANIFEST in message), message
    return message


def test_every_flipped_bit_of_a_shard_is_noticed(folder):
    rng, whole = np.random.default_rng(0), (folder / SHARD).read_bytes()
    for place in rng.choice(len(whole), 150, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        (folder / SHARD).write_bytes(damaged)
        refusal(folder)
    (folder / SHARD).write_bytes(whole)
    assert len(read_shards(folder)) == 2


def test_damaged_points_are_refused_when_streamed(folder):
    data = bytearray((folder / SHARD).read_bytes())
    data[data.index(cloud(1).points.tobytes()) + 5] ^= 1
    (folder / SHARD).write_bytes(data)
    with pytest.raises(DataError, match="its SHA-256 differs from the manifest"):
        ShardStream(folder, seed=0).fetch([0])


def test_longer_and_shorter_shards_are_refused(folder):
    data = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(data + bytes(512))
    assert "larger than" in refusal(folder)
    (folder / SHARD).write_bytes(data[:-512])
    assert "bytes, the manifest states" in refusal(folder)


def test_clouds_that_vanish_between_entries_are_counted(folder):
    write_manifest(folder, samples=3)
    assert "should hold 3 clouds, got 2" in refusal(folder)


@pytest.mark.parametrize("target", ["/dev/zero", "/etc", "nowhere"])
def test_shard_that_is_a_link_to_no_file_is_refused(folder, target):
    (folder / SHARD).unlink()
    (folder / SHARD).symlink_to(target)
    refusal(folder)


def test_shard_that_is_a_pipe_does_not_block(folder):
    (folder / SHARD).unlink()
    os.mkfifo(folder / SHARD)
    assert "not a regular file" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "pipe:true", "-rf", "a;true", "$(true)", "a.tar\n", "", 5, None, ["x"]]
)
def test_shard_names_that_are_not_plain_are_refused(folder, name):
    change_manifest(folder, name=name)
    assert "expected a plain file name" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"samples": "x"}, "'samples' must be a whole number"),
        ({"samples": -5}, "'samples' must be a whole number"),
        ({"samples": 1e18}, "'samples' must be a whole number"),
        ({"samples": True}, "'samples' must be a whole number"),
        ({"scenes": 2}, "hold 2 scenes of 1"),
        ({"size": 10**30}, "'size' must be a whole number"),
        ({"counts": None}, "'counts' of the shard"),
        ({"counts": {"mug": "2"}}, "'mug' must be a whole number"),
        ({"counts": {"mug": 1}}, "has 2 clouds and counts of 1"),
        ({"sha256": "0" * 63}, "64 hexadecimal digits"),
        ({"sha256": "0" * 64}, "its SHA-256 differs"),
        ({"size": 5}, "larger than the 5 bytes"),
    ],
)
def test_false_values_of_a_manifest_are_named(folder, change, reason):
    change_manifest(folder, **change)
    assert reason in refusal(folder)


@pytest.mark.parametrize(
    "text",
    [
        "null", "[]", "5", '{"format": 1}', "[" * 200_000, "\ufeff", '{"format": "' + "x" * 100_000 + '"}',
        '{"format": 1, "made_by": {}, "scenes": "x", "categories": [], "shards": [{}]}',
        '{"format": 1, "made_by": {}, "scenes": 1, "categories": [1], "shards": []}',
        '{"format": 1, "made_by": {}, "scenes": 1, "categories": [], "shards": 5}',
    ],
)  # fmt: skip
def test_other_json_is_no_manifest(folder, text):
    (folder / MANIFEST).write_text(text)
    assert MANIFEST in refusal(folder)


def test_manifest_of_a_terabyte_is_not_read(folder):
    with (folder / MANIFEST).open("wb") as stream:
        stream.truncate(1 << 40)
    assert "larger than" in refusal(folder)


def test_shard_that_is_listed_twice_is_refused(folder):
    record = json.loads((folder / MANIFEST).read_text())
    record["shards"] *= 2
    (folder / MANIFEST).write_text(json.dumps(record))
    assert "is listed twice" in refusal(folder)


POINTS = io.BytesIO()
np.save(POINTS, cloud(0).points)
OBJECTS = io.BytesIO()
np.save(OBJECTS, np.array([{}], dtype=object), allow_pickle=True)
TRUTH = json.dumps(
    {
        "category": "mug", "T_camera_object": cloud(0).T_camera_object.tolist(), "size": [0.2] * 3,
        "handle_visible": True, "visible_fraction": 0.5,
    }
).encode()  # fmt: skip
HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 3), }".ljust(117) + b"\n"
HUGE = b"\x93NUMPY\x01\x00" + len(HEADER).to_bytes(2, "little") + HEADER + b"1234"


@pytest.mark.parametrize(
    ("points", "truth", "reason"),
    [
        (HUGE, TRUTH, "its header states 1200000000"),
        (OBJECTS.getvalue(), TRUTH, "type 'object'"),
        (POINTS.getvalue(), b"[" * 200_000, "nested deeper"),
        (POINTS.getvalue(), b"5", "must be a mapping"),
        (POINTS.getvalue(), b"{}", "it lacks 'category'"),
        (POINTS.getvalue(), TRUTH.replace(b'"mug"', b'["mug"]'), "has another type"),
        (POINTS.getvalue(), TRUTH.replace(b'"mug"', b'"submarine"'), "unknown category"),
        (POINTS.getvalue(), TRUTH.replace(b"0.5", b"NaN"), "visible fraction is nan"),
        (POINTS.getvalue(), None, "it lacks 'truth.json'"),
        (None, TRUTH, "it lacks 'points.npy'"),
    ],
)
def test_entries_that_are_no_cloud_are_named(folder, points, truth, reason):
    entries = {"000.points.npy": points, "000.truth.json": truth}
    write_tar(folder, [(tarfile.TarInfo(name), data) for name, data in entries.items() if data is not None])
    message = refusal(folder)
    assert reason in message and "entry '000' is not a usable cloud" in message


def test_links_and_names_in_a_tar_reach_no_other_file(folder):
    link = tarfile.TarInfo("000.points.npy")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    write_tar(
        folder, [(tarfile.TarInfo("../../x.points.npy"), b"x"), (link, b""), (tarfile.TarInfo("000.truth.json"), TRUTH)]
    )
    refusal(folder)
    assert sorted(path.name for path in folder.iterdir()) == [SHARD, MANIFEST]


def test_compressed_and_sparse_tars_are_refused(folder):
    (folder / SHARD).write_bytes(b"")
    with tarfile.open(folder / SHARD, "w:gz") as tar:
        entry = tarfile.TarInfo("000.points.npy")
        entry.size = 100_000_000
        tar.addfile(entry, io.BytesIO(bytes(entry.size)))
    write_manifest(folder, 1)
    refusal(folder)
    sparse = tarfile.TarInfo("000.points.npy")
    sparse.type = tarfile.GNUTYPE_SPARSE
    write_tar(folder, [(sparse, b"1234")])
    assert "sparse" in refusal(folder) or "cannot be read" in refusal(folder)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a'; true; '", 'http://h/a"b', "s3://b/`true`", "http://h/a b", "s3://b/$(true)"]
)
def test_urls_cannot_form_a_command(url):
    with pytest.raises(DataError, match="characters that are not allowed"):
        open_url(url)


def write_tar(folder, entries):
    with tarfile.open(folder / SHARD, "w") as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    write_manifest(folder, 1)


def change_manifest(folder, **changes):
    record = json.loads((folder / MANIFEST).read_text())
    record["shards"][0] |= changes
    (folder / MANIFEST).write_text(json.dumps(record))
