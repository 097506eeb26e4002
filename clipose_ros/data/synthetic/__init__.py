"""Synthetic data: table scenes, a ray caster, a depth noise model and the clouds made from them."""
