"""The robot's whole pipeline on views of simulated tables: segmenter, clouds, network and checks, beside the truth.

An object is there when at least a quarter of its outline is visible, on at least 200 pixels: the rule by which
``generate`` takes clouds. What is seen of less, or is of another category than those judged, is neither asked for nor
held against anyone: a mask that lies mostly on such objects is left out, with its pose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.data.synthetic.assets.object_library import ObjectLibrary
from clipose_ros.data.synthetic.renderer import ObjectTruth
from clipose_ros.data.synthetic.samples import MIN_OBJECT_PIXELS, MIN_VISIBLE
from clipose_ros.data.synthetic.scene_views import SceneView
from clipose_ros.errors import ConfigError
from clipose_ros.evaluation.metrics.detection_recall import DetectionRecall, count_found
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.types import LABEL_BASE, BoolArray, FrameResult, InstanceMask, PoseEstimate

_MOSTLY = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class PosedView:
    """What became of a view.

    Attributes:
        frame: Truths, and the poses that the node would publish; scores are detection score times pose confidence.
        found: Counts by category.
        latency_ms: Wall time from image to poses, segmentation included.
    """

    frame: NocsFrame
    found: Mapping[str, DetectionRecall]
    latency_ms: float


def pose_views(views: Iterable[SceneView], pipeline: PosePipeline, categories: CategorySet) -> Iterator[PosedView]:
    """Run the pipeline on views; each is judged by itself.

    Args:
        views: With true labels.
        pipeline: As the node runs it.
        categories: Those that are judged; their ids are those of the labels and of the frames' classes.

    Raises:
        SegmentationError: The segmenter cannot use a view.
    """
    for view in views:
        result = pipeline.process(view.frame)
        truths, masks, hidden = _there(view, categories)
        posed = [
            (pose, cloud.instance)
            for pose, cloud in zip(result.poses, result.clouds, strict=True)
            if pose.category in categories and not _mostly_on(hidden, cloud.instance)
        ]
        frame = NocsFrame(
            view.name,
            _objects(truths, masks, categories),
            np.array([truth.handle_visible for truth in truths], dtype=bool),
            _objects([pose for pose, _ in posed], [instance for _, instance in posed], categories),
            np.array([pose.score for pose, _ in posed], dtype=np.float64),
        )
        detections = [mask for mask in _detections(result) if not _mostly_on(hidden, mask)]
        times = result.times
        latency_ms = times.segmentation_ms + times.cloud_ms + times.network_ms
        yield PosedView(frame, count_found(frame, detections, masks, categories), latency_ms)


def judged_categories(object_library: ObjectLibrary, known: CategorySet, enabled: Sequence[str] = ()) -> CategorySet:
    """The categories that a model can be judged on.

    Args:
        object_library: What is put on the tables.
        known: The model's categories.
        enabled: Names of those that are posed; all if there is none.

    Raises:
        ConfigError: The model does not know, or numbers otherwise, what is put on the tables.
    """
    for name in object_library.drawable:
        if name not in known or known[name].id != object_library.categories[name].id:
            ours = ", ".join(f"{category.id} {category.name}" for category in known)
            raise ConfigError(
                f"on the tables stands '{name}' with id {object_library.categories[name].id}, "
                f"but the model knows {ours}: give --categories the file that the model was trained with"
            )
    return CategorySet(tuple(category for category in known if not enabled or category.name in enabled))


def _there(view: SceneView, categories: CategorySet) -> tuple[list[ObjectTruth], list[InstanceMask], BoolArray]:
    """The objects that are visible enough, their visible pixels, and the pixels ``(H, W)`` of all others."""
    labels = view.frame.labels
    assert labels is not None  # simulated views have them
    truths, masks, hidden = [], [], labels > 0
    for truth in (truth for truth in view.truths if truth.category in categories):
        here = labels == categories[truth.category].id * LABEL_BASE + truth.instance
        mask = InstanceMask.from_full(truth.category, 1.0, here)
        if mask and truth.visible_fraction >= MIN_VISIBLE and np.count_nonzero(mask.mask) >= MIN_OBJECT_PIXELS:
            truths.append(truth)
            masks.append(mask)
            hidden &= ~here
    return truths, masks, hidden


def _mostly_on(pixels: BoolArray, mask: InstanceMask) -> bool:
    """Whether a mask lies mostly on some of an image's pixels."""
    x0, y0, x1, y1 = mask.box
    return bool(pixels[y0:y1, x0:x1][mask.mask].sum() > _MOSTLY * np.count_nonzero(mask.mask))


def _detections(result: FrameResult) -> list[InstanceMask]:
    """All that the segmenter found, whether it got a pose or not."""
    rejected = [rejection.instance for rejection in result.rejections if rejection.instance is not None]
    return [cloud.instance for cloud in result.clouds] + rejected


def _objects(
    things: Sequence[ObjectTruth | PoseEstimate], masks: Sequence[InstanceMask], categories: CategorySet
) -> NocsObjects:
    """Truths or poses, with the boxes of their pixels as top, left, bottom, right."""
    boxes = [(mask.box[1], mask.box[0], mask.box[3], mask.box[2]) for mask in masks]
    ids = [categories[thing.category].id for thing in things]
    return NocsObjects.from_poses(ids, [t.T_camera_object for t in things], [t.size for t in things], boxes)
