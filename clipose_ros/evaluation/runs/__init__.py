"""Evaluation runs: a predictor on stored clouds, NOCS images, simulated scenes or recorded sequences."""
