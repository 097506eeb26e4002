"""Multi-object tracking: association, SE(3) smoothing, covariance and track lifetimes."""
