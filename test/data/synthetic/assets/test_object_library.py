"""Object libraries: user-defined categories, error messages, and categories in sample files."""

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet, Symmetry
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, read_object_library
from clipose_ros.data.synthetic.assets.shapes import make_object
from clipose_ros.data.synthetic.samples import generate_samples
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.resources import config_path

CANDLE = """
categories:
  - name: candle
    symmetry: [axial_y, mirror_xy]
    mean_size: [0.06, 0.1, 0.06]
    size_range: [[0.04, 0.05, 0.04], [0.1, 0.2, 0.1]]
    shape: cylinder
"""


def read(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    return read_object_library(tmp_path / "mine.yaml")


@pytest.fixture(scope="module")
def seven():
    return read_object_library(config_path("categories/with_candle.yaml"))


def test_additional_category_follows_the_nocs_categories(seven):
    assert seven.categories.names == (*NOCS_CATEGORIES.names, "candle") == seven.drawable
    candle = seven.categories["candle"]
    assert candle.id == 7 and candle.symmetry == Symmetry(True, True, True, True)


def test_library_without_base_has_only_its_own_categories(tmp_path):
    object_library = read(tmp_path, CANDLE)
    assert object_library.categories.names == ("candle",) and object_library.categories["candle"].id == 1
    assert not object_library.categories["candle"].symmetry.mirror_yz


def test_primitives_have_sizes_in_the_size_range(tmp_path):
    for shape in ("cylinder", "box", "ellipsoid"):
        object_library = read(tmp_path, CANDLE.replace("cylinder", shape))
        drawn = [object_library.make("candle", np.random.default_rng(seed)) for seed in range(30)]
        sizes = np.array([each.size for each in drawn])
        assert (sizes >= [0.04 - 1e-6, 0.05 - 1e-6, 0.04 - 1e-6]).all() and (sizes <= [0.1, 0.2, 0.1]).all()
        np.testing.assert_allclose(sizes[:, 0], sizes[:, 2], rtol=1e-6)
        assert np.ptp(sizes[:, 1]) > 0.08
        low, high = drawn[0].mesh.bounds
        np.testing.assert_allclose(high, -low, atol=1e-12)
        np.testing.assert_allclose(high - low, drawn[0].size, atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mean_size", "mean_siez", "did you mean 'mean_size'"),
        ("axial_y", "round", "'symmetry' must be a list of axial_y"),
        ("shape: cylinder", "shape: teapot", "'shape' must be one of"),
        ("[0.1, 0.2, 0.1]", "[0.01, 0.2, 0.1]", "smallest, largest"),
        ("[0.06, 0.1, 0.06]", "[0.06, 0.1]", "not enough values"),
        ("[0.06, 0.1, 0.06]", "[60, 100, 60]", "metres"),
        ("- name: candle", "- id: 9", "lacks name"),
        ("categories:", "base: imagenet\ncategories:", "'base' must be nocs"),
        ("categories:", "kinds:", "under the key 'categories'"),
        ("  - name: candle", "base: nocs\n  - name: mug", "cannot be read"),
    ],
)
def test_invalid_entry_raises_with_the_file_name(tmp_path, old, new, message):
    with pytest.raises(ConfigError, match=rf"(?s)mine\.yaml.*{message}"):
        read(tmp_path, CANDLE.replace(old, new))


def test_repeated_name_raises(tmp_path):
    with pytest.raises(ConfigError, match="unique"):
        read(tmp_path, "base: nocs" + CANDLE.replace("candle", "mug"))


def test_category_without_a_source_is_not_drawable(tmp_path):
    object_library = read(tmp_path, CANDLE.replace("    shape: cylinder\n", ""))
    assert object_library.drawable == ()
    with pytest.raises(ConfigError, match="candle"):
        object_library.make("candle", np.random.default_rng(0))


def test_sample_files_contain_their_categories(seven, tmp_path):
    samples = generate_samples(2, 3, categories=("candle", "mug"), object_library=seven)
    assert set(samples.category_index) == {NOCS_CATEGORIES.index("mug"), 6}
    samples.save(tmp_path / "seven.npz")
    assert CloudSamples.load(tmp_path / "seven.npz").categories == seven.categories
    generate_samples(1, 3).save(tmp_path / "six.npz")
    assert CloudSamples.load(tmp_path / "six.npz").categories == NOCS_CATEGORIES
    with pytest.raises(DataError, match=r"six\.npz has different categories"):
        CloudSamples.load(tmp_path / "seven.npz", tmp_path / "six.npz")


def test_sample_files_without_categories_have_the_nocs_categories(tmp_path):
    samples = generate_samples(1, 3)
    samples.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as archive:
        np.savez(tmp_path / "old.npz", **{name: archive[name] for name in archive if name != "categories"})
    assert CloudSamples.load(tmp_path / "old.npz").categories == NOCS_CATEGORIES


def test_nocs_library_draws_no_additional_random_numbers():
    """Without meshes there is no choice to draw, so the random state equals that of ``make_object``."""
    for name in NOCS_CATEGORIES.names:
        mine, theirs = np.random.default_rng(1), np.random.default_rng(1)
        NOCS_OBJECT_LIBRARY.make(name, mine)
        make_object(name, theirs)
        assert mine.uniform() == theirs.uniform()


def test_category_records_round_trip(seven):
    assert CategorySet.from_records(seven.categories.to_records()) == seven.categories
