"""Parametric shapes, textures and mesh files of the objects in synthetic scenes."""
