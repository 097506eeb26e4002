"""Grasps on simulated tables: planned with true or with estimated poses, judged by the true surfaces.

Each scene is seen by one camera with a noisy depth sensor. The masks are the true ones. Estimated poses are those of
this one frame, as ``~/detect_once`` publishes them, and the plane of the table is fitted to the depth image. The robot
stands at the edge of the table, below the camera.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import PoseNodeConfig, SegmentationConfig
from clipose_ros.data.synthetic.depth_noise import add_depth_noise
from clipose_ros.data.synthetic.renderer import ObjectTruth, RenderedFrame, Renderer
from clipose_ros.data.synthetic.samples import MIN_OBJECT_PIXELS, MIN_VISIBLE
from clipose_ros.data.synthetic.scenes import Scene, SceneConfig, make_scene
from clipose_ros.data.synthetic.sequence import default_intrinsics
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.evaluation.metrics.grasp_success import (
    GraspCounts,
    GraspOutcome,
    GraspWorld,
    judge_grasp,
    sample_surface,
)
from clipose_ros.geometry.camera import backproject
from clipose_ros.geometry.se3 import invert_transform, transform_points
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.manipulation.grasp_planner import GraspLimits, GraspScene, plan_grasps
from clipose_ros.manipulation.grasp_rules import GraspRules
from clipose_ros.manipulation.plane import Plane, find_obstacles, fit_table
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import LABEL_BASE, FloatArray, RgbdFrame, TrackedObject

POINTS = 8000
"""Points on the surface of each object."""
CROWDED = SceneConfig(objects_min=4, objects_max=7, lying=0.15, tilted=0.0, stacked=0.0, distractors_max=0)
"""Tables of the simulation. There are no objects without a category, which the planner does not know of."""
_STREAM = 23
_CERTAIN = np.diag([1e-6] * 3 + [1e-4] * 3)
"""Covariance of true poses: 1 mm and 0.6 degrees."""


@dataclass(frozen=True, slots=True, eq=False)
class GraspView:
    """A rendered scene.

    Attributes:
        scene: The objects.
        rendered: View without noise, with the truths.
        frame: Measured depth and true labels.
        T_world_camera: ``(4, 4)`` pose of the camera; the table is the plane z = 0 of the world.
    """

    scene: Scene
    rendered: RenderedFrame
    frame: RgbdFrame
    T_world_camera: FloatArray

    @property
    def truths(self) -> list[ObjectTruth]:
        """Return the sufficiently visible objects."""
        labels, counts = np.unique(self.rendered.labels, return_counts=True)
        pixels = dict(zip(labels.tolist(), counts.tolist(), strict=True))
        return [
            truth
            for truth in self.rendered.truths
            if truth.visible_fraction >= MIN_VISIBLE and pixels.get(label_of(truth), 0) >= MIN_OBJECT_PIXELS
        ]


def label_of(truth: ObjectTruth) -> int:
    """Return the value of an object in the label image."""
    return NOCS_CATEGORIES[truth.category].id * LABEL_BASE + truth.instance


def render_grasp_view(seed: int, index: int) -> GraspView:
    """Render a scene; equal arguments give equal scenes."""
    rng = np.random.default_rng((_STREAM, seed, index))
    scene = make_scene(rng, CROWDED)
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(30.0, 60.0))
    direction = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    T_world_camera = look_at(rng.uniform(0.7, 1.0) * direction, np.zeros(3))
    rendered, frame = measure_view(Renderer(scene), T_world_camera, rng)
    return GraspView(scene, rendered, frame, T_world_camera)


def measure_view(
    renderer: Renderer, T_world_camera: FloatArray, rng: np.random.Generator
) -> tuple[RenderedFrame, RgbdFrame]:
    """Render a view of a scene, without noise and as a depth sensor measures it, with true labels."""
    intrinsics = default_intrinsics(640, 480)
    rendered = renderer.render(T_world_camera, intrinsics, colour=False, shadow_rays=0)
    depth = add_depth_noise(rendered.depth, rendered.cos_incidence, rendered.albedo, intrinsics.fx, rng)
    return rendered, RgbdFrame(rendered.rgb, depth, intrinsics, stamp_ns=1, labels=rendered.labels)


def true_objects(view: GraspView) -> dict[int, TrackedObject]:
    """Return the visible objects with their true poses in the camera frame, by label."""
    return {
        label_of(truth): TrackedObject(
            truth.instance, truth.category, truth.T_camera_object, truth.size, 1.0, _CERTAIN, 0.0, seen=True
        )
        for truth in view.truths
    }


def estimated_objects(view: GraspView, pipeline: PosePipeline) -> dict[int, TrackedObject]:
    """Return the objects with the poses that a pipeline estimates from the one frame, in the camera frame, by label."""
    tracker = Tracker(PoseNodeConfig().tracking, pipeline.predictor.categories)
    tracks = tracker.update(pipeline.process(view.frame), 1, np.eye(4), confirm=True)
    wanted, found = {label_of(truth) for truth in view.truths}, dict[int, TrackedObject]()
    for track in tracks:
        assert track.cloud is not None
        x0, y0, x1, y1 = track.cloud.instance.box
        labels = view.rendered.labels[y0:y1, x0:x1][track.cloud.instance.mask]
        label = int(np.bincount(labels).argmax())
        if label in wanted:
            found[label] = track
    return found


def grasp_pipeline(config: PoseNodeConfig) -> PosePipeline:
    """Load a pipeline that segments by label images."""
    return PosePipeline.from_config(
        replace(config, segmentation=SegmentationConfig(backend="labels", max_instances=50))
    )


def judge_view(
    view: GraspView, objects: Mapping[int, TrackedObject], scene: GraspScene, rules: GraspRules, limits: GraspLimits
) -> dict[int, GraspOutcome]:
    """Plan the grasps of a view and judge the best grasp of each visible object.

    Args:
        view: The view.
        objects: True or estimated objects of ``scene``, by label.
        scene: What the grasps are planned in, in the camera frame.
        rules: Gripper and rules.
        limits: Limits of the planner.

    Returns:
        The outcome of each visible object, by label.
    """
    T_camera_world = invert_transform(view.T_world_camera)
    sampled = _sample_surfaces(view, T_camera_world)
    labels = {item.name: label for label, item in objects.items()}
    outcomes = dict.fromkeys(map(label_of, view.truths), GraspOutcome.NO_GRASP)
    for grasp in plan_grasps(scene, rules, replace(limits, max_per_object=1)):
        label = labels[grasp.object_name]
        others = np.concatenate([np.empty((0, 3)), *(points for each, points in sampled.items() if each != label)])
        world = GraspWorld(sampled[label], others, Plane.from_frame(T_camera_world))
        outcomes[label] = judge_grasp(grasp, rules.gripper, world)
    return outcomes


def true_scene(view: GraspView, objects: Mapping[int, TrackedObject]) -> GraspScene:
    """Return the scene with the true table, without measured obstacles."""
    return GraspScene(
        list(objects.values()),
        Plane.from_frame(invert_transform(view.T_world_camera)),
        T_frame_robot=_robot_pose(view),
    )


def measured_scene(view: GraspView, objects: Mapping[int, TrackedObject]) -> GraspScene:
    """Return the scene with table and obstacles of the depth image, as ``grasp_node`` finds them."""
    known = list(objects.values())
    points = backproject(view.frame.depth, view.frame.intrinsics)[::4, ::4].reshape(-1, 3)
    table = fit_table(points, known)
    if table is None:  # the node publishes no grasps then
        return GraspScene([])
    return GraspScene(known, table, find_obstacles(points, table, known), _robot_pose(view))


def evaluate_grasps(
    scenes: int, seed: int, rules: GraspRules, limits: GraspLimits, pipeline: PosePipeline | None
) -> Iterator[dict[str, list[GraspOutcome]]]:
    """Judge the grasps of simulated scenes.

    Args:
        scenes: Number of scenes.
        seed: Seed of the scenes.
        rules: Gripper and rules.
        limits: Limits of the planner.
        pipeline: Estimates the poses; None for true poses and the true table.

    Yields:
        The outcomes of the objects of each scene, by category.
    """
    for index in range(scenes):
        view = render_grasp_view(seed, index)
        objects = true_objects(view) if pipeline is None else estimated_objects(view, pipeline)
        scene = true_scene(view, objects) if pipeline is None else measured_scene(view, objects)
        outcomes: dict[str, list[GraspOutcome]] = {}
        names = {label_of(item): item.category for item in view.truths}
        for label, outcome in judge_view(view, objects, scene, rules, limits).items():
            outcomes.setdefault(names[label], []).append(outcome)
        yield outcomes


def sum_outcomes(results: Sequence[Mapping[str, Sequence[GraspOutcome]]]) -> dict[str, GraspCounts]:
    """Return the outcomes of all scenes, by category in alphabetical order."""
    names = sorted({name for result in results for name in result})
    return {name: GraspCounts(tuple(o for result in results for o in result.get(name, ()))) for name in names}


def _robot_pose(view: GraspView) -> FloatArray:
    """Return the pose ``(4, 4)`` of the robot in the camera frame: on the table, below the camera."""
    T_world_robot = np.eye(4)
    T_world_robot[:2, 3] = view.T_world_camera[:2, 3]
    return invert_transform(view.T_world_camera) @ T_world_robot


def _sample_surfaces(view: GraspView, T_camera_world: FloatArray) -> dict[int, FloatArray]:
    """Return points ``(POINTS, 3)`` on the surface of each object in the camera frame, by label."""
    rng = np.random.default_rng(0)
    return {
        NOCS_CATEGORIES[item.object.category].id * LABEL_BASE + item.instance: transform_points(
            T_camera_world @ item.T_world_object,
            sample_surface(item.object.mesh.vertices, item.object.mesh.faces, POINTS, rng),
        )
        for item in view.scene.objects
    }
