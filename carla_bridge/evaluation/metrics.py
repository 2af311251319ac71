"""What a trace says of the driving: departures, errors, comfort, steering, scores.

    spells(outside, dt_s=0.05)                       # [(12, 40)]: ticks of each departure
    reversals_per_min(steer_wheel_deg, dt_s=0.05)
    comfort(forward, aside, yaw_rate, dt_s=0.05).share
    score = driving_score(completion=100.0, collisions=["collisions_layout"], outside_percent=2.0)
    score.product, score.sum_form                    # 63.7, 61.25

Pure functions over arrays with a value a tick. Sources:
CARLA leaderboard, `statistics_manager.py`: scores and penalties, master and branch
leaderboard-2.1; scenario_runner, `atomic_criteria.py`: when a car is outside its lane there.
ISO 17361 and UN Regulation 130: a lane departure begins when a wheel crosses the line.
Bench2Drive, `efficiency_smoothness_benchmark.py`, after nuPlan's `ego_is_comfortable`: six bounds.
G. Markkula and J. Engstrom, "A steering wheel reversal rate metric for assessing effects of
visual and cognitive secondary task load", ITS World Congress 2006, standardised in SAE J2944;
the measure goes back to W. Macdonald and E. Hoffmann, Human Factors 22(6), 1980.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.evaluation.record import Comfort

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SAME_SPELL_S = 1.0
"""A car that is back for less was not back: the spell goes on."""
LEADERBOARD_OUTSIDE_M = 0.5
"""What the leaderboard lets the car's middle be beyond its lane before it counts."""

PENALTIES = {
    "collisions_pedestrian": (0.50, 1.0),
    "collisions_vehicle": (0.60, 0.7),
    "collisions_layout": (0.65, 0.6),
}
"""By the leaderboard's record key: factor of 1.0, 2.0 and master; addend of branch 2.1."""

ACCELERATION_MIN, ACCELERATION_MAX = -4.05, 2.40
LATERAL_ACCELERATION, JERK, LONGITUDINAL_JERK = 4.89, 8.37, 4.13
YAW_RATE, YAW_ACCELERATION = 0.95, 1.93
"""Bounds of nuPlan and Bench2Drive in m/s2, m/s3, rad/s and rad/s2."""
COMFORT_HZ, SEGMENT, WINDOW, ORDER = 10.0, 20, 7, 2
"""Bench2Drive looks at 20 samples of 10 Hz at once, smoothed by Savitzky-Golay of 7 samples."""

STEERING_WHEEL_DEG = 450.0
"""Of a steering wheel at CARLA's full steer: one and a quarter turns, as cars have."""
GAP_DEG, CUTOFF_HZ = 3.0, 0.6
"""Markkula and Engstrom's settings for large corrections: what a late mask brings about."""


def outside_lane(
    cross_track_m: Floats, lane_width_m: Floats, junction: Bools, car_width_m: float
) -> Bools:
    """Return where a wheel is over the edge of the lane.

    A junction has no edges: there the leaderboard's bound holds, the car's middle `outside_route`.
    """
    beyond = np.abs(cross_track_m) + car_width_m / 2.0 > lane_width_m / 2.0
    return np.where(junction, outside_route(cross_track_m, lane_width_m), beyond)


def outside_route(cross_track_m: Floats, lane_width_m: Floats) -> Bools:
    """Return where the leaderboard calls the car outside the lanes of its route."""
    return np.asarray(np.abs(cross_track_m) > lane_width_m / 2.0 + LEADERBOARD_OUTSIDE_M)


def spells(flags: Bools, dt_s: float, join_s: float = SAME_SPELL_S) -> list[tuple[int, int]]:
    """Return (first, last) tick of each run of True; gaps of ``join_s`` and less are bridged.

    >>> spells(np.array([0, 1, 1, 0, 1, 0, 0, 0, 1], bool), dt_s=1.0, join_s=2.0)
    [(1, 4), (8, 8)]
    """
    found: list[tuple[int, int]] = []
    for tick in np.flatnonzero(flags).tolist():
        if found and (tick - found[-1][1] - 1) * dt_s < join_s:
            found[-1] = (found[-1][0], tick)
        else:
            found.append((tick, tick))
    return found


@dataclass(frozen=True)
class Score:
    """Both forms of the leaderboard's driving score, 0..100. They are not comparable."""

    product: float
    sum_form: float


def driving_score(completion: float, collisions: Sequence[str], outside_percent: float) -> Score:
    """Return route completion (percent) times the infraction penalty, in both forms.

    ``collisions`` holds a key of `PENALTIES` for each; ``outside_percent`` is the share of the
    distance outside the route's lanes. What a lane keeper cannot do (lights, stop signs,
    minimum speed, scenarios) does not count.
    """
    inside = 1.0 - outside_percent / 100.0
    product = float(np.prod([PENALTIES[key][0] for key in collisions]))
    addends = sum(PENALTIES[key][1] for key in collisions)
    return Score(completion * product * inside, completion / (1.0 + addends) * inside)


