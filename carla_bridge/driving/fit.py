"""The memory of the lane that fits a mask's evidence best.

    points = observations(memory, evidence, view)
    result = fit(prior, anchor, points)
    result.memory, result.weights, result.residuals_m

A Kalman update that is robust: points are weighted anew from their residuals (P. Holland
and R. Welsch, "Robust regression using iteratively reweighted least-squares", 1977) with Geman
and McClure's weights, whose scale shrinks from what was uncertain to what a line's points
scatter (graduated non-convexity: M. Black and A. Rangarajan, IJCV 19(1), 1996).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from carla_bridge.driving.evidence import ROW_LENGTHS_M, ROWS_M, Evidence, Points
from carla_bridge.driving.memory import LEFT_EDGE, NUMBERS, RIGHT_EDGE, TILT, WIDTH, Memory
from carla_bridge.driving.track import CURVATURES, KNOTS, LENGTHS_M, TRACK, Floats
from carla_bridge.driving.view import View

LEARNT_EDGE_M = 0.6
"""Below this standard deviation an edge's distance counts as known."""
LINE_SIGMA_M = (0.05, 0.004)
"""Of a metre of line: at the car, and more for each metre ahead. A line's pixels err together,
so this is larger than their scatter."""
EDGE_SIGMA_M = (0.16, 0.008)
SCATTER_M = (0.10, 0.006)
"""Residual at which a point loses three quarters of its weight: at the car, and per metre."""
ROUNDS = (1.0, 0.8, 0.5, 0.25, 0.0, 0.0)
"""How much of the uncertainty the scale of each round of weighing adds to the scatter."""
WIDEST_SEARCH_M = 0.8
CUT = 3.0
"""Points farther off than so many scales have no say."""
CURVATURE_SIGMA_1PM, CURVATURE_STEP_SIGMA_1PM = 0.06, 0.010
"""Roads bend little, and change their bend little from knot to knot."""


class Observations(NamedTuple):
    """Points (n,) on lines and edges, linear in the numbers around an anchor."""

    lengths_m: Floats
    offsets_m: Floats
    rows: Floats
    """d offset / d course and tilt (n, NUMBERS)."""
    kinds: npt.NDArray[np.int64]
    """`WIDTH` for markings, else the edge's number."""
    weights: Floats
    """1 / variance."""
    metres: Floats
    """Of road that a point stands for."""


class Fitted(NamedTuple):
    """What `fit` returns; arrays (n,) belong to the points."""

    memory: Memory
    shares: Floats
    """0..1: how much each point counted."""
    residuals_m: Floats
    sides: Floats
    """0.5 where a marking was taken for the left boundary, -0.5 right."""


def observations(anchor: Memory, shown: Evidence, view: View) -> Observations:
    """Return what ``shown``, gathered along the anchor's course, says about the numbers."""
    parts: list[tuple[Points, int]] = [(shown.markings, WIDTH)]
    for points, number in ((shown.right_edge, RIGHT_EDGE), (shown.left_edge, LEFT_EDGE)):
        if anchor.covariance[number, number] < LEARNT_EDGE_M**2:
            parts.append((points, number))
    grid_rows = np.concatenate([points.rows for points, _ in parts])
    offsets = np.concatenate([points.offsets_m for points, _ in parts])
    kinds = np.concatenate([np.full(len(points.rows), kind) for points, kind in parts])
    lengths, metres = ROWS_M[grid_rows], ROW_LENGTHS_M[grid_rows]
    track = anchor.track
    # Rows lie between the track's samples by less than a step: the nearest lever will do.
    nearest = np.searchsorted(LENGTHS_M, lengths)
    rows = np.zeros((len(lengths), NUMBERS))
    rows[:, :TRACK] = track.levers[nearest]
    rows[:, TILT] = _stretch(track.at(lengths, offsets), track.tangents[nearest], view)
    line = kinds == WIDTH
    sigma = np.where(line, LINE_SIGMA_M[0], EDGE_SIGMA_M[0])
    sigma += np.where(line, LINE_SIGMA_M[1], EDGE_SIGMA_M[1]) * lengths
    return Observations(lengths, offsets, rows, kinds, metres / sigma**2, metres)


def _stretch(points_m: tuple[Floats, Floats], tangents: Floats, view: View) -> Floats:
    """Return how far a unit of tilt seems to move points to the track's left."""
    ahead, aside = points_m[0] - view.forward_m, points_m[1] - view.aside_m
    return np.asarray(ahead * (aside * tangents[:, 0] - ahead * tangents[:, 1]))


def fit(prior: Memory, anchor: Memory, points: Observations) -> Fitted:
    """Return the numbers that ``prior`` and ``points``, linear around ``anchor``, agree on."""
    information = np.linalg.inv(prior.covariance)
    doubt = np.sqrt(np.einsum("ni,ij,nj->n", points.rows, prior.covariance, points.rows))
    doubt = np.minimum(2.0 * doubt, WIDEST_SEARCH_M)
    scatter = SCATTER_M[0] + SCATTER_M[1] * points.lengths_m
    zero = anchor.numbers.copy()
    zero[TRACK:] = 0.0  # offsets are measured from the anchor's course
    numbers, all_points = anchor.numbers, np.arange(len(points.kinds))
    rows, shares, residuals, sides = points.rows, scatter, scatter, scatter
    for share in ROUNDS:
        beside = points.offsets_m - points.rows @ (numbers - zero)
        sides = _sides(points.kinds, beside)
        residuals = beside - sides * numbers[points.kinds]
        squares = (scatter + share * doubt) ** 2
        shares = (squares / (squares + residuals**2)) ** 2
        shares[residuals**2 > CUT**2 * squares] = 0.0
        rows = points.rows.copy()
        rows[all_points, points.kinds] = sides
        weighted = rows * (shares * points.weights)[:, None]
        smooth = _smoothness(numbers[CURVATURES])
        pull = information @ (prior.numbers - numbers) - smooth @ numbers
        pull += weighted.T @ residuals
        numbers = numbers + np.linalg.solve(information + smooth + weighted.T @ rows, pull)
    # Smoothness is said anew with each mask; kept in the covariance it would add up.
    after = information + (rows * (shares * points.weights)[:, None]).T @ rows
    memory = Memory(numbers, np.asarray(np.linalg.inv(after), np.float64))
    return Fitted(memory, shares, residuals, sides)


def _sides(kinds: npt.NDArray[np.int64], beside: Floats) -> Floats:
    """Return by how much of its number each point lies to the left of the lane's middle."""
    halves = np.where(beside > 0.0, 0.5, -0.5)
    return np.where(kinds == WIDTH, halves, np.where(kinds == LEFT_EDGE, 1.0, -1.0))


def _smoothness(curvatures_1pm: Floats) -> Floats:
    """Return the information (NUMBERS, NUMBERS) that roads bend little, and change that seldom.

    Where the curvature does jump (arcs that meet with no clothoid between them) the belief
    that it does not gives way, as Cauchy's weights do.
    """
    jumps = (_STEPS @ curvatures_1pm) / (2.0 * CURVATURE_STEP_SIGMA_1PM)
    weights = 1.0 / (1.0 + jumps**2) / CURVATURE_STEP_SIGMA_1PM**2
    information = np.zeros((NUMBERS, NUMBERS))
    information[CURVATURES, CURVATURES] = (_STEPS.T * weights) @ _STEPS
    information[CURVATURES, CURVATURES] += np.eye(KNOTS) / CURVATURE_SIGMA_1PM**2
    return information


_STEPS = np.diff(np.eye(KNOTS), axis=0)
