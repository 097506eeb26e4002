"""Training of segmentation models on synthetic images or on photographs."""
