"""Import of HS-Pose's weights, compared with its formulas written out here under its own names.

Pooling and neighbours are taken as the network chose them: where distances tie, both functions are free to choose.
"""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import CheckpointError
from clipose_ros.model.checkpoint import load_checkpoint, save_checkpoint
from clipose_ros.model.cpu_training.graph_ops import CPU_OPS
from clipose_ros.model.graph import PYTORCH_OPS, nearest_neighbours, nearest_point
from clipose_ros.model.hs_pose import import_hs_pose

WIDTHS, SUPPORTS, WIDE, NARROW = (8, 8, 16, 16, 24), 7, 40, 20
ALL = sum(WIDTHS)


def random_weights():
    """A state dict of HS-Pose's names and layouts, narrow."""
    torch.manual_seed(0)
    state, before = {"face_recon.recon_head.0.weight": torch.randn(3, 3)}, 3

    def norm(name, channels):
        for key, low in (("weight", 0.5), ("bias", -0.2), ("running_mean", -0.2), ("running_var", 0.5)):
            state[f"{name}.{key}"] = low + torch.rand(channels)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    for i, width in enumerate(WIDTHS):
        layer = f"face_recon.conv_{i}"
        state[f"{layer}.directions"] = torch.randn(3, SUPPORTS * width)
        state[f"{layer}.STE_layer.weight"] = 0.3 * torch.randn(width, before, 1)
        state[f"{layer}.conv2.weight"] = 0.2 * torch.randn(width, 2 * width, 1)
        if i > 0:
            state[f"{layer}.weights"] = 0.2 * torch.randn(before, (SUPPORTS + 1) * width)
            state[f"{layer}.bias"] = 0.1 * torch.randn((SUPPORTS + 1) * width)
        before = width
    for i in (1, 2, 3):
        norm(f"face_recon.bn{i}", WIDTHS[i])
    for head, channels, out in (("rot_green", ALL + 6, 4), ("rot_red", ALL + 6, 4), ("ts", ALL + 9, 6)):
        sizes = (channels, WIDE, NARROW, NARROW, out)
        for i in range(4):
            state[f"{head}.conv{i + 1}.weight"] = 0.2 * torch.randn(sizes[i + 1], sizes[i], 1)
            state[f"{head}.conv{i + 1}.bias"] = 0.1 * torch.randn(sizes[i + 1])
        for i in range(3):
            norm(f"{head}.bn{i + 1}", sizes[i + 1])
    return state


class Neighbours:
    """Finds neighbours for the network, and gives the same ones for the same values afterwards."""

    def __init__(self):
        self.known = []

    def find(self, values, count):
        self.known.append((values, nearest_neighbours(values, count)))
        return self.known[-1][1]

    def again(self, values, count):
        (index,) = (i for v, i in self.known if v.shape == values.shape and torch.allclose(v, values, atol=1e-9))
        return index[..., :count]


def at(values, index):
    return torch.stack([v[i] for v, i in zip(values, index, strict=True)])


def bn(s, name, x):
    mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    return (x - mean) / (var + 1e-5).sqrt() * s[f"{name}.weight"] + s[f"{name}.bias"]


