"""What takes how long: network, stages of a frame, start-up, training step; figures as tables, plot and page."""
