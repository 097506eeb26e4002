"""Evaluation of poses: metrics, runs over data, result files and reports."""
