"""NOCS datasets CAMERA25 and REAL275: file formats, ground truth, object models and frames."""
