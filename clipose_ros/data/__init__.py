"""Training data: synthetic scenes, NOCS datasets, shards of clouds, sampling, prompts and folders of RGB-D frames."""
