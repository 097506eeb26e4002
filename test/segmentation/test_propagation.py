"""Masks between detections follow what moves, and are detected anew where they cannot."""

from __future__ import annotations

import gc
import weakref

import cv2
import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.segmentation import create_segmenter
from clipose_ros.segmentation.labels import LabelSegmenter
from clipose_ros.segmentation.propagation import PropagatingSegmenter
from clipose_ros.types import CameraIntrinsics, InstanceMask, Rejection, RgbdFrame

CAMERA = CameraIntrinsics(300.0, 300.0, 159.5, 119.5, 320, 240)
FRAME_NS = 33_000_000
MUG, CAN = 6001, 4001


def texture(seed, height=240, width=320):
    """A picture with something to see everywhere."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height // 4, width // 4, 3)).astype(np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


WALL, THINGS = texture(0), texture(1)


def frame(k=0, mug=(100, 80), can=None, depth_scale=1.0, camera=CAMERA):
    """A textured mug, and a can perhaps, at pixel positions before a wall."""
    rgb, depth = WALL.copy(), np.full((240, 320), 2.0, np.float32)
    labels = np.zeros((240, 320), np.uint16)
    for value, place, distance in ((MUG, mug, 0.8), (CAN, can, 0.5)):
        if place is not None:
            at = np.s_[place[1] : place[1] + 50, place[0] : place[0] + 40]
            rgb[at] = THINGS[50:100, 60:100] if value == MUG else THINGS[150:200, 160:200]
            depth[at], labels[at] = distance, value
    return RgbdFrame(rgb, depth * np.float32(depth_scale), camera, 10**9 + k * FRAME_NS, "camera", labels)


class Spy:
    """Labels that count how often they are read."""

    def __init__(self):
        self.inner = LabelSegmenter(SegmentationConfig(backend="labels"), NOCS_CATEGORIES)
        self.detected = []

    def segment(self, image):
        self.detected.append(image.stamp_ns)
        return self.inner.segment(image)

    def reconfigure(self, config):
        self.inner.reconfigure(config)


def propagating(every_n):
    spy = Spy()
    return spy, PropagatingSegmenter(spy, SegmentationConfig(backend="labels", every_n=every_n))


def full(instance):
    mask = np.zeros((240, 320), np.bool_)
    x0, y0, x1, y1 = instance.box
    mask[y0:y1, x0:x1] = instance.mask
    return mask


def overlap(instance, labels, value):
    mask, true = full(instance), labels == value
    return (mask & true).sum() / (mask | true).sum()


@pytest.mark.parametrize("every_n", [1, 2, 3, 5])
def test_every_nth_frame_is_detected(every_n):
    spy, segmenter = propagating(every_n)
    for k in range(11):
        found = segmenter.segment(frame(k))
        assert [item.category for item in found] == ["mug"]
    assert spy.detected == [frame(k).stamp_ns for k in range(0, 11, every_n)]


@pytest.mark.parametrize("step", [(0, 0), (1, 0), (-2, 1), (3, 0)])
def test_masks_follow_what_moves(step):
    spy, segmenter = propagating(4)
    for k in range(4):
        shown = frame(k, mug=(120 + k * step[0], 90 + k * step[1]), can=(30, 20))
        mug, can = sorted(segmenter.segment(shown), key=lambda item: item.category, reverse=True)
        assert (mug.category, can.category) == ("mug", "can")
        assert overlap(mug, shown.labels, MUG) > 0.75 and overlap(can, shown.labels, CAN) > 0.9
        assert (shown.depth[full(mug)] < 1.0).mean() > 0.99, "what moved away leaves nothing of the wall in the mask"
    assert len(spy.detected) == 1


def test_a_mask_leaves_the_image_with_its_object():
    _, segmenter = propagating(3)
    segmenter.segment(frame(0, mug=(275, 80)))
    shown = RgbdFrame(frame(1, mug=None).rgb.copy(), frame(1, mug=None).depth.copy(), CAMERA, frame(1).stamp_ns)
    shown.rgb[80:130, 281:], shown.depth[80:130, 281:] = THINGS[50:100, 60:99], 0.8
    (mug,) = segmenter.segment(shown)
    assert mug.box[2] == 320 and abs(mug.box[0] - 281) <= 4


def test_coming_nearer_is_no_other_surface():
    spy, segmenter = propagating(3)
    segmenter.segment(frame(0))
    (mug,) = segmenter.segment(frame(1, depth_scale=0.9))
    assert overlap(mug, frame(1).labels, MUG) > 0.95 and len(spy.detected) == 1


def test_what_covers_an_object_is_cut_out():
    _, segmenter = propagating(3)
    segmenter.segment(frame(0, mug=(100, 80)))
    shown = frame(1, mug=(100, 80))
    shown.depth[80:130, 100:110] = 0.5
    (mug,) = segmenter.segment(shown)
    assert not full(mug)[82:128, 100:108].any() and full(mug)[82:128, 114:138].all()


def gone():
    return frame(1, mug=None)


def later():
    return frame(30)


def earlier():
    return frame(-1)


def other_camera():
    return frame(1, camera=CameraIntrinsics(310.0, 310.0, 159.5, 119.5, 320, 240))


@pytest.mark.parametrize("make", [gone, later, earlier, other_camera])
def test_where_masks_cannot_be_carried_the_frame_is_detected(make):
    spy, segmenter = propagating(5)
    segmenter.segment(frame(0))
    shown = make()
    segmenter.segment(shown)
    assert spy.detected == [frame(0).stamp_ns, shown.stamp_ns]


@pytest.mark.parametrize("size", [(1, 640), (8, 8), (16, 12), (33, 640), (640, 1), (20, 20)])
def test_images_of_any_size_are_segmented(size):
    _, segmenter = propagating(3)
    labels = np.zeros(size, np.uint16)
    labels[-1:, -1:] = MUG  # in the last row, which a reduced image may lack
    camera = CameraIntrinsics(300.0, 300.0, 0.0, 0.0, size[1], size[0])
    for k in range(4):
        rgb, depth = np.zeros((*size, 3), np.uint8), np.ones(size, np.float32)
        image = RgbdFrame(rgb, depth, camera, 10**9 + k * FRAME_NS, "camera", labels)
        assert [found.category for found in segmenter.segment(image)] == ["mug"]


def test_nothing_detected_is_nothing_until_the_next_detection():
    spy, segmenter = propagating(3)
    empty = frame(0, mug=None)
    assert list(segmenter.segment(empty)) == []
    assert list(segmenter.segment(frame(1))) == list(segmenter.segment(frame(2))) == []
    assert len(segmenter.segment(frame(3))) == 1 and len(spy.detected) == 2


def test_rejections_belong_to_detected_frames():
    _, segmenter = propagating(2)
    shown = frame(0)
    shown.labels[:5, :5] = 99
    assert [type(item) for item in segmenter.segment(shown)] == [InstanceMask, Rejection]
    assert [type(item) for item in segmenter.segment(frame(1))] == [InstanceMask]


def test_new_settings_begin_with_a_detection():
    spy, segmenter = propagating(5)
    segmenter.segment(frame(0))
    segmenter.reconfigure(SegmentationConfig(backend="labels", every_n=5, max_instances=1))
    assert len(segmenter.segment(frame(1, can=(30, 20)))) == 1 and len(spy.detected) == 2


def test_only_the_last_detected_frame_is_kept():
    _, segmenter = propagating(3)
    kept = []
    for k in range(30):
        shown = frame(k)
        kept.append(weakref.ref(shown.depth))
        segmenter.segment(shown)
        del shown
    gc.collect()
    assert sum(reference() is not None for reference in kept) == 1


def test_the_factory_adds_nothing_where_every_frame_is_detected():
    assert isinstance(create_segmenter(SegmentationConfig(backend="labels"), NOCS_CATEGORIES), LabelSegmenter)
    resting = create_segmenter(SegmentationConfig(backend="labels", every_n=3), NOCS_CATEGORIES)
    assert isinstance(resting, PropagatingSegmenter)
