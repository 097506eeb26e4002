"""Reporting of a training run: log file, console, TensorBoard, box images."""
