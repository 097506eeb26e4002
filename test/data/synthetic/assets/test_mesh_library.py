"""Mesh files: object frame, size, splits and error messages."""

import csv
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import assume, given
from hypothesis import strategies as st

from clipose_ros.data.synthetic.assets.mesh import HANDLE
from clipose_ros.data.synthetic.assets.mesh_index import MeshEntry, read_mesh_index
from clipose_ros.data.synthetic.assets.mesh_library import MeshLibrary, load_canonical
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary
from clipose_ros.data.synthetic.samples import generate_samples
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.resources import config_path

COLUMNS = ("category", "file", "up", "front", "handle", "axial", "unit", "height_mm", "split")
BOTTLE = {"category": "bottle", "file": "bottle.ply", "up": "z", "axial": "yes", "unit": "m", "split": "train"}
MUG = {
    "category": "mug",
    "file": "mug.obj",
    "up": "-y",
    "front": "z",
    "handle": "yes",
    "axial": "no",
    "unit": "cm",
    "split": "train",
}


def mug_in_cm():
    """Return a mug in centimetres with up = -y and its handle along z."""
    body = trimesh.creation.cylinder(radius=4.0, height=10.0, sections=32)
    body.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    handle = trimesh.creation.box(extents=(1.0, 6.0, 3.0))
    handle.apply_translation([0.0, 0.0, 5.0])
    return trimesh.util.concatenate([body, handle])


@pytest.fixture
def folder(tmp_path):
    cone = trimesh.creation.cone(radius=0.04, height=0.2)  # the tip is the opening: at +z
    cone.export(tmp_path / "bottle.ply")
    mug_in_cm().export(tmp_path / "mug.obj")
    return tmp_path


def write_index(folder, *rows):
    with (folder / "index.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder / "index.csv"


def entries(folder, *rows):
    return read_mesh_index(write_index(folder, *rows), folder)


def test_mesh_is_rotated_to_the_object_frame_in_metres(folder):
    mug = MeshLibrary(entries(folder, MUG), "train").make("mug", np.random.default_rng(0))
    np.testing.assert_allclose(mug.size, [0.105, 0.10, 0.08], atol=1e-6)
    low, high = mug.mesh.bounds
    np.testing.assert_allclose(low, -high, atol=1e-12)
    handle = mug.mesh.select_part(HANDLE).vertices
    assert mug.has_handle
    np.testing.assert_allclose(handle.min(axis=0), [0.0525 - 0.03, -0.03, -0.005], atol=1e-6)
    np.testing.assert_allclose(handle.max(axis=0), [0.0525, 0.03, 0.005], atol=1e-6)


def test_up_direction_becomes_y(folder):
    for up, T in (("z", np.eye(4)), ("-x", trimesh.transformations.rotation_matrix(-np.pi / 2, [0, 1, 0]))):
        cone = trimesh.creation.cone(radius=0.04, height=0.2)
        cone.apply_transform(T)
        cone.export(folder / "bottle.ply")
        mesh = load_canonical(entries(folder, {**BOTTLE, "up": up})[0])
        top = mesh.vertices[mesh.vertices[:, 1] > 0.099]
        assert len(top) and np.abs(top[:, [0, 2]]).max() < 1e-6, up
        assert np.ptp(mesh.vertices[:, 1]) == pytest.approx(0.2)


def test_front_is_orthogonalized_to_up(folder):
    entry = entries(folder, {**MUG, "up": "0.1 -1 0", "front": "0 0.2 1"})[0]
    R = entry.R_object_file
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1.0)
    np.testing.assert_allclose(R @ np.array([0.1, -1, 0]) / np.hypot(0.1, 1), [0, 1, 0], atol=1e-12)
    assert (R @ np.array([0, 0.2, 1]))[2] == pytest.approx(0.0, abs=1e-12)


