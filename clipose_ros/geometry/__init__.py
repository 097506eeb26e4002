"""Camera projection, rigid transforms, rotations from axes, boxes, symmetry and similarity fits, in NumPy float64.

Names of points contain their frame: ``points_camera``. ``T_a_b`` maps coordinates of frame b to frame a, so adjacent
frames cancel in a product: ``T_a_c = T_a_b @ T_b_c``.
"""
