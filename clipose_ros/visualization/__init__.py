"""Drawing of results on NumPy images."""
