"""Figures of the worst poses: true and predicted boxes over the image or the point cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.evaluation.metrics.nocs_protocol import MatchedPair
from clipose_ros.evaluation.runs.stored_clouds import PosedClouds, cloud_name
from clipose_ros.geometry.boxes import BOX_EDGES, BOX_SIGNS, box_corners
from clipose_ros.types import ByteArray, CameraIntrinsics, FloatArray

TRUE_COLOUR, ESTIMATE_COLOUR = "#0969da", "#d4580a"
_COLUMNS = 4
_FRONT = np.flatnonzero(BOX_SIGNS[:, 0] > 0)
_MAX_REACH = 2.5
"""Largest half width of a panel, in half extents of the true box."""


@dataclass(frozen=True, slots=True, eq=False)
class FailureImage:
    """Colour image behind the boxes of a failure case.

    Attributes:
        rgb: ``(H, W, 3)`` uint8.
        intrinsics: Intrinsics of its camera.
    """

    rgb: ByteArray
    intrinsics: CameraIntrinsics


@dataclass(frozen=True, slots=True, eq=False)
class FailureCase:
    """One pose of a figure.

    Attributes:
        caption: Caption of two lines.
        corners_true: ``(8, 3)`` corners of the true box, metres, camera frame.
        corners_estimate: ``(8, 3)`` corners of the predicted box; not finite without a prediction.
        background: Image or points ``(N, 3)`` drawn behind the boxes; None for neither.
        has_front: Whether the fronts (+x) of the boxes are marked; False for axially symmetric objects.
    """

    caption: str
    corners_true: FloatArray
    corners_estimate: FloatArray
    background: FailureImage | FloatArray | None = None
    has_front: bool = False


def worst_pairs(pairs: Iterable[MatchedPair], count: int) -> list[MatchedPair]:
    """Return the pairs with the largest errors in descending order, ranked by max(degrees / 10, centimetres / 5)."""
    return sorted(pairs, key=lambda p: _severity(p.rotation_deg, p.translation_cm), reverse=True)[:count]


def cases_of_pairs(
    pairs: Iterable[MatchedPair],
    categories: CategorySet,
    load_image: Callable[[str], FailureImage] | None = None,
    count: int = 12,
) -> list[FailureCase]:
    """Return the cases of the worst pairs.

    Args:
        pairs: Matched predictions and truths.
        categories: Categories with their symmetries.
        load_image: Function that loads the image of a frame by name; without it no image is shown.
        count: Number of cases.
    """
    return [
        FailureCase(
            f"{p.category}: {p.rotation_deg:.0f}°, {p.translation_cm:.1f} cm, IoU {p.iou:.2f}\n{p.frame[-38:]}",
            p.corners_true,
            p.corners_estimate,
            load_image(p.frame) if load_image else None,
            not categories[p.category].symmetry.axial_y,
        )
        for p in worst_pairs(pairs, count)
    ]


def cases_of_clouds(posed: PosedClouds, count: int = 12) -> list[FailureCase]:
    """Return the cases of the worst clouds of each category, equally many of each."""
    severity = np.array([_severity(e.rotation_deg, e.translation_cm) for e in posed.errors])
    by_category: dict[str, list[int]] = {}
    for row in np.argsort(-severity, kind="stable"):
        by_category.setdefault(posed.errors[row].category, []).append(int(row))
    per_category = max(1, count // max(len(by_category), 1))
    chosen = [row for rows in by_category.values() for row in rows[:per_category]]
    return [_case_of_cloud(posed, row) for row in sorted(chosen, key=lambda row: -severity[row])]


def _case_of_cloud(posed: PosedClouds, row: int) -> FailureCase:
    samples, estimate, error = posed.samples, posed.estimates[row], posed.errors[row]
    handle = "" if samples.handle_visible[row] else ", handle hidden"
    return FailureCase(
        f"{cloud_name(row)}, {error.category}{handle}: {error.rotation_deg:.0f}°, {error.translation_cm:.1f} cm\n"
        f"{samples.visible_fraction[row]:.0%} visible, {np.linalg.norm(samples.T_camera_object[row, :3, 3]):.2f} m",
        box_corners(samples.T_camera_object[row].astype(np.float64), samples.size[row].astype(np.float64)),
        box_corners(estimate.T_camera_object, estimate.size),
        samples.points[row],
        not samples.categories[error.category].symmetry.axial_y,
    )


def _severity(rotation_deg: float, translation_cm: float) -> float:
    worse = max(rotation_deg / 10.0, translation_cm / 5.0)
    return worse if np.isfinite(worse) else np.inf


def draw_cases(cases: Sequence[FailureCase]) -> Any:
    """Return a matplotlib figure of all cases. Cases with points have two panels: from the camera and the right."""
    from matplotlib.figure import Figure

    views = [view for case in cases for view in _views(case)]
    rows = -(-len(views) // _COLUMNS)
    figure = Figure(figsize=(11.0, 3.0 * rows), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, (case, title, project) in zip(panels, views, strict=False):
        _draw(panel, case, project)
        panel.set_title(title, fontsize=8)
    return figure


Projection = Callable[[FloatArray], FloatArray]


def _views(case: FailureCase) -> list[tuple[FailureCase, str, Projection]]:
    """Return the panels of a case: case, title and projection ``(N, 3) -> (N, 2)`` with x right and y down."""
    if isinstance(case.background, FailureImage):
        camera = case.background.intrinsics

        def project_to_pixels(points: FloatArray) -> FloatArray:
            return _perspective(points) * [camera.fx, camera.fy] + [camera.cx, camera.cy]

        return [(case, case.caption, project_to_pixels)]
    views: list[tuple[FailureCase, str, Projection]] = [(case, case.caption, _perspective)]
    if case.background is not None:
        views.append((case, "from the right", lambda points: np.asarray(points[:, [2, 1]])))
    return views


def _perspective(points: FloatArray) -> FloatArray:
    """Return normalized image coordinates ``(N, 2)`` of points ``(N, 3)``."""
    return np.asarray(points[:, :2] / points[:, 2:].clip(min=1e-3))  # a wrong box may extend behind the camera


def _draw(panel: Any, case: FailureCase, project: Projection) -> None:
    true, estimate = project(case.corners_true), project(case.corners_estimate)
    low, high = true.min(axis=0), true.max(axis=0)
    centre, reach = (low + high) / 2.0, (high - low).max() / 2.0
    if np.isfinite(estimate).all():
        needed = np.abs(np.concatenate([true, estimate]) - centre).max()
        reach = min(max(reach, needed), _MAX_REACH * reach)
    if isinstance(case.background, FailureImage):
        panel.imshow(case.background.rgb)
    elif case.background is not None:
        panel.scatter(*project(case.background).T, c=case.background[:, 2], s=2.0, cmap="Greys_r", linewidths=0)
    for corners, colour in ((true, TRUE_COLOUR), (estimate, ESTIMATE_COLOUR)):
        for number, edge in enumerate(BOX_EDGES):
            panel.plot(*corners[edge].T, color=colour, linewidth=2.2 if number < 4 else 1.0, solid_capstyle="round")
        if case.has_front:
            panel.plot(*np.array([corners.mean(axis=0), corners[_FRONT].mean(axis=0)]).T, color=colour, linewidth=2.2)
    panel.set_aspect("equal")
    panel.set(xlim=centre[0] + 1.15 * reach * np.array([-1, 1]), ylim=centre[1] + 1.15 * reach * np.array([1, -1]))
