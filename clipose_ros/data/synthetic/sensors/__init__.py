"""Physical models of depth cameras: stereo, structured light, time of flight, and registration to a colour camera."""
