"""Recall and precision of masks and poses."""

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.evaluation.metrics.detection_recall import DetectionRecall, count_detections, mask_iou, sum_counts
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects
from clipose_ros.types import InstanceMask


def mask(category, x0, width=10, score=1.0):
    return InstanceMask(category, score, (x0, 0, x0 + width, 10), np.ones((10, width), dtype=bool))


def objects(*things):
    """Return objects of 10 cm from (category, metres to the right, degrees about z)."""
    poses = np.tile(np.eye(4), (len(things), 1, 1))
    for T, (_, x, degrees) in zip(poses, things, strict=True):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        T[:2, :2], T[:3, 3] = [[c, -s], [s, c]], (x, 0.0, 1.0)
    ids = [NOCS_CATEGORIES[name].id for name, *_ in things]
    return NocsObjects.from_poses(ids, poses, np.full((len(things), 3), 0.1))


def count(truths, poses, masks=(), true_masks=()):
    visible = np.ones(len(truths), dtype=bool)
    frame = NocsFrame("view", objects(*truths), visible, objects(*poses), np.linspace(1.0, 0.5, len(poses)))
    return count_detections(frame, masks, true_masks, NOCS_CATEGORIES)


def test_mask_iou_counts_pixels():
    assert mask_iou(mask("mug", 0), mask("mug", 0)) == 1.0
    assert mask_iou(mask("mug", 0), mask("mug", 5)) == pytest.approx(5 / 15)
    assert mask_iou(mask("mug", 0), mask("mug", 10)) == 0.0


def test_count_detections_matches_masks_one_to_one_above_half_iou():
    truths = [("mug", 0.0, 0.0), ("mug", 1.0, 0.0), ("can", 2.0, 0.0)]
    true = [mask("mug", 0), mask("mug", 20), mask("can", 40)]
    masks = [
        mask("mug", 1, score=0.9),  # detects the first
        mask("mug", 0, score=0.5),  # detects the first again
        mask("mug", 26, score=0.8),  # IoU with the second is too low
        mask("bowl", 40, score=0.7),  # another category
    ]
    counts = count(truths, [], masks, true)
    assert counts["mug"] == DetectionRecall(objects=2, detections=3, detected=1)
    assert counts["can"] == DetectionRecall(objects=1)
    assert counts["bowl"] == DetectionRecall(detections=1)


def test_count_detections_matches_poses_one_to_one_within_thresholds():
    truths = [("laptop", 0.0, 0.0), ("laptop", 1.0, 0.0), ("laptop", 2.0, 0.0)]
    poses = [("laptop", 0.04, 9.0), ("laptop", 0.0, 0.0), ("laptop", 1.06, 0.0), ("laptop", 2.0, 11.0)]
    true = [mask("laptop", 20 * k) for k in range(3)]
    counts = count(truths, poses, true_masks=true)
    assert counts["laptop"] == DetectionRecall(objects=3, poses=4, posed=1)


def test_count_detections_ignores_yaw_of_mugs_with_hidden_handle():
    turned = NocsObjects.from_poses([6], [np.diag([-1.0, 1.0, -1.0, 1.0])], [0.1] * 3)  # half a turn about y
    straight = NocsObjects.from_poses([6], [np.eye(4)], [0.1] * 3)
    posed_counts = []
    for visible in (True, False):
        frame = NocsFrame("view", straight, np.array([visible]), turned, np.ones(1))
        posed_counts.append(count_detections(frame, [], [mask("mug", 0)], NOCS_CATEGORIES)["mug"].posed)
    assert posed_counts == [0, 1]


def test_sum_counts_adds_views_and_shares_without_objects_are_none():
    one = count([("can", 0.0, 0.0)], [("can", 0.0, 0.0)], [mask("can", 0)], [mask("can", 0)])
    none = count([("can", 0.0, 0.0)], [], [], [mask("can", 0)])
    table = sum_counts([one, none], NOCS_CATEGORIES)
    assert list(table) == [*NOCS_CATEGORIES.names, "all"]
    assert table["all"] == table["can"] == DetectionRecall(2, 1, 1, 1, 1)
    assert table["can"].shares() == {
        "mask_recall": 50.0,
        "mask_precision": 100.0,
        "pose_recall": 50.0,
        "pose_precision": 100.0,
    }
    assert set(table["mug"].shares().values()) == {None}
    assert sum_counts([], NOCS_CATEGORIES)["all"] == DetectionRecall()
