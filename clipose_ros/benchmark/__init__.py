"""Benchmarks of network, stages of a frame, start-up and training step; results as tables, plot and page."""
