"""Drawing of results on NumPy images, and writing of videos and animations."""
