"""Mesh files and indices from elsewhere: what is refused, by file, and with which remedy."""

import json
import os
import random
import struct
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
import trimesh

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import generate
from clipose_ros.data.synthetic.assets.mesh_files import read_mesh
from clipose_ros.data.synthetic.assets.mesh_index import read_mesh_index
from clipose_ros.data.synthetic.assets.mesh_library import MeshLibrary
from clipose_ros.errors import DataError

MEAN_SIZES = {category.name: category.mean_size for category in NOCS_CATEGORIES}
HEADER = "category,file,up,front,handle,axial,unit,height_mm,split\n"
ROW = "bottle,b.stl,z,,,yes,m,,train\n"
PLY = b"ply\nformat binary_little_endian 1.0\nelement vertex %s\n" + b"".join(
    b"property float %c\n" % axis for axis in b"xyz"
) + b"element face %s\nproperty list uchar int vertex_indices\nend_header\n"  # fmt: skip


def bottle(scale=1.0):
    mesh = trimesh.creation.cylinder(0.035, 0.2, sections=12)
    mesh.apply_scale(scale)
    return mesh


@pytest.fixture
def folder(tmp_path):
    bottle().export(tmp_path / "b.stl")
    return tmp_path


def index_of(folder, content):
    """Write an index and return its entries."""
    (folder / "index.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_mesh_index(folder / "index.csv", folder)


def refusal(path):
    """Return the message of the refusal of a mesh file."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read_mesh(path)
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert path.name in message and "\n" not in message and len(message) < 500, message
    return message


@pytest.mark.parametrize("name", ["a.ply", "a.obj", "a.stl", "a.off", "a.glb", "A.STL"])
def test_all_formats_give_the_same_mesh(tmp_path, name):
    bottle().export(tmp_path / name, file_type=name[2:].lower())
    vertices, faces, _ = read_mesh(tmp_path / name)
    assert len(faces) == len(bottle().faces)
    np.testing.assert_allclose(np.ptp(vertices, axis=0), [0.07, 0.07, 0.2], atol=2e-3)


@pytest.mark.parametrize("name", ["a.step", "a.stp", "a.igs", "a.dae", "a.gltf", "a.fbx", "a.3mf", "a.zip", "a"])
def test_other_formats_are_named_with_a_remedy(folder, name):
    (folder / name).write_text("ISO-10303-21;")
    for read in (lambda: read_mesh(folder / name), lambda: index_of(folder, HEADER + ROW.replace("b.stl", name))):
        with pytest.raises(DataError, match=r"expected \.ply, \.obj, \.stl, \.off, \.glb; export CAD models.*as STL"):
            read()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.obj", "", "no faces|damaged"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 1\n", "no faces|damaged"),
        ("a.obj", "v nan 0 0\nv 1 0 0\nv 0 1 1\nf 1 2 3\n", "is not finite"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 1\nf 1 2 99999999999\n", "damaged"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 1\nf 1 2 9\n", "damaged"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "none of its 1 faces has an area"),
        ("a.ply", PLY % (b"99999999999", b"1") + b"1234", "its header states"),
        ("a.ply", PLY % (b"-5", b"1") + b"1234", "its header states"),
        ("a.ply", "ply\n", "header is missing or has no end"),
        ("a.stl", bytes(80) + struct.pack("<I", 2**32 - 1) + b"123", "damaged"),
        ("a.off", "OFF\n99999999999 5 0\n0 0 0\n", "its header states"),
        ("a.glb", "", "header is damaged"),
        ("a.glb", "glTF\x02", "header is damaged"),
    ],
)
def test_damaged_meshes_are_named(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert any(part in refusal(tmp_path / name) for part in reason.split("|"))


def glb(**scene):
    """Return a GLB file with a scene and 12 bytes of data."""
    text = json.dumps({"asset": {"version": "2.0"}, **scene}).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I", len(text)) + b"JSON" + text + struct.pack("<I", 12) + b"BIN\0" + bytes(12)
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


@pytest.mark.parametrize(
    ("scene", "reason"),
    [
        ({"accessors": [{"bufferView": 0, "componentType": 5126, "count": 10**11, "type": "VEC3"}]}, "may have"),
        ({"accessors": [{"componentType": 5126, "count": 100, "type": "VEC3"}]}, "has no data"),
        ({"accessors": [{"bufferView": 0, "count": "5"}]}, "header states"),
        ({"nodes": [{}] * 1001}, "1001 nodes"),
        ({"nodes": 5}, "no list of nodes"),
        ({"buffers": [{"uri": "../../../../etc/passwd", "byteLength": 10}]}, "damaged|no faces"),
        ({"buffers": [{"uri": "http://127.0.0.1:9/x", "byteLength": 10}]}, "damaged|no faces"),
    ],
)
def test_scenes_that_claim_too_much_are_refused(tmp_path, scene, reason):
    (tmp_path / "a.glb").write_bytes(glb(**scene))
    assert any(part in refusal(tmp_path / "a.glb") for part in reason.split("|"))


def test_files_that_are_large_or_no_files_are_refused(tmp_path):
    with (tmp_path / "large.stl").open("wb") as stream:
        stream.truncate(1 << 40)
    assert "larger than" in refusal(tmp_path / "large.stl")
    os.mkfifo(tmp_path / "pipe.stl")
    assert "not a regular file" in refusal(tmp_path / "pipe.stl")


def test_materials_of_a_mesh_are_not_opened(tmp_path):
    lines = ["mtllib ../../etc/passwd", "mtllib pipe.mtl", *(f"v {x} {y} {z}" for x, y, z in np.eye(3)), "f 1 2 3"]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    os.mkfifo(tmp_path / "pipe.mtl")  # opening it would block
    assert len(read_mesh(tmp_path / "a.obj")[1]) == 1


@pytest.mark.parametrize("distance", [0.35, 5.0, -3.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_stray_faces_are_counted(folder, distance, axis):
    stray = trimesh.Trimesh([[0, 0, 0], [0.01, 0, 0], [0, 0.01, 0.01]], [[0, 1, 2]])
    stray.apply_translation(np.eye(3)[axis] * distance)
    trimesh.util.concatenate([bottle(), stray]).export(folder / "b.stl")
    assert f"1 of its {len(bottle().faces) + 1} faces lie" in refusal(folder / "b.stl")
    assert "remove stray faces" in refusal(folder / "b.stl")


def test_faces_without_area_are_counted(folder, caplog):
    mesh = bottle()
    mesh.faces = np.concatenate([mesh.faces, [[0, 0, 1], [2, 2, 2]]])
    (folder / "b.obj").write_text(trimesh.exchange.obj.export_obj(mesh))
    assert len(read_mesh(folder / "b.obj")[1]) == len(mesh.faces)
    assert f"b.obj': 2 of {len(mesh.faces)} faces have no area" in caplog.text


@pytest.mark.parametrize(
    ("scale", "unit", "remedy"),
    [
        (1000.0, "m", "is its unit mm instead of m"),
        (1.0, "mm", "is its unit m instead of mm"),
        (100.0, "mm", "is its unit cm instead of mm"),
        (10.0, "in", "times as large as usual"),
    ],
)
def test_size_that_does_not_fit_the_category_names_the_likely_unit(folder, scale, unit, remedy):
    bottle(scale).export(folder / "b.stl")
    library = MeshLibrary(index_of(folder, HEADER + ROW.replace(",m,", f",{unit},")), "train", mean_sizes=MEAN_SIZES)
    if (scale, unit) == (10.0, "in"):
        library = MeshLibrary(index_of(folder, HEADER + ROW.replace(",m,", ",m,")), "train")
        bottle(100.0).export(folder / "b.stl")
    with pytest.raises(DataError, match=rf"b\.stl' would be .* m in size.*{remedy}"):
        library.make("bottle", np.random.default_rng(0))


def test_command_names_a_mesh_in_the_wrong_unit(folder, capsys):
    bottle(1000.0).export(folder / "b.stl")
    index_of(folder, HEADER + ROW)
    options = [
        "--meshes",
        str(folder),
        "--mesh-share",
        "1",
        "--scenes",
        "3",
        "--seed",
        "1",
        "--out",
        str(folder / "o.npz"),
    ]
    assert generate.main(options) == 1
    error = capsys.readouterr().err
    assert "b.stl' would be 70 x 200 x 70 m in size" in error and "mm instead of m" in error
    assert not (folder / "o.npz").exists()


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + HEADER + ROW,
        (HEADER + ROW).replace("\n", "\r\n"),
        (HEADER + ROW).replace(",", ";"),
        (HEADER + ROW).replace(",", "\t"),
        HEADER.replace(",", " , ") + "\n" + ROW.replace("b.stl", '"b.stl"') + ",,,,,,,,\n\n",
        "\ufeff" + (HEADER + ROW).replace(",", ";").replace("\n", "\r\n"),
        HEADER.replace("split", "split,note") + ROW.replace("train", 'train,"a, b\nc"'),
    ],
)
def test_indices_of_spreadsheets_are_read(folder, content):
    (entry,) = index_of(folder, content)
    assert (entry.category, entry.path, entry.unit_m, entry.split) == ("bottle", folder / "b.stl", 1.0, "train")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (HEADER + ROW + ROW, "line 3: .*b.stl' is repeated"),
        (HEADER + ROW + ROW.replace("b.stl", "./b.stl"), "line 3: .*b.stl' is repeated"),
        (HEADER + ROW.replace("b.stl", "../b.stl"), "line 2: 'file' must be a path within the folder"),
        (HEADER + ROW.replace("b.stl", "a/../../b.stl"), "line 2: 'file' must be a path within the folder"),
        (HEADER + ROW.replace("b.stl", "/etc/passwd"), "line 2: 'file' must be a path within the folder"),
        (HEADER + ROW.replace("b.stl", "b\x1b.stl"), "line 2: 'file' must be a path within the folder"),
        (HEADER + ROW.replace("z,", "0,0,1,"), "line 2: 11 values in 9 columns"),
        (HEADER + ROW.replace("bottle", '"bottle') + ROW, "line .*unexpected end of data"),
        (HEADER.replace("unit", "units") + ROW, "column 'units': did you mean 'unit'"),
        (HEADER.replace("handle", "up") + ROW, "column 'up' twice"),
        ((HEADER + ROW).encode("utf-16"), "is not UTF-8 text"),
        ("", "lacks the columns category, file"),
        ("x" * 200_000, "cannot be read: .*field larger"),
    ],
)
def test_rows_and_columns_that_would_vanish_are_named(folder, content, reason):
    with pytest.raises(DataError, match=rf"index\.csv'.*{reason}") as caught:
        index_of(folder, content)
    assert "\n" not in str(caught.value)


def damaged(data, rng):
    """Return a file with flipped bits, a missing or repeated part, or another number."""
    content, place = bytearray(data), rng.randrange(len(data))
    length, other = rng.randrange(1, 60), rng.randrange(len(data))
    kind = rng.randrange(4)
    if kind == 0:
        content[place] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del content[place:]
    elif kind == 2:
        content[place : place + length] = content[other : other + length]
    else:
        content[place : place + length] = rng.choice([b"-1 ", b" 99999999999 ", b" nan ", b"\0", b"\xff\xff\xff\xff"])
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.ply", {}), ("b.ply", {"encoding": "ascii"}), ("a.obj", {}), ("a.stl", {}), ("a.off", {}), ("a.glb", {}),
        ("b.stl", {"file_type": "stl_ascii"}),
    ],
)  # fmt: skip
def test_damaged_meshes_are_refused_or_are_meshes(tmp_path, name, options):
    path, rng = tmp_path / name, random.Random(name)
    bottle().export(path, **options)
    whole = path.read_bytes()
    for _ in range(60):
        path.write_bytes(damaged(whole, rng))
        with suppress(DataError):
            vertices, faces, _ = read_mesh(path)
            assert np.isfinite(vertices).all() and faces.min() >= 0 and faces.max() < len(vertices)
    path.write_bytes(whole)
    assert len(read_mesh(path)[1]) == len(bottle().faces)
