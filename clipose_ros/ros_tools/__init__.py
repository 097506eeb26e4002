"""ROS programs for development: a synthetic camera, a player of RGB-D folders, an observer of topics."""
