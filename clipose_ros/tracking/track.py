"""State of one tracked object and its update by measurements.

A track estimates position, rotation and size. The rotation that a network predicts is sometimes another one altogether:
front and back, upright and upside down, the handle on the other side. A track therefore holds several rotation
hypotheses, each with its own estimate and with the evidence of the measurements that agree with it. The best one is
published; a single contrary measurement does not change it.

An object at rest has no rate. Two successive measurements that contradict the state and agree with each other show
motion; one alone is an outlier. Slow motion shows as a slope of the last measurements. A moving object rests again when
its measurements of the last half second have no slope.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from clipose_ros.config import TrackingConfig
from clipose_ros.geometry.se3 import cross, exp_so3, log_so3, make_transform
from clipose_ros.geometry.symmetry import align_yaw, canonicalize_yaw
from clipose_ros.inference.rotation_correction import FREE_TURN
from clipose_ros.tracking.biased_filter import BIAS, RATE, VALUE, Estimate, NoiseVariance, ProcessNoise, ViewChange
from clipose_ros.tracking.covariance import pose_covariance
from clipose_ros.tracking.measurement_noise import VIEW_CORRELATION_RAD, MeasurementNoise, bias_correlation
from clipose_ros.tracking.slope import Slope, fit_slope
from clipose_ros.types import FloatArray, ObjectCloud, PoseEstimate

MATCH_RAD = math.radians(45.0)
"""Largest angle between a hypothesis and a measurement that supports it."""
MAX_HYPOTHESES = 4
MAX_EVIDENCE = 12.0
"""Largest evidence of a hypothesis, nats. It bounds the time in which new evidence turns a track."""
EVIDENCE_PER_FRAME = 0.2
"""Weight of the evidence of one measurement, because errors of successive frames are correlated."""
FORGETTING = 0.1
"""Part of a measurement's evidence that the hypotheses that it does not support lose."""
EVIDENCE_MARGIN = 0.5
"""Evidence by which another hypothesis must exceed the published one to replace it, nats."""
CONTRADICTION = 20.0
"""Squared Mahalanobis distance beyond which a measurement contradicts the state."""
AGREEMENT = 12.0
"""Squared Mahalanobis distance within which two measurements agree with each other."""
SIZE_STDS = 3.0
"""Standard deviations beyond which a measured size contradicts the estimate."""
REST_WINDOW_S = 0.5
"""Time over which a moving object must stand still to be at rest, seconds."""
REST_SLOPE, MOTION_SLOPE = 9.0, 42.0
"""Squared Mahalanobis lengths of the slopes of position or rotation: below the first a moving object rests, beyond the
second a resting object moves."""
OFFSET, INNOVATION = 24.0, 25.0
"""Squared Mahalanobis distances beyond which the mean of the last measurements shows that a resting object moves: from
its state, and from its state and bias."""
MOTION_WINDOWS_S = (0.25, 0.5)
"""Times over which a slope shows motion, seconds: the shorter for fast motion, the longer for slow motion."""
STEP_HITS = 3
"""Measurements whose mean shows a step."""
SLOWEST_M_S, SLOWEST_RAD_S = 0.05, math.radians(20.0)
"""Least standard deviations of the rates of a moving object."""
SIZE_HITS = 20
"""Successive measurements of a contrary size after which the next one is another object."""
SETTLED_HITS = 5
"""Measurements after which a track can be settled."""
SETTLED_PROBABILITY = 0.95
"""Probability of the published rotation from which a track can be settled."""
SETTLED_EVIDENCE = 3.0
"""Evidence of the published rotation from which a track can be settled, nats."""
_USUAL_SMOOTHING = 0.6
_DRIFT_M, _DRIFT_RAD = 0.0005, math.radians(0.3)  # of a resting object in one second, at the usual smoothing
_SCORE_DECAY_S = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """Pose of an object in one frame.

    Attributes:
        pose: Pose in the camera frame, size and confidences.
        cloud: Points of the object.
        T_tracking_object: ``(4, 4)`` pose in the tracking frame.
        camera: ``(3,)`` position of the camera in the tracking frame, metres.
        noise: Noise of this pose, one row.
        stamp_s: Time, seconds.
    """

    pose: PoseEstimate
    cloud: ObjectCloud
    T_tracking_object: FloatArray
    camera: FloatArray
    noise: MeasurementNoise
    stamp_s: float

    @property
    def position(self) -> FloatArray:
        """Return the position ``(3,)`` in the tracking frame, metres."""
        return self.T_tracking_object[:3, 3]


