"""Instance segmentation: one protocol, and backends that are chosen by name.

``create_segmenter`` builds the backend that the configuration names. ``yolo`` runs any segmentation model that
ultralytics loads, ``labels`` reads a label image of a simulator, ``mask_rcnn`` runs torchvision's Mask R-CNN, the
detector of the paper. Other packages add backends by entry points, see ``docs/how-to/own-segmenter.md``. The libraries
of a backend are imported only when that backend is built.
"""

from clipose_ros.segmentation.base import Segmenter, SegmenterSpec
from clipose_ros.segmentation.factory import create_segmenter

__all__ = ["Segmenter", "SegmenterSpec", "create_segmenter"]
