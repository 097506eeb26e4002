"""Inference from masks to poses: point clouds, network predictor, pose checks, and the pipeline of a frame."""
