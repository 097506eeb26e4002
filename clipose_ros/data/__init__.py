"""Synthetic data: parametric shapes, table scenes, a ray caster, a depth-sensor model and cloud samples."""
