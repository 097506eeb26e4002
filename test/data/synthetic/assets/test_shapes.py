"""Shape generators: closed meshes, object frames, sizes, symmetries and variety."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.synthetic.assets.mesh import HANDLE
from clipose_ros.data.synthetic.assets.shapes import SHAPE_GENERATORS, make_object
from clipose_ros.errors import ConfigError

INSTANCES = 12
NAMES = NOCS_CATEGORIES.names


def instances(category):
    return [make_object(category, np.random.default_rng([11, i])) for i in range(INSTANCES)]


def surface(mesh, count=4000, seed=0):
    points, _ = trimesh.sample.sample_surface(
        trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), count, seed=seed
    )
    return np.asarray(points)


def hausdorff_share(a, b, tolerance):
    """Return the share of the points a that have a point of b within the tolerance."""
    return float((cKDTree(b).query(a)[0] < tolerance).mean())


def test_every_category_has_a_shape_generator():
    assert set(SHAPE_GENERATORS) == set(NAMES)
    with pytest.raises(ConfigError, match="teapot"):
        make_object("teapot", np.random.default_rng(0))


@pytest.mark.parametrize("category", NAMES)
def test_shapes_are_closed_and_wound_outwards(category):
    for shape in instances(category):
        solid = trimesh.Trimesh(shape.mesh.vertices, shape.mesh.faces, process=False)
        assert np.isfinite(shape.mesh.vertices).all()
        assert solid.is_watertight and solid.is_winding_consistent
        assert all(part.volume > 0 for part in solid.split(only_watertight=False))
        assert shape.mesh.colours.min() >= 0 and shape.mesh.colours.max() <= 1
        assert len(shape.mesh.colours) == len(shape.mesh.parts) == len(shape.mesh.faces)


@pytest.mark.parametrize("category", NAMES)
def test_size_is_the_extent_of_the_centred_mesh(category):
    for shape in instances(category):
        low, high = shape.mesh.bounds
        np.testing.assert_allclose(high - low, shape.size, atol=1e-12)
        np.testing.assert_allclose(low + high, 0.0, atol=1e-12)


@pytest.mark.parametrize("category", NAMES)
def test_sizes_vary_around_the_category_mean(category):
    sizes = np.array([make_object(category, np.random.default_rng([12, i])).size for i in range(60)])
    mean = np.array(NOCS_CATEGORIES[category].mean_size)
    assert (np.median(sizes, axis=0) / mean > 0.6).all() and (np.median(sizes, axis=0) / mean < 1.6).all()
    assert (sizes.std(axis=0) / sizes.mean(axis=0) > 0.08).all(), "a category needs variety"


@pytest.mark.parametrize("category", NAMES)
def test_equal_seeds_give_equal_shapes(category):
    first, again, other = (make_object(category, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.mesh.vertices, again.mesh.vertices)
    np.testing.assert_array_equal(first.mesh.colours, again.mesh.colours)
    assert not np.allclose(first.size, other.size)


@pytest.mark.parametrize("category", ["bowl", "can"])
def test_round_categories_are_axially_symmetric(category):
    for shape in instances(category):
        assert shape.size[0] == pytest.approx(shape.size[2], rel=1e-6)
        radii = np.hypot(shape.mesh.vertices[:, 0], shape.mesh.vertices[:, 2])
        turned = shape.mesh.rotated("y", 29.0)
        tolerance = 0.01 * radii.max() + 0.002
        assert hausdorff_share(surface(turned, seed=1), surface(shape.mesh, 20000), tolerance) > 0.97


def test_most_bottles_are_nearly_round():
    shapes = [make_object("bottle", np.random.default_rng([13, i])) for i in range(60)]
    ratio = np.array([shape.size[0] / shape.size[2] for shape in shapes])
    assert (ratio > 0.95).mean() > 0.5
    assert (ratio <= 1.001).all() and ratio.min() > 0.45


@pytest.mark.parametrize("category", ["bowl", "mug"])
def test_open_vessels_are_open_at_the_top(category):
    """Near the axis, the highest face (floor or filling) lies well below the rim."""
    for shape in instances(category):
        body = shape.mesh.parts != HANDLE
        axis_x = (shape.size[2] - shape.size[0]) / 2.0 if category == "mug" else 0.0
        near_axis = (
            np.hypot(shape.mesh.face_centres[:, 0] - axis_x, shape.mesh.face_centres[:, 2]) < 0.25 * shape.size[2]
        )
        assert shape.mesh.face_centres[body & near_axis, 1].max() < 0.45 * shape.size[1]


def test_bottles_are_narrower_at_the_top():
    for shape in instances("bottle"):
        share = shape.mesh.vertices[:, 1] / shape.size[1]
        width = np.hypot(shape.mesh.vertices[:, 0], shape.mesh.vertices[:, 2])
        assert width[share > 0.4].max() < width[share < 0.1].max() * 1.05


@pytest.mark.parametrize("category", ["laptop", "mug"])
def test_laptops_and_mugs_are_symmetric_about_the_xy_plane(category):
    for shape in instances(category):
        points = surface(shape.mesh)
        assert hausdorff_share(points * [1, 1, -1], surface(shape.mesh, 30000, seed=1), 0.02 * shape.size.max()) > 0.98


def test_mug_handle_is_the_farthest_part_along_x():
    for shape in instances("mug"):
        used = shape.mesh.select_part(HANDLE)
        assert shape.has_handle
        assert used.bounds[1][0] == pytest.approx(shape.size[0] / 2)
        body = shape.mesh.select_part(0)
        assert body.bounds[1][0] < shape.size[0] / 2 - 0.008
        assert body.bounds[0][0] == pytest.approx(-shape.size[0] / 2)
        assert abs(used.bounds[1][2] + used.bounds[0][2]) < 1e-6 and used.bounds[1][2] < 0.02


def test_mug_handle_stays_outside_the_body():
    for shape in instances("mug"):
        axis_x, radius = (shape.size[2] - shape.size[0]) / 2.0, shape.size[2] / 2.0
        handle = shape.mesh.select_part(HANDLE).vertices
        assert np.hypot(handle[:, 0] - axis_x, handle[:, 2]).min() > 0.4 * radius
        assert handle[:, 1].min() > -shape.size[1] / 2 - 1e-9 and handle[:, 1].max() < shape.size[1] / 2 + 1e-9


def test_laptop_lid_is_at_minus_x_and_keyboard_faces_up():
    for shape in instances("laptop"):
        points = surface(shape.mesh, 8000)
        high = points[points[:, 1] > 0.25 * shape.size[1]]
        low = points[points[:, 1] < -0.3 * shape.size[1]]
        assert high[:, 0].mean() < low[:, 0].mean() - 0.1 * shape.size[0]
        front = points[points[:, 0] > 0.35 * shape.size[0]]
        assert (front[:, 1] < 0.0).mean() > 0.5


def test_camera_lens_is_round_about_x():
    for shape in instances("camera"):
        tip = shape.mesh.vertices[shape.mesh.vertices[:, 0] > 0.5 * shape.size[0] - 1e-4]
        if len(tip) < 20:
            continue  # the grip or flash of a compact is in front of its lens
        radii = np.hypot(tip[:, 1] - tip[:, 1].mean(), tip[:, 2] - tip[:, 2].mean())
        assert radii.std() < 0.15 * radii.mean()


def test_cameras_are_not_symmetric_about_the_xy_plane():
    """Grip and shutter button distinguish +z from -z."""
    shares = [
        hausdorff_share(surface(s.mesh) * [1, 1, -1], surface(s.mesh, 30000, seed=1), 0.004)
        for s in instances("camera")
    ]
    assert max(shares) < 0.995
