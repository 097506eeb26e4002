"""Composites: cut-outs pasted into photographs, panoramas and rendered tables, with shadow, light and occlusion."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.segmenter_training.cut_outs import CutOut
from clipose_ros.types import LABEL_BASE, BoolArray, FloatArray, LabelArray

MIN_VISIBLE = 0.4
"""A cut-out is not pasted where it would leave less of another object visible, or of itself inside the image."""
OPAQUE = 0.5
"""Opacity from which a pixel belongs to the pasted object."""


class Canvas:
    """An image that cut-outs are pasted into.

    Args:
        image: ``(H, W, 3)`` float32 sRGB in [0, 1].
        labels: ``(H, W)`` category id x 1000 + instance; 0 is the background.
        categories: Categories of the labels.
    """

    def __init__(self, image: FloatArray, labels: LabelArray, categories: CategorySet) -> None:
        self.image, self.labels, self._categories = image, labels, categories
        numbers, counts = np.unique(labels[labels > 0], return_counts=True)
        self._areas = dict(zip(numbers.tolist(), counts.tolist(), strict=True))

    def next_label(self, category: str) -> int:
        """Return an unused label of a category; 0 for an empty name."""
        used = max((label % LABEL_BASE for label in self._areas), default=0)
        return self._categories[category].id * LABEL_BASE + used + 1 if category else 0

    def paste(self, cut_out: CutOut, left: int, top: int, rng: np.random.Generator) -> bool:
        """Paste a cut-out unless it would hide another object or lie mostly outside.

        Args:
            cut_out: The object.
            left: Column of its left side, pixels; may be outside the image.
            top: Row of its upper side, pixels; may be outside the image.
            rng: Random generator of shadow and light.

        Returns:
            True if the cut-out was pasted.
        """
        alpha, rgb = self._spread(cut_out, left, top)
        solid: BoolArray = alpha > OPAQUE
        if solid.sum() < max(MIN_VISIBLE * (cut_out.alpha > OPAQUE).sum(), 1):
            return False
        for label, area in self._areas.items():
            if ((self.labels == label) & ~solid).sum() < MIN_VISIBLE * area:
                return False
        image = self.image * (1.0 - self._draw_shadow(alpha, rng))[..., None]
        rgb = self._match_light(rgb, solid, rng)
        self.image = (image * (1.0 - alpha[..., None]) + rgb * alpha[..., None]).astype(np.float32)
        label = self.next_label(cut_out.category)
        self.labels = np.where(solid, label, self.labels).astype(np.uint16)
        if label:
            self._areas[label] = int(solid.sum())
        return True

    def _spread(self, cut_out: CutOut, left: int, top: int) -> tuple[FloatArray, FloatArray]:
        """Return opacity ``(H, W)`` and colour ``(H, W, 3)`` of a cut-out at its place in the canvas."""
        height, width = self.labels.shape
        alpha, rgb = np.zeros((height, width), np.float32), np.zeros((height, width, 3), np.float32)
        h, w = cut_out.alpha.shape
        rows = slice(max(top, 0), min(top + h, height))
        columns = slice(max(left, 0), min(left + w, width))
        if rows.start < rows.stop and columns.start < columns.stop:
            inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
            alpha[rows, columns], rgb[rows, columns] = cut_out.alpha[inside], cut_out.rgb[inside]
        return alpha, rgb

    def _draw_shadow(self, alpha: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return the darkening ``(H, W)`` by the shadow of an object: a contact shadow and a cast shadow."""
        rows, columns = np.nonzero(alpha > OPAQUE)
        h, w = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
        contact, cast = np.zeros_like(alpha), np.zeros_like(alpha)
        foot = (int(columns.mean()), int(rows.max()) - h // 20)
        cv2.ellipse(contact, foot, (w // 2 + 1, max(h // 12, 1)), 0, 0, 360, 1.0, -1)
        contact = np.asarray(cv2.GaussianBlur(contact, (0, 0), max(0.04 * w, 0.7)))
        # The silhouette, sheared about its foot and flattened.
        shear, flat = rng.uniform(-1.2, 1.2), rng.uniform(0.15, 0.5)
        bottom = float(rows.max())
        M = np.array([[1.0, -shear * flat, shear * flat * bottom], [0.0, flat, bottom * (1 - flat)]])
        cast = np.asarray(cv2.warpAffine(alpha, M, alpha.shape[::-1]))
        cast = np.asarray(cv2.GaussianBlur(cast, (0, 0), max(rng.uniform(0.02, 0.12) * w, 0.7)))
        dark = rng.uniform(0.2, 0.75) * contact + (rng.uniform() < 0.6) * rng.uniform(0.1, 0.5) * cast
        return np.asarray(np.clip(dark, 0.0, 0.85), dtype=np.float32)

    def _match_light(self, rgb: FloatArray, solid: BoolArray, rng: np.random.Generator) -> FloatArray:
        """Return the colours scaled part of the way to the light of the image around the object."""
        around = cv2.dilate(solid.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
        local = self.image[around & ~solid] if (around & ~solid).any() else self.image.reshape(-1, 3)
        factor = (local.mean(axis=0) + 0.25) / (rgb[solid].mean(axis=0) + 0.25)
        strength = rng.uniform(0.0, 0.5)
        matched = rgb * np.clip(factor, 0.4, 1.8) ** strength * np.exp(rng.normal(0.0, 0.08))
        return np.asarray(np.clip(matched, 0.0, 1.0), dtype=np.float32)
