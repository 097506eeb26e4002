"""The shipped detector finds what the demo shows."""

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.node_settings import read_parameters
from clipose_ros.config import PoseNodeConfig, nest
from clipose_ros.data.synthetic.sequence import SequenceConfig, render_sequence
from clipose_ros.resources import config_path
from clipose_ros.segmentation import create_segmenter
from clipose_ros.types import LABEL_BASE


def test_most_objects_of_a_demo_table_are_found_with_their_category() -> None:
    pytest.importorskip("ultralytics")
    settings = {**read_parameters(config_path("detector.yaml")), **read_parameters(config_path("demo_detector.yaml"))}
    segmenter = create_segmenter(PoseNodeConfig.from_mapping(nest(settings)).segmentation, NOCS_CATEGORIES, "cpu")
    objects = found = 0
    for seed in (500, 501, 502):
        frame = next(render_sequence(SequenceConfig(seed=seed, frames=2, workers=1))).frame
        assert frame.labels is not None
        instances = segmenter.segment(frame)
        for label in np.unique(frame.labels[frame.labels > 0]).tolist():
            category = NOCS_CATEGORIES.by_id(label // LABEL_BASE)
            truth = frame.labels == label
            if category is None or np.count_nonzero(truth) < 400:
                continue
            objects += 1
            for instance in instances:
                x0, y0, x1, y1 = instance.box
                mask = np.zeros_like(truth)
                mask[y0:y1, x0:x1] = instance.mask
                overlap = np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth)
                if instance.category == category.name and overlap > 0.5:
                    found += 1
                    break
    assert objects > 10 and found / objects > 0.5, f"{found} of {objects}"