@dataclass(frozen=True, slots=True)
class MotionLimits:
    """Rates of moving objects and drift of resting ones, from the settings.

    Attributes:
        speed: Largest speed, m/s.
        turn: Largest rate of turn, rad/s.
        drift: Factor of the drift of resting objects.
    """

    speed: float
    turn: float
    drift: float

    @classmethod
    def from_config(cls, config: TrackingConfig) -> MotionLimits:
        """Return the limits of the settings; without smoothing the drift does not matter."""
        usual = _USUAL_SMOOTHING / (1.0 - _USUAL_SMOOTHING)
        drift = usual * (1.0 - config.smoothing) / max(config.smoothing, 1e-3)
        return cls(config.max_speed_m_s, math.radians(config.max_turn_deg_s), drift)


@dataclass(slots=True, eq=False)
class Hypothesis:
    """One rotation of an object, with the size that belongs to it.

    Attributes:
        R_tracking_object: ``(3, 3)``.
        rotation: ``(3,)`` filters of the turn about the object's axes, relative to ``R_tracking_object``; their values
            are 0 between updates.
        size: ``(3,)`` filters, metres.
        evidence: Sum of the evidence of the measurements that agree, nats.
    """

    R_tracking_object: FloatArray
    rotation: Estimate
    size: Estimate
    evidence: float = 0.0

    def residual(self, R_measured: FloatArray, axial: bool) -> FloatArray:
        """Return the turns ``(..., 3)`` from this rotation to others ``(..., 3, 3)``, about the object's axes."""
        return relative_turn(self.R_tracking_object, R_measured, axial)

    def contradicts_size(self, measured: Measurement) -> bool:
        """Return True if a measured size cannot be that of this hypothesis. Width and depth may be exchanged."""
        expected, found = (_sort_sides(values) for values in (self.size.value, measured.pose.size))
        variance = _sort_sides(self.size.variance + measured.noise.size.total)
        return bool((np.abs(found - expected) > SIZE_STDS * np.sqrt(variance)).any())

    def apply_turn(self, rotation: Estimate) -> None:
        """Take over filters and move their values into the rotation."""
        self.R_tracking_object = self.R_tracking_object @ exp_so3(rotation.value)
        self.rotation = rotation.with_value(0.0)


def relative_turn(R_from: FloatArray, R_to: FloatArray, axial: bool) -> FloatArray:
    """Return the turns ``(..., 3)`` between rotations about the axes of the first ``(3, 3)``, radians.

    The free turn about y of axially symmetric objects is left out.
    """
    if axial:
        R_to = align_yaw(make_transform(R_to, np.zeros(3)), True, R_from)[..., :3, :3]
    return log_so3(R_from.T @ R_to)


