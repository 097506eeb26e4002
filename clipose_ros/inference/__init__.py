"""From masks to poses: clouds, the network behind NumPy, plausibility, and the pipeline that joins them for a frame."""
