"""Category-level 6D object pose and size from RGB-D, for ROS 2 and without it."""