def layer(s, near, i, points, features=None):
    """HS layer: graph convolution (by coordinates in the first, by features later), ORL, STE."""
    name, count = f"face_recon.conv_{i}", min(20, points.shape[1] // 8)
    index = near(points if features is None else features, count)
    directions = F.normalize(at(points, index) - points.unsqueeze(2), dim=-1)
    theta = F.relu(directions @ F.normalize(s[f"{name}.directions"], dim=0))
    width, centre = WIDTHS[i], 0.0
    if features is not None:
        projected = features @ s[f"{name}.weights"] + s[f"{name}.bias"]
        centre, theta = projected[..., :width], theta * at(projected[..., width:], index)
    out = centre + theta.unflatten(-1, (SUPPORTS, width)).amax(dim=2).mean(dim=2)
    overall = at(out, near(points, count)).amax(dim=2).mean(dim=1, keepdim=True).expand_as(out)
    out = out + torch.cat([out, overall], dim=-1) @ s[f"{name}.conv2.weight"][..., 0].T
    return out + (points if features is None else features) @ s[f"{name}.STE_layer.weight"][..., 0].T


def pool(near, points, features):
    keep = points.shape[1] // 4
    return points[:, :keep], at(features, near(points, 4)).amax(dim=2)[:, :keep]


def head(s, name, x):
    for i in (1, 2):
        x = F.relu(bn(s, f"{name}.bn{i}", x @ s[f"{name}.conv{i}.weight"][..., 0].T + s[f"{name}.conv{i}.bias"]))
    x = x.amax(dim=1)
    x = F.relu(bn(s, f"{name}.bn3", x @ s[f"{name}.conv3.weight"][..., 0].T + s[f"{name}.conv3.bias"]))
    return x @ s[f"{name}.conv4.weight"][..., 0].T + s[f"{name}.conv4.bias"]


def hs_pose(s, near, cloud, category):
    """Its inference network; pooling keeps the first points instead of random ones."""
    points = cloud - cloud.mean(dim=1, keepdim=True)
    f0 = F.relu(layer(s, near, 0, points))
    f1 = F.relu(bn(s, "face_recon.bn1", layer(s, near, 1, points, f0)))
    points1, pooled = pool(near, points, f1)
    f2 = F.relu(bn(s, "face_recon.bn2", layer(s, near, 2, points1, pooled)))
    f3 = F.relu(bn(s, "face_recon.bn3", layer(s, near, 3, points1, f2)))
    points2, pooled = pool(near, points1, f3)
    f4 = layer(s, near, 4, points2, pooled)
    to1, to2 = (nearest_point(points, p) for p in (points1, points2))
    one_hot = F.one_hot(category, 6).double().unsqueeze(1).expand(-1, points.shape[1], -1)
    features = torch.cat([f0, f1, at(f2, to1), at(f3, to1), at(f4, to2), one_hot], dim=-1)
    green, red = head(s, "rot_green", features), head(s, "rot_red", features)
    residual = head(s, "ts", torch.cat([features, points], dim=-1))
    return green, red, residual[:, :3] + cloud.mean(dim=1), residual[:, 3:]


@pytest.mark.parametrize("prefix", ["", "module.posenet."])
def test_imported_network_equals_hs_pose_formulas(prefix):
    state = random_weights()
    neighbours = Neighbours()
    ops = dataclasses.replace(PYTORCH_OPS, nearest_neighbours=neighbours.find)
    network = import_hs_pose({prefix + name: tensor for name, tensor in state.items()}, ops).double()
    cloud, category = torch.rand(3, 256, 3, dtype=torch.float64), torch.tensor([5, 0, 2])
    with torch.inference_mode():
        out = network(cloud, category)
        green, red, t, size = hs_pose(
            {name: tensor.double() for name, tensor in state.items()}, neighbours.again, cloud, category
        )
    same = {"rtol": 0.0, "atol": 1e-5}
    torch.testing.assert_close(out.axis_y, F.normalize(green[:, 1:], dim=-1), **same)
    torch.testing.assert_close(out.axis_x, F.normalize(red[:, 1:], dim=-1), **same)
    torch.testing.assert_close(out.confidence_y, green[:, 0].sigmoid(), **same)
    torch.testing.assert_close(out.confidence_x, red[:, 0].sigmoid(), **same)
    torch.testing.assert_close(out.translation, t, **same)
    torch.testing.assert_close(out.size - torch.from_numpy(NOCS_CATEGORIES.mean_sizes)[category], size, **same)


def test_imported_network_round_trips_through_checkpoint(tmp_path):
    network = import_hs_pose(random_weights())
    save_checkpoint(tmp_path / "hs_pose.safetensors", network)
    again = load_checkpoint(tmp_path / "hs_pose.safetensors", CPU_OPS)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_import_names_missing_or_misshapen_weight():
    state = random_weights()
    with pytest.raises(CheckpointError, match=r"rot_red\.conv3\.bias"):
        import_hs_pose({name: tensor for name, tensor in state.items() if name != "rot_red.conv3.bias"})
    with pytest.raises(CheckpointError, match=r"head_ts\.point1\.weight"):
        import_hs_pose(state | {"ts.conv1.weight": torch.zeros(WIDE, ALL + 3, 1)})
