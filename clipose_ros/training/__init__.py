"""Losses, schedule and the loop that makes a model."""
