"""Duration of the whole pipeline of a frame by number of objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice

from clipose_ros.benchmark.inputs import BenchmarkInputs
from clipose_ros.benchmark.rows import PipelineRow
from clipose_ros.benchmark.timing import time_call
from clipose_ros.config import NetworkConfig, PoseNodeConfig, SegmentationConfig
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.inference.predictor import Predictor
from clipose_ros.segmentation.base import Segmenter
from clipose_ros.segmentation.labels import LabelSegmenter
from clipose_ros.types import InstanceMask, Rejection, RgbdFrame

OBJECTS = (1, 2, 3, 5, 10)
"""Measured numbers of objects."""


class RepeatedObjects:
    """Segmenter that returns a given number of the instances of another one; instances are repeated as needed."""

    def __init__(self, segmenter: Segmenter, count: int) -> None:
        self._segmenter, self._count = segmenter, count

    def segment(self, frame: RgbdFrame) -> Sequence[InstanceMask | Rejection]:
        """Segment a frame, see ``segmentation.base.Segmenter``."""
        return list(islice(cycle(self._segmenter.segment(frame)), self._count))

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Apply settings, see ``segmentation.base.Segmenter``."""
        self._segmenter.reconfigure(config)


def time_pipeline(
    network: NetworkConfig, inputs: BenchmarkInputs, objects: Sequence[int], budget_s: float
) -> Iterator[PipelineRow]:
    """Measure a frame with each number of objects and yield each result.

    Args:
        network: Settings of the network.
        inputs: Rendered frame.
        objects: Numbers of objects.
        budget_s: Time for each measurement, seconds.
    """
    segmentation = SegmentationConfig(backend="labels", max_instances=max(objects))
    config = replace(PoseNodeConfig(), network=network, segmentation=segmentation)
    predictor = Predictor.from_config(network)
    predictor.warm_up(config.cloud.points)
    labels = LabelSegmenter(segmentation, predictor.categories)
    for count in objects:
        pipeline = PosePipeline(RepeatedObjects(labels, count), predictor, config)
        timing = time_call(partial(pipeline.process, inputs.frame), budget_s)
        yield PipelineRow(count, network.engine, predictor.device, timing)
