"""Identities over time: association, SE(3) smoothing, uncertainty and lifetimes."""
