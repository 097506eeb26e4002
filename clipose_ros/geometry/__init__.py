"""Cameras, rigid motions, rotations from axes, boxes, symmetry and similarity fits, in NumPy float64.

Points carry their frame in their name; ``T_a_b`` maps coordinates of b into coordinates of a, so neighbours cancel.
"""
