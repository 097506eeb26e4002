"""Live view in the browser: ``scene``, ``status`` and ``controls`` know neither ROS nor the page."""
