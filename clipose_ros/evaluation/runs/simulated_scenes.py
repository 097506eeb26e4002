"""The full pose pipeline on views of simulated scenes: segmenter, clouds, network and pose checks, with the truths.

An object is evaluated if at least a quarter of its outline is visible and it covers at least 200 pixels, the rule by
which ``generate`` extracts clouds. Less visible objects and objects of other categories are ignored: they do not count
as missed, and a mask that lies mostly on such objects is left out together with its pose.
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
from clipose_ros.evaluation.metrics.detection_recall import DetectionRecall, count_detections
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.types import LABEL_BASE, BoolArray, FrameResult, InstanceMask, PoseEstimate

_MIN_IGNORED_RATIO = 0.5  # a mask with more of its pixels on ignored objects is left out


@dataclass(frozen=True, slots=True, eq=False)
class PosedView:
    """Result of the pipeline on one view.

    Attributes:
        frame: Truths and the poses that the node would publish. Scores are those of ``PoseEstimate``.
        recall: Detection and pose counts by category.
        latency_ms: Wall time from image to poses, segmentation included, milliseconds.
    """

    frame: NocsFrame
    recall: Mapping[str, DetectionRecall]
    latency_ms: float


def pose_views(views: Iterable[SceneView], pipeline: PosePipeline, categories: CategorySet) -> Iterator[PosedView]:
    """Run the pipeline on views, each independently of the others.

    Args:
        views: Views with label images.
        pipeline: Pipeline as the pose node runs it.
        categories: Evaluated categories; their ids are those of the label images and the class ids of the frames.

    Raises:
        SegmentationError: The segmenter cannot process a view.
    """
    for view in views:
        result = pipeline.process(view.frame)
        truths, masks, ignored = _evaluated_objects(view, categories)
        posed = [
            (pose, cloud.instance)
            for pose, cloud in zip(result.poses, result.clouds, strict=True)
            if pose.category in categories and not _lies_on_ignored(ignored, cloud.instance)
        ]
        frame = NocsFrame(
            view.name,
            _nocs_objects(truths, masks, categories),
            np.array([truth.handle_visible for truth in truths], dtype=bool),
            _nocs_objects([pose for pose, _ in posed], [instance for _, instance in posed], categories),
            np.array([pose.score for pose, _ in posed], dtype=np.float64),
        )
        detections = [mask for mask in _detections(result) if not _lies_on_ignored(ignored, mask)]
        times = result.times
        latency_ms = times.segmentation_ms + times.cloud_ms + times.network_ms
        yield PosedView(frame, count_detections(frame, detections, masks, categories), latency_ms)


def evaluated_categories(object_library: ObjectLibrary, known: CategorySet, enabled: Sequence[str] = ()) -> CategorySet:
    """Return the categories that a model is evaluated on.

    Args:
        object_library: Objects of the simulated scenes.
        known: Categories of the model.
        enabled: Names of the categories that are posed; all if empty.

    Raises:
        ConfigError: The model lacks a category of the scenes, or has it under another id.
    """
    for name in object_library.drawable:
        if name not in known or known[name].id != object_library.categories[name].id:
            known_names = ", ".join(f"{category.id} {category.name}" for category in known)
            raise ConfigError(
                f"the scenes hold category '{name}' with id {object_library.categories[name].id}, but the model has "
                f"{known_names}: give --categories the file that the model was trained with"
            )
    return CategorySet(tuple(category for category in known if not enabled or category.name in enabled))


def _evaluated_objects(
    view: SceneView, categories: CategorySet
) -> tuple[list[ObjectTruth], list[InstanceMask], BoolArray]:
    """Return the sufficiently visible objects, their visible pixels, and the pixels ``(H, W)`` of all other objects."""
    labels = view.frame.labels
    assert labels is not None  # simulated views have labels
    truths, masks, ignored = [], [], labels > 0
    for truth in (truth for truth in view.truths if truth.category in categories):
        pixels = labels == categories[truth.category].id * LABEL_BASE + truth.instance
        mask = InstanceMask.from_full(truth.category, 1.0, pixels)
        if mask and truth.visible_fraction >= MIN_VISIBLE and np.count_nonzero(mask.mask) >= MIN_OBJECT_PIXELS:
            truths.append(truth)
            masks.append(mask)
            ignored &= ~pixels
    return truths, masks, ignored


def _lies_on_ignored(ignored: BoolArray, mask: InstanceMask) -> bool:
    """Return True if most pixels of a mask are pixels of ignored objects."""
    x0, y0, x1, y1 = mask.box
    return bool(ignored[y0:y1, x0:x1][mask.mask].sum() > _MIN_IGNORED_RATIO * np.count_nonzero(mask.mask))


def _detections(result: FrameResult) -> list[InstanceMask]:
    """Return all masks of the segmenter, with or without a pose."""
    rejected = [rejection.instance for rejection in result.rejections if rejection.instance is not None]
    return [cloud.instance for cloud in result.clouds] + rejected


def _nocs_objects(
    objects: Sequence[ObjectTruth | PoseEstimate], masks: Sequence[InstanceMask], categories: CategorySet
) -> NocsObjects:
    """Convert truths or poses to NOCS objects, with 2D boxes as top, left, bottom, right."""
    boxes = [(mask.box[1], mask.box[0], mask.box[3], mask.box[2]) for mask in masks]
    ids = [categories[item.category].id for item in objects]
    return NocsObjects.from_poses(
        ids, [item.T_camera_object for item in objects], [item.size for item in objects], boxes
    )