@dataclass(slots=True, eq=False)
class Track:
    """One tracked object.

    Attributes:
        id: Number, unique within the category.
        axial: True for axially symmetric categories.
        position: ``(3,)`` filters of the position in the tracking frame, metres.
        hypotheses: Rotation hypotheses, the published one first.
        last: Last measurement.
        last_rotation: ``(3, 3)`` its rotation with the yaw convention of axially symmetric objects.
        score: Smoothed score, without the doubt between hypotheses.
        born_s: Time of the first measurement, seconds.
        time_s: Time of the state, seconds.
        hits: Number of measurements.
        seen: True if the current frame observed the object.
        moving: True while the object moves.
        anchor: ``(3,)`` direction from the object to the camera, object frame, from which ``farthest_rad`` is measured.
        farthest_rad: Largest angle of a view from the anchor since then.
        position_outlier: Last measurement, if it contradicted the position.
        rotation_outlier: Last measurement, if it contradicted the rotation.
        resized: Number of successive measurements, up to the last, whose size contradicted all hypotheses.
        recent: Measurements of the last half second.
    """

    id: int
    axial: bool
    position: Estimate
    hypotheses: list[Hypothesis]
    last: Measurement
    last_rotation: FloatArray
    score: float
    born_s: float
    time_s: float
    hits: int = 1
    seen: bool = True
    moving: bool = False
    anchor: FloatArray = field(default_factory=lambda: np.zeros(3))
    farthest_rad: float = 0.0
    position_outlier: Measurement | None = None
    rotation_outlier: Measurement | None = None
    resized: int = 0
    recent: list[Measurement] = field(default_factory=list)

    @classmethod
    def begin(cls, number: int, measured: Measurement, axial: bool) -> Track:
        """Return the track of an object that is seen for the first time."""
        R = canonicalize_yaw(measured.T_tracking_object, axial)[:3, :3]
        track = cls(
            id=number, axial=axial, hypotheses=[_propose(R, measured)], last=measured, last_rotation=R,
            position=Estimate.from_measurement(measured.position, measured.noise.position),
            score=measured.pose.score, born_s=measured.stamp_s, time_s=measured.stamp_s,
        )  # fmt: skip
        track.anchor = track._view_from(measured.camera)
        return track

    @property
    def category(self) -> str:
        """Return the name of the category."""
        return self.last.pose.category

    @property
    def best(self) -> Hypothesis:
        """Return the published hypothesis."""
        return self.hypotheses[0]

    @property
    def probability(self) -> float:
        """Return the probability of the published hypothesis among all."""
        return float(self._weights()[0])

    @property
    def settled(self) -> bool:
        """Return True if one pass of the network is enough: not new, doubtful, moving or contradicted."""
        certain = self.hits >= SETTLED_HITS and self.probability >= SETTLED_PROBABILITY
        certain = certain and self.best.evidence >= SETTLED_EVIDENCE
        return certain and not self.moving and self.position_outlier is None and self.rotation_outlier is None

    @property
    def T_tracking_object(self) -> FloatArray:
        """Return the published pose ``(4, 4)``."""
        return make_transform(self.best.R_tracking_object, self.position.value)

    def covariance(self) -> FloatArray:
        """Return the covariance ``(6, 6)`` of the published pose about the axes of the tracking frame.

        The other hypotheses add their distances from the best one, weighted by their probabilities.
        """
        R = self.best.R_tracking_object
        rotation = np.where([False, self.axial, False], FREE_TURN, self.best.rotation.variance)
        unseen = math.exp(-self.best.evidence) / (1.0 + math.exp(-self.best.evidence))
        rotation = rotation + unseen * FREE_TURN
        result = pose_covariance(R, self.position.variance, rotation)
        for other, weight in zip(self.hypotheses[1:], self._weights()[1:], strict=True):
            turn = R @ self.best.residual(other.R_tracking_object, self.axial)
            result[3:, 3:] += weight * np.outer(turn, turn)
        return result

    def contradicts_size(self, measured: Measurement) -> bool:
        """Return True if a measured size cannot be that of this object. Width and depth may be exchanged."""
        return all(item.contradicts_size(measured) for item in self.hypotheses)

    def predict(self, stamp_s: float, limits: MotionLimits) -> None:
        """Bring the state to a later time."""
        dt_s, self.time_s, self.seen = stamp_s - self.time_s, stamp_s, False
        if dt_s <= 0.0:
            return
        speed, turn = self._rate_stds(limits)
        self.position = self.position.predict(dt_s, ProcessNoise(speed, (limits.drift * _DRIFT_M) ** 2))
        before = self.best.R_tracking_object
        for item in self.hypotheses:
            item.apply_turn(item.rotation.predict(dt_s, ProcessNoise(turn, (limits.drift * _DRIFT_RAD) ** 2)))
        if self.moving:
            self._turn_others(self.best.R_tracking_object @ before.T)

    def update(self, measured: Measurement, limits: MotionLimits, late: bool = False) -> None:
        """Update the state, which was predicted to the time of the measurement.

        A measurement with the stamp of the last one, such as a frame that comes twice, adds no evidence.

        Args:
            measured: The measurement.
            limits: Rates and drift.
            late: True for a frame that a later one overtook; it adds no evidence either.
        """
        before = self.last_rotation
        if measured.stamp_s > self.last.stamp_s and not late:
            self._estimate(measured, limits)
            self.hits += 1
        self.last_rotation = measured.T_tracking_object[:3, :3]
        if self.axial:
            self.last_rotation = canonicalize_yaw(measured.T_tracking_object, True, before)[:3, :3]
        self.last, self.seen = measured, True

    def _estimate(self, measured: Measurement, limits: MotionLimits) -> None:
        """Update position, rotation, size and score by a later measurement."""
        self._change_view(measured)
        self.position_outlier = None if self._update_position(measured, limits) else measured
        self.rotation_outlier = None if self._update_rotation(measured, limits) else measured
        gain = -math.expm1((self.last.stamp_s - measured.stamp_s) / _SCORE_DECAY_S)
        self.score += gain * (measured.pose.score - self.score)
        self.recent = [m for m in self.recent if measured.stamp_s - m.stamp_s <= REST_WINDOW_S] + [measured]
        if len(self.recent) < SETTLED_HITS:
            return
        rested = not self.moving
        T = np.array([m.T_tracking_object for m in self.recent])
        positions, turns = T[:, :3, 3], self.best.residual(T[:, :3, :3], self.axial)
        self._follow_recent(positions, turns, limits)
        if rested and not self.moving:
            self._follow_offset(positions, turns, limits)

    def _rate_stds(self, limits: MotionLimits) -> tuple[float, float]:
        """Return standard deviations of speed (m/s) and turn (rad/s): 0 at rest, as large as the rates in motion."""
        if not self.moving:
            return 0.0, 0.0
        speed = float(np.linalg.norm(self.position.mean[:, RATE]))
        turn = float(np.linalg.norm(self.best.rotation.mean[:, RATE]))
        return (
            min(max(speed, SLOWEST_M_S), limits.speed / 2.0),
            min(max(turn, SLOWEST_RAD_S), limits.turn / 2.0),
        )

    def _weights(self) -> FloatArray:
        """Return the probabilities ``(H,)`` of the hypotheses."""
        evidence = np.array([item.evidence for item in self.hypotheses])
        weights = np.exp(evidence - evidence.max())
        return np.asarray(weights / weights.sum())

    def _change_view(self, measured: Measurement) -> None:
        """Let the biases change with the direction from which the object is seen.

        Only views farther from the anchor than all before are new: a trembling camera shows nothing new.
        """
        view = self._view_from(measured.camera)
        angle = _angle(self.anchor, view)
        change, self.farthest_rad = max(angle - self.farthest_rad, 0.0), max(angle, self.farthest_rad)
        if self.farthest_rad > VIEW_CORRELATION_RAD:
            self.anchor, self.farthest_rad = view, 0.0
        correlation = bias_correlation(change, measured.stamp_s - self.last.stamp_s)
        noise = measured.noise
        self.position = self.position.change_view(ViewChange(correlation, noise.position.bias))
        for item in self.hypotheses:
            item.rotation = item.rotation.change_view(ViewChange(correlation, noise.rotation.bias))
            # sizes decorrelate over twice the angle
            item.size = item.size.change_view(ViewChange(math.sqrt(correlation), noise.size.bias))

    def _view_from(self, camera: FloatArray) -> FloatArray:
        """Return the direction ``(3,)`` from the object to the camera in the object frame."""
        return self.best.R_tracking_object.T @ (camera - self.position.value)

    def _update_position(self, measured: Measurement, limits: MotionLimits) -> bool:
        """Update the position; return False if the measurement contradicts it."""
        noise = measured.noise.position
        error = measured.position - self.position.value
        if (np.square(error) / (self.position.variance + noise.total)).sum() <= CONTRADICTION:
            self.position = self.position.update(measured.position, noise.white)
            return True
        before = self.position_outlier
        if before is None or (dt_s := measured.stamp_s - before.stamp_s) <= 0.0:
            return False
        step = measured.position - before.position
        variance = before.noise.position.white + noise.white + (limits.speed * dt_s) ** 2 / 3.0
        if (np.square(step) / variance).sum() <= AGREEMENT:
            self._begin_motion()
            self._restart_position(measured, step / dt_s, limits)
        return False

    def _update_rotation(self, measured: Measurement, limits: MotionLimits) -> bool:
        """Update the hypothesis that the measurement supports; return False if the measurement contradicts it."""
        R = measured.T_tracking_object[:3, :3]
        residuals = [item.residual(R, self.axial) for item in self.hypotheses]
        angles = [float(np.linalg.norm(residual)) for residual in residuals]
        nearest = int(np.argmin(angles))
        consistent = True
        if angles[nearest] > MATCH_RAD:
            if len(self.hypotheses) == MAX_HYPOTHESES:
                self.hypotheses.remove(min(self.hypotheses[1:], key=lambda each: each.evidence))
            item = _propose(R, measured)
            self.hypotheses.append(item)
            self._forget(item, _evidence(measured))
        else:
            item = self.hypotheses[nearest]
            variance = item.rotation.variance + measured.noise.rotation.total
            consistent = bool((np.square(residuals[nearest]) / variance).sum() <= CONTRADICTION)
            before = item.R_tracking_object
            if consistent:
                item.apply_turn(item.rotation.update(residuals[nearest], measured.noise.rotation.white))
                self._update_size(item, measured)
                self._add_evidence(item, measured)
            else:
                self._follow_turn(item, measured, limits)
            if self.moving and nearest == 0:
                self._turn_others(item.R_tracking_object @ before.T)
        self._sort_hypotheses()
        return consistent

    def _update_size(self, item: Hypothesis, measured: Measurement) -> None:
        """Update the size, unless the measured one cannot be that of the object."""
        self.resized = self.resized + 1 if self.contradicts_size(measured) else 0
        if not item.contradicts_size(measured):
            item.size = item.size.update(measured.pose.size, measured.noise.size.white)

    def _follow_turn(self, item: Hypothesis, measured: Measurement, limits: MotionLimits) -> None:
        """Restart a rotation if the last two measurements contradict it and agree with each other."""
        before = self.rotation_outlier
        if before is None or (dt_s := measured.stamp_s - before.stamp_s) <= 0.0:
            return
        R_before, R = before.T_tracking_object[:3, :3], measured.T_tracking_object[:3, :3]
        if float(np.linalg.norm(item.residual(R_before, self.axial))) > MATCH_RAD:
            return
        noise, step = measured.noise.rotation, relative_turn(R_before, R, self.axial)
        variance = before.noise.rotation.white + noise.white + (limits.turn * dt_s) ** 2 / 3.0
        if (np.square(step) / variance).sum() <= AGREEMENT:
            self._begin_motion()
            self._restart_rotation(item, measured, step / dt_s, limits)

    def _add_evidence(self, item: Hypothesis, measured: Measurement) -> None:
        """Add the evidence of a measurement to the hypothesis that it supports."""
        evidence = _evidence(measured)
        self._forget(item, evidence)
        item.evidence += evidence
        excess = item.evidence - MAX_EVIDENCE
        if excess > 0.0:
            for each in self.hypotheses:
                each.evidence = max(each.evidence - excess, 0.0)

    def _forget(self, supported: Hypothesis, evidence: float) -> None:
        """Let the evidence of the hypotheses that a measurement does not support fade."""
        for other in self.hypotheses:
            if other is not supported:
                other.evidence = max(other.evidence - FORGETTING * evidence, 0.0)

    def _turn_others(self, turn: FloatArray) -> None:
        """Turn the other hypotheses along with the best one, and drop those that it has met."""
        kept = [self.best]
        for other in self.hypotheses[1:]:
            other.R_tracking_object = turn @ other.R_tracking_object
            other.rotation = other.rotation.at_rest()
            if np.linalg.norm(self.best.residual(other.R_tracking_object, self.axial)) > MATCH_RAD / 2.0:
                kept.append(other)
        self.hypotheses = kept

    def _sort_hypotheses(self) -> None:
        """Put the hypothesis with the most evidence first."""
        best = self.best
        self.hypotheses.sort(key=lambda item: item.evidence + (EVIDENCE_MARGIN if item is best else 0.0), reverse=True)
        if self.axial:
            T = make_transform(self.best.R_tracking_object, np.zeros(3))
            self.best.R_tracking_object = canonicalize_yaw(T, True, best.R_tracking_object)[:3, :3]

    def _begin_motion(self) -> None:
        if not self.moving:
            self.moving, self.recent = True, []

    def _follow_recent(self, positions: FloatArray, turns: FloatArray, limits: MotionLimits) -> None:
        """End a motion without a slope of the last measurements; begin one if a resting object has a slope.

        Args:
            positions: ``(N, 3)`` last measured positions, metres.
            turns: ``(N, 3)`` turns from the published rotation to the last measured ones.
            limits: Rates of moving objects.
        """
        age_s = self.recent[-1].stamp_s - np.array([m.stamp_s for m in self.recent])
        position_white = np.array([m.noise.position.white for m in self.recent])
        rotation_white = np.array([m.noise.rotation.white for m in self.recent])
        same_rotation = _lengths(turns) <= MATCH_RAD
        for window_s in (REST_WINDOW_S,) if self.moving else MOTION_WINDOWS_S:
            recent = age_s <= window_s
            rows = recent & same_rotation
            if np.count_nonzero(rows) < SETTLED_HITS:
                continue
            position = fit_slope(-age_s[recent], positions[recent], position_white[recent])
            rotation = fit_slope(-age_s[rows], turns[rows], rotation_white[rows])
            if position is None or rotation is None:
                continue
            if not self.moving:
                self._begin_sloped_motion(position, rotation, limits)
            elif age_s[0] >= 0.7 * REST_WINDOW_S and max(position.significance, rotation.significance) <= REST_SLOPE:
                self._stop()
            if self.moving:
                return

    def _begin_sloped_motion(self, position: Slope, rotation: Slope, limits: MotionLimits) -> None:
        """Begin a motion with the slopes of the last measurements, if they are significant."""
        if position.significance > MOTION_SLOPE:
            self._restart_position(self.recent[-1], position.rate, limits)
        if rotation.significance > MOTION_SLOPE:
            self._restart_rotation(self.best, self.recent[-1], rotation.rate, limits)

    def _follow_offset(self, positions: FloatArray, turns: FloatArray, limits: MotionLimits) -> None:
        """Begin a motion if the mean of the last measurements is too far from a resting object.

        The bias of a changing view can hide a slow motion from the filters, but not for long.

        Args:
            positions: As for ``_follow_recent``.
            turns: As for ``_follow_recent``.
            limits: Rates of moving objects.
        """
        noise = self.recent[-1].noise
        position = positions - self.position.value
        turns = turns[_lengths(turns) <= MATCH_RAD]
        for count in (STEP_HITS, len(self.recent)):
            if not self.moving and _has_left(position[-count:], self.position, noise.position):
                self._restart_position(self.recent[-1], np.zeros(3), limits)
            turned = len(turns) >= SETTLED_HITS and _has_left(turns[-count:], self.best.rotation, noise.rotation)
            if not self.moving and turned:
                self._restart_rotation(self.best, self.recent[-1], np.zeros(3), limits)

    def _restart_position(self, measured: Measurement, rate: FloatArray, limits: MotionLimits) -> None:
        """Let the position move on from a measured one."""
        fresh = Estimate.from_measurement(measured.position, measured.noise.position)
        self.position = fresh.with_rate(_limit_length(rate, limits.speed), (limits.speed / 2.0) ** 2)
        self.moving = True

    def _restart_rotation(
        self, item: Hypothesis, measured: Measurement, rate: FloatArray, limits: MotionLimits
    ) -> None:
        """Let a hypothesis turn on from a measured rotation, if that supports it."""
        turn = item.residual(measured.T_tracking_object[:3, :3], self.axial)
        if np.linalg.norm(turn) <= MATCH_RAD:
            item.R_tracking_object = item.R_tracking_object @ exp_so3(turn)
            fresh = Estimate.from_measurement(np.zeros(3), measured.noise.rotation)
            item.rotation = fresh.with_rate(_limit_length(rate, limits.turn), (limits.turn / 2.0) ** 2)
        self.moving = True

    def _stop(self) -> None:
        """End a motion."""
        self.moving = False
        self.position = self.position.at_rest()
        for item in self.hypotheses:
            item.rotation = item.rotation.at_rest()


