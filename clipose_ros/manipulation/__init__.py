"""Grasps of a parallel gripper and collision shapes, from poses, sizes and covariances. NumPy alone."""
