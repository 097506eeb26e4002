"""Another frame moves poses and covariances, nothing else."""

import numpy as np

from clipose_ros.geometry.se3 import exp_se3, exp_so3, make_transform
from clipose_ros.tracking.reference_frames import transform_tracks
from clipose_ros.types import TrackedObject


def test_pose_and_covariance_are_re_expressed():
    covariance = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    track = TrackedObject(3, "mug", exp_se3([1, 2, 3, 0.1, 0.2, 0.3]), np.ones(3), 0.5, covariance, 1.5, True)
    T = make_transform(exp_so3([0.0, 0.0, np.pi / 2]), [0.0, 0.0, 1.0])
    (moved,) = transform_tracks([track], T)
    assert np.allclose(moved.T_frame_object, T @ track.T_frame_object)
    assert np.allclose(moved.covariance, np.diag([2.0, 1.0, 3.0, 5.0, 4.0, 6.0]))
    assert (moved.name, moved.score, moved.age_s, moved.seen) == ("mug_3", 0.5, 1.5, True)
    assert np.allclose(track.covariance, covariance) and transform_tracks([], T) == []
