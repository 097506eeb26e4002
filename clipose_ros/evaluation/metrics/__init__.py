"""Metrics: pose accuracy, average precision over 3D IoU, jitter, detection recall, latency."""
