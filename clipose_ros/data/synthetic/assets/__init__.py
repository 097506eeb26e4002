"""Objects of synthetic scenes: shape generators, textures and mesh files."""