def _propose(R: FloatArray, measured: Measurement) -> Hypothesis:
    """Return the hypothesis that a measured rotation proposes."""
    noise = measured.noise
    size = np.asarray(measured.pose.size, dtype=np.float64)
    rotation = Estimate.from_measurement(np.zeros(3), noise.rotation)
    evidence = _evidence(measured) / EVIDENCE_PER_FRAME  # nothing correlates with the first measurement
    return Hypothesis(R, rotation, Estimate.from_measurement(size, noise.size), evidence)


def _evidence(measured: Measurement) -> float:
    """Return the evidence of a measurement for the rotation that it supports, nats."""
    flip = float(measured.noise.flip_probability)
    return EVIDENCE_PER_FRAME * math.log((1.0 - flip) / flip)


def _has_left(values: FloatArray, estimate: Estimate, noise: NoiseVariance) -> bool:
    """Return True if the mean of values ``(N, 3)``, relative to the estimated ones, has left the estimate."""
    count = len(values)
    mean = values.sum(axis=0) / count
    scatter = np.maximum(noise.white, np.square(values - mean).sum(axis=0) / (count - 1)) / count
    offset = np.square(mean) / (estimate.variance + noise.bias + scatter)
    if offset.sum() > OFFSET:
        return True
    seen = estimate.variance + estimate.covariance[..., BIAS, BIAS] + 2.0 * estimate.covariance[..., VALUE, BIAS]
    innovation = np.square(mean - estimate.mean[..., BIAS]) / (seen + scatter)
    return bool(innovation.sum() > INNOVATION)


def _lengths(vectors: FloatArray) -> FloatArray:
    """Return the lengths ``(N,)`` of vectors ``(N, 3)``."""
    return np.asarray(np.sqrt(np.square(vectors).sum(axis=1)))


def _limit_length(rate: FloatArray, limit: float) -> FloatArray:
    """Return a vector with its length bounded."""
    return np.asarray(rate * min(1.0, limit / max(float(np.linalg.norm(rate)), 1e-9)))


def _sort_sides(size: FloatArray) -> FloatArray:
    """Return a size ``(3,)`` as height, shorter and longer horizontal side."""
    return np.array([size[1], min(size[0], size[2]), max(size[0], size[2])])


def _angle(a: FloatArray, b: FloatArray) -> float:
    """Return the angle between two vectors ``(3,)``, radians; 0 if one of them is zero."""
    return math.atan2(float(np.linalg.norm(cross(a, b))), float(a @ b))
