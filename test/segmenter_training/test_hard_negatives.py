"""Hard negatives: closed meshes of the size of household objects."""

from collections.abc import Callable

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.segmenter_training.hard_negatives import HARD_NEGATIVES, make_hard_negative


@pytest.mark.parametrize("make", dict.fromkeys(HARD_NEGATIVES))
def test_objects_fit_on_a_table(make: Callable[[np.random.Generator], Mesh]) -> None:
    for seed in range(20):
        mesh = make(np.random.default_rng(seed))
        extent = np.ptp(mesh.vertices, axis=0)
        assert extent.min() > 0.005 and extent.max() < 0.6
        assert np.isfinite(mesh.vertices).all() and mesh.colours.min() >= 0.0 and mesh.colours.max() <= 1.0
        # In a closed mesh every edge is used once in each direction.
        edges = np.concatenate([mesh.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
        forward = {tuple(edge) for edge in edges.tolist()}
        assert {edge[::-1] for edge in forward} == forward


def test_all_kinds_are_drawn_centred() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        low, high = make_hard_negative(rng).mesh.bounds
        np.testing.assert_allclose(low + high, 0.0, atol=1e-9)
