"""Synthetic data: table scenes, ray-cast rendering, a depth sensor model and training clouds."""