def reversals_per_min(steering_wheel_deg: npt.ArrayLike, dt_s: float) -> float:
    """Return how often a minute the steering wheel turns back by more than `GAP_DEG`.

    The angle is low-passed (second-order Butterworth, forth and back); between its stationary
    points each rise, and each fall, by more than the gap counts once.
    """
    from scipy.signal import butter, filtfilt

    angles = np.asarray(steering_wheel_deg, float)
    numerator, denominator = butter(2, CUTOFF_HZ * 2.0 * dt_s)
    if len(angles) <= 3 * max(len(numerator), len(denominator)):
        return 0.0
    smooth = filtfilt(numerator, denominator, angles)
    steps = np.sign(np.diff(smooth))
    turning = np.flatnonzero(steps[1:] != steps[:-1]) + 1
    stationary = smooth[turning]
    count = _rises(stationary) + _rises(-stationary)
    return count / ((len(angles) - 1) * dt_s) * 60.0


def _rises(values: Floats) -> int:
    """Return how often ``values`` go up by more than the gap from the lowest since the last."""
    count, lowest = 0, np.inf
    for value in values:
        if value - lowest > GAP_DEG:
            count, lowest = count + 1, value
        lowest = min(lowest, value)
    return count


def comfort(forward_mps2: Floats, aside_mps2: Floats, yaw_rate_rps: Floats, dt_s: float) -> Comfort:
    """Return the extremes of the six quantities and the share of 2 s segments within bounds.

    As Bench2Drive: 10 Hz, smoothed, jerk by the filter's derivative. Unlike its code, which
    bounds the yaw rate twice, the yaw acceleration is the yaw rate's derivative, as in nuPlan.
    """
    stride = max(1, round(1.0 / COMFORT_HZ / dt_s))
    samples = [np.asarray(v, float)[::stride] for v in (forward_mps2, aside_mps2, yaw_rate_rps)]
    count = len(samples[0])
    cuts = range(0, max(count - SEGMENT, 0) + 1, SEGMENT) if count >= WINDOW else ()
    segments = [_quantities(*(v[cut : cut + SEGMENT] for v in samples)) for cut in cuts]
    if not segments:
        return Comfort(
            longitudinal_acceleration_min=0.0,
            longitudinal_acceleration_max=0.0,
            lateral_acceleration_max=0.0,
            jerk_max=0.0,
            longitudinal_jerk_max=0.0,
            yaw_rate_max=0.0,
            yaw_acceleration_max=0.0,
            share=1.0,
            comfortable=True,
        )
    inside = [_within(segment) for segment in segments]
    lowest, highest, aside, jerk, long_jerk, rate, acceleration = np.array(segments).T
    return Comfort(
        longitudinal_acceleration_min=float(lowest.min()),
        longitudinal_acceleration_max=float(highest.max()),
        lateral_acceleration_max=float(aside.max()),
        jerk_max=float(jerk.max()),
        longitudinal_jerk_max=float(long_jerk.max()),
        yaw_rate_max=float(rate.max()),
        yaw_acceleration_max=float(acceleration.max()),
        share=float(np.mean(inside)),
        comfortable=all(inside),
    )


def _quantities(forward: Floats, aside: Floats, yaw_rate: Floats) -> tuple[float, ...]:
    """Return a segment's extremes: forward low and high, aside, jerk, long jerk, yaw, its rate."""
    from scipy.signal import savgol_filter

    def smoothed(values: Floats, derivative: int = 0) -> Floats:
        return np.asarray(
            savgol_filter(values, WINDOW, ORDER, deriv=derivative, delta=1.0 / COMFORT_HZ)
        )

    strength = smoothed(np.hypot(forward, aside))
    forward, turning = smoothed(forward), smoothed(yaw_rate)
    sizes = (
        smoothed(aside),
        smoothed(strength, derivative=1),
        smoothed(forward, derivative=1),
        turning,
        smoothed(turning, derivative=1),
    )
    return (
        float(forward.min()),
        float(forward.max()),
        *(float(np.abs(values).max()) for values in sizes),
    )


def _within(quantities: tuple[float, ...]) -> bool:
    lowest, highest, *sizes = quantities
    bounds = (LATERAL_ACCELERATION, JERK, LONGITUDINAL_JERK, YAW_RATE, YAW_ACCELERATION)
    inside = all(size < bound for size, bound in zip(sizes, bounds, strict=True))
    return inside and lowest > ACCELERATION_MIN and highest < ACCELERATION_MAX


def percentile(values: npt.ArrayLike, percent: float) -> float | None:
    """Return a percentile by linear interpolation, None of nothing."""
    known = np.asarray(values, float)
    return float(np.percentile(known, percent)) if known.size else None
