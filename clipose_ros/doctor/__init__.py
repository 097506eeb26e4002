"""Checks of an installation, its middleware and its camera, for people who look for a fault and for bug reports."""
