"""Which pixels belong to which object: one protocol, three backends.

``create_segmenter`` builds the one that the configuration names. ``yolo`` runs any model that ultralytics loads,
``labels`` reads a label image as simulators give it, ``mask_rcnn`` runs torchvision's Mask R-CNN, the detector of the
paper. A backend's libraries are imported only when that backend is built.
"""

from clipose_ros.segmentation.base import Segmenter
from clipose_ros.segmentation.factory import create_segmenter

__all__ = ["Segmenter", "create_segmenter"]