@given(
    up=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1),
    front=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1),
)
def test_object_rotation_maps_up_to_y_and_front_to_the_xy_plane(up, front):
    assume(np.linalg.norm(np.cross(up, front)) > 0.1 * np.linalg.norm(up) * np.linalg.norm(front))
    R = MeshEntry("mug", Path("mug.obj"), up, front, False, 1.0, None, "train").R_object_file
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(R) == pytest.approx(1.0)
    np.testing.assert_allclose(R @ np.array(up) / np.linalg.norm(up), [0, 1, 0], atol=1e-9)
    turned = R @ np.array(front)
    assert turned[0] > 0 and abs(turned[2]) < 1e-9


def test_height_range_scales_the_mesh_uniformly(folder):
    library = MeshLibrary(entries(folder, {**MUG, "unit": "", "height_mm": "80-120"}), "train")
    sizes = np.array([library.make("mug", np.random.default_rng(seed)).size for seed in range(40)])
    assert not library.make("mug", np.random.default_rng(0)).mesh.is_closed, "nothing is known of files"
    assert 0.08 <= sizes[:, 1].min() < 0.09 and 0.11 < sizes[:, 1].max() <= 0.12
    np.testing.assert_allclose(sizes / sizes[:, 1:2], np.broadcast_to([1.05, 1.0, 0.8], sizes.shape), rtol=1e-6)


def test_size_range_scales_meshes_without_unit_and_height(folder):
    rows = entries(folder, {**MUG, "unit": ""})
    sizes = {"mug": ((0.05, 0.05, 0.05), (0.2, 0.08, 0.2))}
    drawn = [MeshLibrary(rows, "train", sizes).make("mug", np.random.default_rng(s)).size for s in range(20)]
    assert (np.array(drawn) >= 0.05 - 1e-9).all() and max(size[1] for size in drawn) <= 0.08 + 1e-9
    with pytest.raises(DataError, match="widen it"):
        MeshLibrary(rows, "train", {"mug": ((0.1, 0.1, 0.1), (0.1, 0.1, 0.1))}).make("mug", np.random.default_rng(0))
    with pytest.raises(DataError, match=r"mug\.obj.*is not known"):
        MeshLibrary(rows, "train").make("mug", np.random.default_rng(0))


def test_splits_share_no_mesh(folder):
    rows = entries(folder, BOTTLE, {**MUG, "split": "val"})
    assert MeshLibrary(rows, "train").categories == ("bottle",)
    assert MeshLibrary(rows, "val").categories == ("mug",)
    with pytest.raises(DataError, match="split 'val'"):
        MeshLibrary(rows[:1], "val")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"up": "w"}, "'up' must be"),
        ({"front": ""}, "'front' must not be empty"),
        ({"front": "y"}, "across 'up'"),
        ({"unit": "ft"}, "'unit' must be one of m, cm, mm, in"),
        ({"height_mm": "80-100"}, "not both"),
        ({"unit": "", "height_mm": "100-80"}, "'height_mm'"),
        ({"split": "test"}, "'split' must be"),
        ({"axial": "maybe"}, "'axial' must be yes or no"),
        ({"category": ""}, "must not be empty"),
        ({"file": "gone.obj"}, r"no mesh .*gone\.obj"),
    ],
)
def test_invalid_row_raises_with_its_line(folder, change, message):
    with pytest.raises(DataError, match=rf"(?s)index\.csv', line 3.*{message}"):
        entries(folder, BOTTLE, {**MUG, **change})


def test_repeated_mesh_and_missing_columns_raise(folder):
    with pytest.raises(DataError, match="is repeated"):
        entries(folder, BOTTLE, {**BOTTLE, "split": "val"})
    (folder / "index.csv").write_text("category,file\nmug,mug.obj\n")
    with pytest.raises(DataError, match="lacks the columns up, front, axial, split"):
        read_mesh_index(folder / "index.csv", folder)
    with pytest.raises(DataError, match="other.csv"):
        read_mesh_index(folder / "other.csv", folder)


def test_invalid_meshes_and_missing_handles_raise(folder):
    (folder / "broken.ply").write_bytes(b"no mesh at all")
    trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]).export(folder / "flat.stl")
    for name in ("broken.ply", "flat.stl"):
        with pytest.raises(DataError, match=name):
            load_canonical(entries(folder, {**BOTTLE, "file": name})[0])
    with pytest.raises(DataError, match="'front' must point from the body to the handle"):
        load_canonical(entries(folder, {**BOTTLE, "front": "x", "handle": "yes"})[0])


