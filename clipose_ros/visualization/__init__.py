"""Pictures of results: NumPy in, NumPy out."""
