"""Stand-in for the distribution's ``cv_bridge``: ``sensor_msgs`` images as NumPy arrays and back.

Same import names, signatures and encodings as documented there; written on NumPy, so that it runs with NumPy 2.
"""

from cv_bridge.core import CvBridge, CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