def test_mesh_share_mixes_meshes_and_generated_shapes(folder):
    library = MeshLibrary(entries(folder, BOTTLE), "train")
    counts = []
    for share in (0.0, 0.5, 1.0):
        object_library = ObjectLibrary(NOCS_OBJECT_LIBRARY.categories, {}, {}, library, share)
        drawn = [object_library.make("bottle", np.random.default_rng(seed)) for seed in range(60)]
        counts.append(sum(np.isclose(each.size[1], 0.2, atol=1e-9) for each in drawn))
    assert counts[0] == 0 and 15 < counts[1] < 45 and counts[2] == 60
    assert object_library.make("can", np.random.default_rng(0)).category == "can"
    with pytest.raises(ConfigError, match="between 0 and 1"):
        ObjectLibrary(NOCS_OBJECT_LIBRARY.categories, {}, {}, library, 1.5)
    with pytest.raises(ConfigError, match=r"bottle\.ply' has the unknown category 'vase'"):
        ObjectLibrary(
            NOCS_OBJECT_LIBRARY.categories,
            {},
            {},
            MeshLibrary(entries(folder, {**BOTTLE, "category": "vase"}), "train"),
        )


def test_clouds_lie_on_their_mesh(folder):
    object_library = ObjectLibrary(
        NOCS_OBJECT_LIBRARY.categories, {}, {}, MeshLibrary(entries(folder, MUG), "train"), mesh_share=1.0
    )
    samples = generate_samples(2, 5, categories=("mug",), object_library=object_library)
    np.testing.assert_allclose(samples.size, np.broadcast_to([0.105, 0.1, 0.08], samples.size.shape), atol=1e-6)
    T = np.linalg.inv(samples.T_camera_object.astype(np.float64))
    local = np.einsum("sij,snj->sni", T[:, :3, :3], samples.points) + T[:, None, :3, 3]
    beyond = (np.abs(local) - samples.size[:, None] / 2).max(axis=2)
    assert np.median((beyond < 0.01).mean(axis=1)) > 0.95
    assert samples.handle_visible.any()


def test_shipped_mesh_index_is_valid(tmp_path):
    """The meshes are not part of the package; empty files replace them."""
    index = config_path("meshes/open_objects.csv")
    with index.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        (tmp_path / row["file"]).parent.mkdir(exist_ok=True)
        (tmp_path / row["file"]).touch()
    entries_by_file = {e.path.name: e for e in read_mesh_index(index, tmp_path)}
    assert len(rows) == len(entries_by_file) == 47
    assert entries_by_file["ycb_025_mug.ply"].split == "val"
    for name in ("ycb_010_potted_meat_can.ply", "prl_herring_tin.ply"):
        assert entries_by_file[name].split == "none"
    for row in rows:
        assert "CC-BY-SA" not in row["licence"] or row["split"] == "val"
        assert row["handle"] == ("yes" if row["category"] == "mug" else "no")
        assert row["split"] == "none" or row["unit"] or row["height_mm"]
    for split in ("train", "val"):
        assert set(MeshLibrary(list(entries_by_file.values()), split).categories) == set(
            NOCS_OBJECT_LIBRARY.categories.names
        )


def test_mesh_without_front_in_a_category_without_axial_symmetry_raises(folder):
    cup = {**BOTTLE, "category": "mug"}
    with pytest.raises(ConfigError, match=r"bottle\.ply' has no 'front'.*'mug' is not axially symmetric"):
        ObjectLibrary(NOCS_OBJECT_LIBRARY.categories, {}, {}, MeshLibrary(entries(folder, cup), "train"))
    faced = MeshLibrary(entries(folder, {**cup, "front": "x"}), "train")
    assert ObjectLibrary(NOCS_OBJECT_LIBRARY.categories, {}, {}, faced).library is faced
