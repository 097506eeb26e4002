"""Colours of OBJ meshes: materials and images of the file, at points of faces and in colour images."""

from __future__ import annotations

import csv
import os
import struct
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from clipose_ros.data.synthetic.assets.mesh_files import read_mesh
from clipose_ros.data.synthetic.assets.mesh_index import MeshEntry, read_mesh_index
from clipose_ros.data.synthetic.assets.mesh_library import MeshLibrary, load_canonical
from clipose_ros.data.synthetic.assets.shapes import MeshObject
from clipose_ros.data.synthetic.assets.texture_maps import STORED_SIDE, TextureMap
from clipose_ros.data.synthetic.assets.textures import Texture
from clipose_ros.data.synthetic.object_materials import make_object_material
from clipose_ros.data.synthetic.renderer import RenderedFrame, Renderer
from clipose_ros.data.synthetic.scenes import UPRIGHT, Light, PlacedObject, Scene
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.errors import DataError
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.resources import config_path
from clipose_ros.segmenter_training.environment import Environment
from clipose_ros.segmenter_training.environment_shading import EnvironmentShader
from clipose_ros.types import CameraIntrinsics, FloatArray

RED, GREEN, BLUE, WHITE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
MTL = """newmtl printed
Kd 0 0 0
map_Kd print.png
newmtl plain
Ks 1 1 1
Kd 0.5 0.25 1
newmtl unused
map_Kd gone.png
"""
# A slab in the plane z = 0.02 (printed; u to the right, v up) and a copy behind it (plain).
OBJ = """mtllib slab.mtl
o front
v -0.1 -0.1 0.02
v 0.1 -0.1 0.02
v 0.1 0.1 0.02
v -0.1 0.1 0.02
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl printed
f 1/1 2/2 3/3 4/4
o back
v -0.1 -0.1 -0.02
v 0.1 -0.1 -0.02
v 0.1 0.1 -0.02
v -0.1 0.1 -0.02
usemtl plain
f 8 7 6 5
"""
ROW = "camera,slab.obj,y,z,,no,m,,train,%s\n"
HEADER = "category,file,up,front,handle,axial,unit,height_mm,split,object\n"
CAMERA = CameraIntrinsics(60.0, 60.0, 31.5, 31.5, 64, 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a slab whose print has four quadrants: red and green above, blue and white below."""
    print_rgb = np.array([[RED, GREEN], [BLUE, WHITE]]).repeat(4, axis=0).repeat(4, axis=1)
    cv2.imwrite(str(tmp_path / "print.png"), np.ascontiguousarray(print_rgb[..., ::-1]))
    (tmp_path / "slab.mtl").write_text(MTL)
    (tmp_path / "slab.obj").write_text(OBJ)
    return tmp_path


def read_texture(folder: Path) -> TextureMap:
    texture = read_mesh(folder / "slab.obj").texture
    assert texture is not None
    return texture


def entry(folder: Path, object_name: str = "") -> MeshEntry:
    (folder / "index.csv").write_text(HEADER + ROW % object_name)
    return read_mesh_index(folder / "index.csv", folder)[0]


def test_points_take_the_colour_of_the_image_at_their_texture_coordinates(folder: Path) -> None:
    vertices, faces, texture = read_mesh(folder / "slab.obj")
    assert texture is not None
    front = np.flatnonzero((vertices[faces][:, :, 2] > 0).all(axis=1))
    rng = np.random.default_rng(0)
    face, weights = rng.choice(front, 200), rng.dirichlet(np.ones(3), 200)
    points = np.einsum("nk,nkc->nc", weights, vertices[faces[face]])
    expected = np.where(
        points[:, 1:2] > 0, np.where(points[:, :1] < 0, RED, GREEN), np.where(points[:, :1] < 0, BLUE, WHITE)
    )
    assert_allclose(texture.sample(face, weights), expected / 255.0, atol=1e-6)


def test_faces_without_image_have_the_linear_diffuse_colour(folder: Path) -> None:
    vertices, faces, texture = read_mesh(folder / "slab.obj")
    assert texture is not None
    back = (vertices[faces][:, :, 2] < 0).all(axis=1)
    assert back.sum() == 2
    mean = texture.mean_colours()
    assert_allclose(mean[back], np.broadcast_to(np.array([0.5, 0.25, 1.0]) ** 2.2, (2, 3)), atol=1e-6)
    assert not np.isclose(mean[~back], 0.0).all()


@pytest.mark.parametrize("shift", [1.0, -3.0, 1e6])
def test_image_repeats(folder: Path, shift: float) -> None:
    plain = read_texture(folder)
    shifted = "\n".join(
        f"vt {' '.join(str(float(value) + shift) for value in line.split()[1:])}" if line.startswith("vt ") else line
        for line in OBJ.splitlines()
    )
    (folder / "slab.obj").write_text(shifted)
    face, weights = (
        np.repeat(np.arange(4), 3),
        np.tile(np.float32([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]]), (4, 1)),
    )
    assert_array_equal(read_texture(folder).sample(face, weights), plain.sample(face, weights))


@pytest.mark.parametrize("use", ["usemtl (null)", "usemtl None", "usemtl", "usemtl "])
def test_faces_without_a_material_are_light_grey(folder: Path, use: str) -> None:
    (folder / "slab.mtl").write_text(f"Kd 1 0 0\nnewmtl\nKd 0 1 0\n{MTL}")
    (folder / "slab.obj").write_text(OBJ.replace("usemtl plain", use))
    texture = read_texture(folder)
    grey = np.isclose(texture.mean_colours(), 0.8**2.2, atol=1e-6).all(axis=1)
    assert grey.sum() == 2


def test_material_that_is_nowhere_defined_is_refused(folder: Path) -> None:
    (folder / "slab.mtl").write_text(MTL.replace("newmtl plain", "newmtl other"))
    with pytest.raises(
        DataError, match=r"slab\.obj' .*material 'plain' is not defined in 'slab\.mtl': define it"
    ) as caught:
        read_texture(folder)
    assert "\n" not in str(caught.value)


def retype(text: str, name: bytes, separator: bytes) -> bytes:
    """Return an OBJ or MTL file with another name of the material and other white space behind keywords."""
    lines = [line.replace("plain", "NAME").split(" ", 1) for line in text.splitlines()]
    separators = [separator if line[0] in ("usemtl", "newmtl", "Kd", "map_Kd") else b" " for line in lines]
    joined = [gap.join(word.encode() for word in line) for gap, line in zip(separators, lines, strict=True)]
    return b"\n".join(joined).replace(b"NAME", name)


@pytest.mark.parametrize("separator", [b" ", b"\t", b" \t "])
@pytest.mark.parametrize(
    "name", [b"plain", b"two  spaces", b"a\tb ", b"caf\xe9", "caf\u00e9".encode(), b"\xff\xfe", b"7"]
)
def test_spelling_of_names_and_white_space_keep_the_colours(folder: Path, name: bytes, separator: bytes) -> None:
    expected = read_texture(folder).mean_colours()
    (folder / "slab.obj").write_bytes(retype(OBJ, name, separator))
    (folder / "slab.mtl").write_bytes(retype(MTL, b" ".join(name.split()), separator))
    assert_array_equal(read_texture(folder).mean_colours(), expected)


def test_comments_change_no_material(folder: Path) -> None:
    expected = read_texture(folder).mean_colours()
    (folder / "slab.obj").write_bytes(OBJ.encode().replace(b"f 8", b"# usemtl printed, caf\xe9\nf 8"))
    assert_array_equal(read_texture(folder).mean_colours(), expected)


def test_materials_with_similar_bytes_are_told_apart(folder: Path) -> None:
    expected = read_texture(folder).mean_colours()
    for name, text in (("slab.obj", OBJ), ("slab.mtl", MTL)):
        content = text.encode("latin-1").replace(b"tl printed", b"tl caf\xe8").replace(b"tl plain", b"tl caf\xe9")
        (folder / name).write_bytes(content)
    assert_array_equal(read_texture(folder).mean_colours(), expected)


@pytest.mark.parametrize("name", ["slab.obj", "slab.mtl"])
def test_byte_order_mark_keeps_the_colours(folder: Path, name: str) -> None:
    expected = read_texture(folder).mean_colours()
    (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    assert_array_equal(read_texture(folder).mean_colours(), expected)


def test_large_images_are_reduced(folder: Path) -> None:
    cv2.imwrite(str(folder / "print.png"), np.zeros((3000, 600, 3), np.uint8))
    image = read_texture(folder).materials[0].image
    assert image is not None and image.shape == (STORED_SIDE, 205, 3)


def claim(side: int) -> bytes:
    """Return the start of a PNG that states a size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("slab.mtl", None, r"'slab\.mtl' cannot be read: No such file.*delete the line 'mtllib'"),
        ("slab.mtl", bytes(1 << 21), r"'slab\.mtl' cannot be read: it is larger than"),
        ("slab.mtl", b"newmtl plain\nKd red", r"'slab\.mtl', line 2: 'Kd' must be three numbers .*, got 'red'"),
        ("slab.mtl", b"newmtl plain\nKd nan 0 0", r"line 2: 'Kd' must be three numbers"),
        ("slab.mtl", b"newmtl printed\nmap_Kd -s 1 1 1 print.png", r"line 2: the options of 'map_Kd' are not read"),
        ("slab.mtl", b"newmtl printed\nmap_Kd ../print.png", "print.png' cannot be read: it is not in the folder"),
        ("slab.mtl", b"newmtl printed\nmap_Kd /etc/passwd", r"'/etc/passwd' cannot be read: it is not in the folder"),
        ("slab.mtl", b"newmtl printed\nmap_Kd ..\\print.png", "it is not in the folder of the mesh"),
        ("slab.obj", OBJ.replace("slab.mtl", "../a.mtl").encode(), "a.mtl' cannot be read: it is not in the"),
        ("print.png", None, r"line 3: the image 'print\.png' cannot be read: No such file.*delete the line 'mtllib'"),
        ("print.png", b"GIF89a", "neither a PNG nor a JPEG"),
        ("print.png", claim(6000), "states 6000x6000 pixels, at most 4096"),
        ("print.png", claim(100_000), "states 100000x100000 pixels"),
        ("print.png", claim(8), "without an end"),
        ("slab.obj", "".join(f"usemtl m{k}\n" for k in range(300)).encode(), "it uses 300 materials.*at most 256"),
    ],
)  # fmt: skip
def test_missing_and_hostile_files_are_named_with_a_remedy(
    folder: Path, name: str, content: bytes | None, reason: str
) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"slab\.obj' cannot be used as a mesh: .*{reason}") as caught:
        read_mesh(folder / "slab.obj")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_pipes_are_not_opened(folder: Path) -> None:
    (folder / "print.png").unlink()
    os.mkfifo(folder / "print.png")
    with pytest.raises(DataError, match="not a regular file"):
        read_mesh(folder / "slab.obj")


