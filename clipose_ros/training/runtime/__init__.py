"""Process-wide settings of a training run: ranks, precision, CPU tuning, signals."""
