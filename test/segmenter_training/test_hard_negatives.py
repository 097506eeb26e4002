"""Hard negatives: closed meshes of the size of household objects."""

from collections.abc import Callable

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.assets.shapes import make_object
from clipose_ros.data.synthetic.assets.textures import Texture
from clipose_ros.data.synthetic.scenes import UPRIGHT, PlacedObject
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.segmenter_training.hard_negatives import HARD_NEGATIVES, make_hard_negative, make_holding_hands

PLAIN = Texture("plain", 0.1, 0.2, np.zeros(3))


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


def test_hands_hold_objects_but_no_laptop() -> None:
    rng = np.random.default_rng(2)
    placed = [
        PlacedObject(k, make_object(name, rng), make_transform(UPRIGHT, np.zeros(3)), PLAIN)
        for k, name in enumerate(("bottle", "can", "laptop"))
    ]
    hands = make_holding_hands(rng, placed, share=1.0)
    assert len(hands) == 2
    for hand, item in zip(hands, placed, strict=False):
        vertices, surface = hand.mesh.vertices, item.object.mesh.vertices
        assert np.linalg.norm(vertices[:, None] - surface[None], axis=2).min() < 0.02, "the hand touches the object"
    assert not make_holding_hands(rng, placed, share=0.0)