def test_too_many_images_are_refused(folder: Path) -> None:
    names = [f"m{k}" for k in range(17)]
    (folder / "slab.obj").write_text(OBJ + "".join(f"usemtl {name}\n" for name in names))
    for name in names:
        (folder / f"{name}.png").write_bytes((folder / "print.png").read_bytes())
    (folder / "slab.mtl").write_text("".join(f"newmtl {name}\nmap_Kd {name}.png\n" for name in names))
    with pytest.raises(DataError, match="line 34: the image 'm16.png' cannot be read: at most 16"):
        read_mesh(folder / "slab.obj")


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with bytes removed, repeated or replaced."""
    place, other = rng.integers(0, len(data), 2).tolist()
    length = int(rng.integers(1, 40))
    words = (b"", b"-1 ", b" 99999999999 ", b" nan ", b"\0", b"\xff\xff", b"/", b"\n", data[other : other + length])
    return data[:place] + words[int(rng.integers(len(words)))] + data[place + length * int(rng.integers(2)) :]


@pytest.mark.parametrize("name", ["slab.obj", "slab.mtl", "print.png"])
def test_damaged_files_are_refused_or_give_colours(folder: Path, name: str) -> None:
    whole, rng = (folder / name).read_bytes(), np.random.default_rng(7)
    for _ in range(150):
        content = damage(whole, rng)
        (folder / name).write_bytes(damage(content, rng) if rng.uniform() < 0.5 else content)
        with suppress(DataError):
            _, faces, texture = read_mesh(folder / "slab.obj")
            if texture is not None:
                mean = texture.mean_colours()
                assert mean.shape == (len(faces), 3) and mean.min() >= 0.0 and mean.max() <= 1.0001


@pytest.mark.parametrize(
    "content",
    [
        OBJ.replace(" 0.02\n", "\n"),  # vertices of two numbers
        OBJ.replace("vt 0 0", "vt 0").replace("vt 1 0", "vt 1").replace("vt 1 1", "vt 1").replace("vt 0 1", "vt 0"),
        OBJ.replace("vt 0 0", "vt nan inf"),
        OBJ.replace("vt 0 0", "vt 1e39 0"),
        OBJ.replace("vt 0 0", "vt 0 -1e300"),
        OBJ.replace("vt 0 0", "vt 1e39 1e300").replace("vt 1 1", "vt -1e39 -1e300"),
        OBJ.replace("1/1", "1/99999"),
    ],
)  # fmt: skip
def test_malformed_coordinates_are_refused_or_give_colours(folder: Path, content: str) -> None:
    (folder / "slab.obj").write_text(content)
    with suppress(DataError):
        texture = read_texture(folder)
        assert np.isfinite(texture.mean_colours()).all()


def test_one_object_of_a_file_is_selected(folder: Path) -> None:
    vertices, faces, texture = read_mesh(folder / "slab.obj", "back")
    assert len(faces) == 2 and (vertices[:, 2] < 0).all() and texture is not None and len(texture.material) == 2
    with pytest.raises(DataError, match="has no object 'lid': set 'object' in the index to one of 'front, back'"):
        read_mesh(folder / "slab.obj", "lid")
    assert entry(folder, "back").object_name == "back"
    (folder / "index.csv").write_text(HEADER + ROW.replace(".obj", ".stl") % "back")
    with pytest.raises(DataError, match="line 2: 'object' selects a part of OBJ files only"):
        read_mesh_index(folder / "index.csv", folder)


def test_materials_of_other_objects_are_not_read(folder: Path) -> None:
    (folder / "print.png").unlink()
    _, _, texture = read_mesh(folder / "slab.obj", "back")
    assert texture is not None
    assert_allclose(texture.mean_colours(), np.broadcast_to(np.array([0.5, 0.25, 1.0]) ** 2.2, (2, 3)), atol=1e-6)


@pytest.mark.parametrize("gap", [" ", "\t", "  "])
def test_object_keeps_the_material_of_earlier_lines(folder: Path, gap: str) -> None:
    expected = read_mesh(folder / "slab.obj", "back").texture
    (folder / "slab.obj").write_text(OBJ.replace("usemtl plain\n", "").replace("usemtl printed", "usemtl plain"))
    (folder / "slab.obj").write_text((folder / "slab.obj").read_text().replace("o back", f"o{gap}back"))
    found = read_mesh(folder / "slab.obj", "back").texture
    assert expected is not None and found is not None and len(found.material) == 2
    assert_array_equal(found.mean_colours(), expected.mean_colours())


def test_a_file_has_one_row(folder: Path) -> None:
    (folder / "index.csv").write_text(HEADER + ROW % "back" + ROW % "front")
    with pytest.raises(DataError, match="line 3: .*is repeated: a file has one row"):
        read_mesh_index(folder / "index.csv", folder)


def test_files_of_index_and_mesh_may_have_backslashes(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "print.png").rename(folder / "sub" / "print.png")
    (folder / "slab.mtl").write_text(MTL.replace("print.png", "sub\\print.png"))
    (folder / "slab.mtl").rename(folder / "sub" / "slab.mtl")
    (folder / "slab.obj").write_text(OBJ.replace("slab.mtl", ".\\sub\\slab.mtl"))
    (folder / "index.csv").write_text(HEADER + (ROW % "").replace("slab.obj", "sub\\..\\slab.obj"))
    (read,) = read_mesh_index(folder / "index.csv", folder)
    assert read.path == folder / "slab.obj" and read_mesh(read.path).texture is not None
    (folder / "index.csv").write_text(HEADER + (ROW % "").replace("slab.obj", "sub\\..\\..\\slab.obj"))
    with pytest.raises(DataError, match="'file' must be a path within the folder"):
        read_mesh_index(folder / "index.csv", folder)


def test_paint_replaces_the_texture_of_a_whole_mesh_only(folder: Path) -> None:
    mesh = load_canonical(entry(folder))
    assert mesh.painted(np.zeros(3)).texture is None
    assert mesh.painted(np.zeros(3), np.arange(4) < 2).texture is mesh.texture is not None


def test_groups_are_selected_in_files_without_objects(folder: Path) -> None:
    (folder / "slab.obj").write_text(OBJ.replace("\no ", "\ng "))
    assert len(read_mesh(folder / "slab.obj", "front").faces) == 2


def test_library_shows_most_objects_in_their_own_colours(folder: Path) -> None:
    library = MeshLibrary([entry(folder)], "train")
    drawn = [library.make("camera", np.random.default_rng(seed)).mesh for seed in range(100)]
    own = [mesh for mesh in drawn if mesh.texture is not None]
    assert 55 < len(own) < 85
    for mesh in own:
        assert mesh.texture is not None
        assert_array_equal(mesh.colours, mesh.texture.mean_colours())
    assert len({mesh.colours.tobytes() for mesh in drawn}) > len(drawn) - len(own)


def view(folder: Path, textured: bool, panorama: bool) -> RenderedFrame:
    """Return a view of the front of the slab in its own colours, or in those of its faces."""
    mesh = load_canonical(entry(folder))
    mesh = mesh if textured else replace(mesh, texture=None)
    item = MeshObject("camera", mesh, np.ptp(mesh.vertices, axis=0))
    # The front is +x, the image's right edge is at -z.
    pose: FloatArray = look_at(np.array([0.5, 0.0, 0.0]), np.zeros(3))
    lamp = Light(np.array([2.0, 0.0, 0.5]), 0.1, np.ones(3), np.full(3, 0.5))
    placed = PlacedObject(1, item, make_transform(UPRIGHT, np.zeros(3)), Texture("checker", 0.02, 0.5, np.zeros(3)))
    scene = Scene((placed,), (), lamp)
    if not panorama:
        return Renderer(scene).render(pose, CAMERA)
    materials = [make_object_material(np.random.default_rng(0), "camera", mesh)]
    shader = EnvironmentShader(Environment(np.ones((32, 64, 3), np.float32)), materials, np.random.default_rng(0))
    return Renderer(scene, make_shader=shader.attach).render(pose, CAMERA)


@pytest.mark.parametrize("panorama", [False, True])
def test_colour_images_show_the_image_and_depth_and_labels_do_not_change(folder: Path, panorama: bool) -> None:
    shown, plain = view(folder, True, panorama), view(folder, False, panorama)
    for name in ("depth", "labels", "cos_incidence", "albedo"):
        assert_array_equal(getattr(shown, name), getattr(plain, name))
    rows, columns = np.nonzero(shown.labels)
    top, bottom = np.quantile(rows, [0.2, 0.8]).astype(int)
    left, right = np.quantile(columns, [0.2, 0.8]).astype(int)
    assert shown.rgb[top, left].argmax() == 0 and shown.rgb[top, right].argmax() == 1
    assert shown.rgb[bottom, left].argmax() == 2 and np.ptp(shown.rgb[bottom, right].astype(int)) < 30
    # Neither texture nor print of the simulator lies over it: equal albedo in one quadrant.
    quadrant = shown.rgb[top - 4 : top + 4, left - 4 : left + 4, 0].astype(int)
    assert np.ptp(quadrant) < 40


def test_shipped_index_of_textured_meshes_is_valid(tmp_path: Path) -> None:
    """The meshes are not part of the package; empty files replace them."""
    index = config_path("meshes/textured_objects.csv")
    with index.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        (tmp_path / row["file"]).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / row["file"]).touch()
    entries = read_mesh_index(index, tmp_path)
    assert len(entries) == len(rows) == 18
    assert [sum(each.split == split for each in entries) for split in ("train", "val", "none")] == [11, 5, 2]
    for row in rows:
        assert row["licence"].startswith(("CC0 ", "CC-BY-3.0")) and row["source"].startswith("Sweet Home 3D")
        assert row["split"] == "none" or bool(row["unit"]) != bool(row["height_mm"])
        assert (row["handle"] == "yes") == (row["category"] == "mug" and row["split"] != "none")
