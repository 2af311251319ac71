"""What is known of the ego lane between two masks, and how it ages as the car drives.

    memory = Memory.fresh(lane_width_m=3.5)        # the width from the map, or nothing
    memory = moved(memory, Motion(forward_m=0.5, left_m=0.0, turn_rad=0.0))

The prediction of an extended Kalman filter (R. Kalman, 1960; for roads E. Dickmanns and
B. Mysliwetz, IEEE PAMI 14(2), 1992). A memory is never changed, only replaced.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from carla_bridge.driving.track import (
    CURVATURES,
    HEADING,
    KNOT_M,
    OFFSET,
    TRACK,
    Floats,
    Motion,
    Track,
)

WIDTH, RIGHT_EDGE, LEFT_EDGE, TILT = range(TRACK, TRACK + 4)
NUMBERS = TRACK + 4
"""The course (`TRACK` numbers); the lane's width; from its middle to the road's edges, metres;
the ground's tilt over the camera's height, 1/m: a ground that rises by a small angle stretches
what is x ahead by 1 + tilt x."""

USUAL_WIDTH_M = 3.5
KNOWN_WIDTH_M = 0.05
HERE = 4
"""Knots of the course that lie about the car: 16 m of road."""
UNKNOWN_EDGE_M = 2.0
"""Standard deviation of an edge's distance of which nothing is known."""
TILT_SIGMA_1PM, TILT_KEPT = 0.004, 0.9
"""A third of a degree at a height of 1.5 m; what is left of a tilt from one mask to the next."""


class Memory(NamedTuple):
    """What is known of the lane: numbers (NUMBERS,) and their covariance."""

    numbers: Floats
    covariance: Floats

    @classmethod
    def fresh(cls, lane_width_m: float | None = None) -> Memory:
        """Return what is known at the start: the car stands about in the middle of a lane."""
        numbers = np.zeros(NUMBERS)
        numbers[WIDTH] = lane_width_m or USUAL_WIDTH_M
        sigma = np.full(NUMBERS, 0.02)  # curvatures, 1/m
        sigma[OFFSET], sigma[HEADING] = 0.35, 0.12
        sigma[WIDTH] = 0.15 if lane_width_m else 0.35
        sigma[RIGHT_EDGE] = sigma[LEFT_EDGE] = UNKNOWN_EDGE_M
        sigma[TILT] = TILT_SIGMA_1PM
        return cls(numbers, np.diag(sigma**2))

    @property
    def track(self) -> Track:
        """The course alone."""
        return Track(self.numbers[:TRACK])

    def told(self, track: Track, sigma_m: float) -> Memory:
        """Return the memory after somebody who knows it gave the course to ``sigma_m``."""
        numbers, covariance = self.numbers.copy(), self.covariance.copy()
        numbers[:TRACK] = track.numbers
        covariance[:TRACK, :] = covariance[:, :TRACK] = 0.0
        sigma = np.full(TRACK, 0.02)
        sigma[OFFSET], sigma[HEADING] = sigma_m, 0.04
        covariance[:TRACK, :TRACK] = np.diag(sigma**2)
        return Memory(numbers, covariance)

    def doubted(self, lane_width_m: float) -> Memory:
        """Return what is left where nothing but the lane's width and the bend here is believed."""
        fresh = Memory.fresh(lane_width_m)
        numbers, covariance = self.numbers.copy(), fresh.covariance.copy()
        numbers[CURVATURES] = numbers[CURVATURES][:HERE].mean()
        numbers[WIDTH], numbers[TILT] = lane_width_m, 0.0
        covariance[WIDTH, WIDTH] = KNOWN_WIDTH_M**2
        for edge in (RIGHT_EDGE, LEFT_EDGE):
            covariance[edge, edge] = self.covariance[edge, edge]
        return Memory(numbers, covariance)


def moved(memory: Memory, motion: Motion) -> Memory:
    """Return what is known after the car's ``motion``, forgetting a little on the way."""
    numbers = memory.numbers.copy()
    numbers[:TRACK] = memory.track.moved(motion).numbers
    numbers[TILT] *= TILT_KEPT
    change = np.eye(NUMBERS)
    change[:TRACK, :TRACK] = memory.track.transition(motion)
    change[TILT, TILT] = TILT_KEPT
    covariance = change @ memory.covariance @ change.T + np.diag(_drift(motion))
    return Memory(numbers, covariance)


def _drift(motion: Motion) -> Floats:
    """Return variances (NUMBERS,) that a step adds: odometry errs, roads and lanes change."""
    way_m = abs(motion.forward_m)
    drift = np.empty(NUMBERS)
    drift[OFFSET] = 0.01**2 + (0.03 * way_m) ** 2
    drift[HEADING] = 0.002**2 + (0.03 * motion.turn_rad) ** 2 + (0.002 * way_m) ** 2
    drift[CURVATURES] = 0.0015**2 * (1.0 + way_m)
    drift[CURVATURES.stop - 1] += 0.01**2 * min(way_m / KNOT_M, 1.0)
    drift[WIDTH] = 0.005**2 * way_m
    drift[RIGHT_EDGE] = drift[LEFT_EDGE] = 0.012**2 * way_m
    drift[TILT] = TILT_SIGMA_1PM**2 * (1.0 - TILT_KEPT**2)
    return drift
