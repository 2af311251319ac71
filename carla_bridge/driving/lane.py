"""The ego lane in a mask: its course, its width, and how sure that is.

    lane = find_lane(mask, view, Memory.fresh(lane_width_m=3.5))
    lane.track.points_m, lane.width_m, lane.confidence, lane.sees_left_m, lane.sees_right_m
    memory = moved(lane.memory, motion)          # before the next mask

A boundary that is not there costs nothing, one boundary is enough, and without any marking
the road's edge leads at the distance that was learnt while markings were seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from carla_bridge.driving.bends import bent, road_end_m
from carla_bridge.driving.evidence import ROWS_M, Evidence, Pixels, gather
from carla_bridge.driving.fit import LEARNT_EDGE_M, Fitted, Observations, fit, observations
from carla_bridge.driving.memory import LEFT_EDGE, RIGHT_EDGE, USUAL_WIDTH_M, WIDTH, Memory
from carla_bridge.driving.track import CURVATURES, LENGTHS_M, OFFSET, TRACK, Floats, Track
from carla_bridge.driving.view import View

PASSES, PASS_AGAIN_M, PASS_RANGE_M = 3, 0.35, 20.0
"""The grid is laid again along the new course when that moved by more than so much."""
SHARPEST_1PM, NARROWEST_M, WIDEST_M = 0.25, 2.2, 5.5
"""No lane for cars bends or is wider or narrower than that."""
EDGE_ROWS, EDGE_RANGE_M, EDGE_AGREES_M, EDGE_JUMP_M = 12, 20.0, 0.15, 0.4
LEARNING_M, BESIDE_M = 2.5, 0.6
"""Metres of line, near where it is expected, from which the lane's width is learnt."""
HELD_SIGMA_M = 0.005
EDGE_WORTH = 0.5
ENDS_EARLY_M, MORE = 4.0, 1.15
"""A bend is tried where the boundaries end so much before their range, taken with so much more."""
QUITE_SURE = 0.97
"""Confidence from which a lane is not sought anew. On a hilly ring of 1 km, 0.95 to 1 let the
estimate err as little (95 % below 0.06 to 0.07 m, 0.34 without), and this asks one mask in six."""
MUCH_MORE, OTHER_WIDTH_M = 1.3, 0.5
ROAD_SHARE = 0.25
"""Share of road just ahead below which a mask shows no road."""
SUPPORT_M, SUPPORT_RANGE_M = 5.0, 25.0
"""Metres of boundary, within that range, that make a course 63 % sure."""
RESIDUAL_M, UNSURE_M, UNSURE_AT_M = 0.25, 0.35, 8.0
"""Residuals, and uncertainty so far ahead, that make it 37 % and 50 % sure."""
COUNTS = 0.25
"""A point that counted more than this lies on its line."""


@dataclass(frozen=True)
class Lane:
    """The ego lane in the vehicle coordinates of the mask.

    ``confidence`` 0..1 grows with the metres of boundary that fit, and falls with their
    residuals and with the course's uncertainty; ``road_share`` 0..1 says how much of the
    ground just ahead is road; ``road_end_m`` is how far along the course the road goes on,
    infinite where no end shows, ``lines_end_m`` how far boundaries fit; ``sees_..._m`` are metres
    of markings and edges that fit.
    """

    memory: Memory
    confidence: float
    road_share: float
    road_end_m: float
    lines_end_m: float
    sees_left_m: float
    sees_right_m: float
    sees_edges_m: float

    @property
    def support_m(self) -> float:
        """Metres of boundary that fit; an edge is worth half a line."""
        return self.sees_left_m + self.sees_right_m + EDGE_WORTH * self.sees_edges_m

    @property
    def track(self) -> Track:
        """The middle of the lane."""
        return self.memory.track

    @property
    def width_m(self) -> float:
        """The lane's width."""
        return float(self.memory.numbers[WIDTH])

    def boundary_m(self, side: float) -> Floats:
        """Return the left (1.0) or right (-1.0) boundary (SAMPLES, 2)."""
        return np.stack(self.track.at(LENGTHS_M, side * self.width_m / 2.0), axis=1)


def find_lane(
    mask: Pixels, view: View, memory: Memory, lane_width_m: float = USUAL_WIDTH_M
) -> Lane:
    """Return the ego lane in ``mask`` (H, W) class ids, starting from what ``memory`` expects.

    Where it is not quite sure, a lane of the usual ``lane_width_m`` is sought as if for the first
    time: a fit may have settled for a bend, a hill and a width that explain some of the lines, and
    the next one starts from it. Where the course leads off the road, or off its lines, the lane
    round a bend is tried. Either is taken when clearly more shows of it.
    """
    lane = _follow(mask, view, memory)
    if lane.confidence < QUITE_SURE:
        anew = _follow(mask, view, memory.doubted(lane_width_m))
        usual = abs(anew.width_m - lane_width_m) < OTHER_WIDTH_M
        lane = anew if usual and anew.support_m > MUCH_MORE * lane.support_m else lane
    end_m = min(lane.road_end_m, lane.lines_end_m)
    if end_m > SUPPORT_RANGE_M - ENDS_EARLY_M or lane.road_share < ROAD_SHARE:
        return lane
    round_bend = _follow(mask, view, bent(mask, view, lane.memory, end_m))
    longer = round_bend.road_end_m >= lane.road_end_m
    return round_bend if longer and round_bend.support_m > MORE * lane.support_m else lane


def _follow(mask: Pixels, view: View, memory: Memory) -> Lane:
    """Return the lane near where ``memory`` expects it."""
    memory = _within_reason(memory)
    shown = gather(mask, view, memory.track)
    prior = anchor = _with_edges(memory, shown)
    for _ in range(PASSES - 1):
        points = observations(anchor, shown, view)
        fitted = _fit_what_shows(prior, anchor, points)
        moves_m = anchor.track.levers @ (fitted.memory.numbers - anchor.numbers)[:TRACK]
        if np.abs(moves_m[(LENGTHS_M > 0.0) & (LENGTHS_M < PASS_RANGE_M)]).max() < PASS_AGAIN_M:
            break
        anchor = _within_reason(Memory(fitted.memory.numbers, prior.covariance))
        shown = gather(mask, view, anchor.track)
    else:
        points = observations(anchor, shown, view)
        fitted = _fit_what_shows(prior, anchor, points)
    return _judged(fitted, points, shown.road_share, road_end_m(mask, view, fitted.memory))


def _within_reason(memory: Memory) -> Memory:
    """Return the memory without what no road does."""
    numbers = memory.numbers.copy()
    numbers[CURVATURES] = np.clip(numbers[CURVATURES], -SHARPEST_1PM, SHARPEST_1PM)
    numbers[WIDTH] = np.clip(numbers[WIDTH], NARROWEST_M, WIDEST_M)
    return Memory(numbers, memory.covariance)


def _with_edges(memory: Memory, shown: Evidence) -> Memory:
    """Return the memory with an edge's distance where none was known or where it jumped.

    A jump (a lay-by, a lane that begins) is believed when many rows agree on it.
    """
    numbers, covariance = memory.numbers.copy(), memory.covariance.copy()
    edges = ((RIGHT_EDGE, shown.right_edge, -1.0), (LEFT_EDGE, shown.left_edge, 1.0))
    for number, points, side in edges:
        near = points.offsets_m[ROWS_M[points.rows] < EDGE_RANGE_M] * side
        if len(near) < EDGE_ROWS:
            continue
        distance = float(np.median(near))
        agreed = np.mean(np.abs(near - distance) < EDGE_AGREES_M) > 0.7
        known = covariance[number, number] < LEARNT_EDGE_M**2
        jumped = abs(distance - numbers[number]) > EDGE_JUMP_M
        if agreed and (jumped or not known) and distance > NARROWEST_M / 2.0 - EDGE_JUMP_M:
            numbers[number] = distance
            covariance[number, :] = covariance[:, number] = 0.0
            covariance[number, number] = covariance[OFFSET, OFFSET] + EDGE_AGREES_M**2
    return Memory(numbers, covariance)


def _fit_what_shows(prior: Memory, anchor: Memory, points: Observations) -> Fitted:
    """Return the fit; the lane's width is learnt from both its lines, edges beside a line.

    What a mask cannot tell apart would otherwise wander: one line alone says as much about the
    width as about where the car is.
    """
    half_m = prior.numbers[WIDTH] / 2.0
    line = (points.kinds == WIDTH) & (points.lengths_m < SUPPORT_RANGE_M)
    seen_m = [
        float(points.metres[line & (np.abs(points.offsets_m - side) < BESIDE_M)].sum())
        for side in (half_m, -half_m)
    ]
    held = [WIDTH] if min(seen_m) < LEARNING_M else []
    held += [RIGHT_EDGE, LEFT_EDGE] if max(seen_m) < LEARNING_M else []
    fitted = fit(_holding(prior, held), anchor, points)
    covariance = fitted.memory.covariance
    for number in held:
        covariance[number, number] = prior.covariance[number, number]
    return fitted


def _holding(memory: Memory, numbers: list[int]) -> Memory:
    """Return the memory as if it knew these numbers for sure, apart from all others."""
    covariance = memory.covariance.copy()
    covariance[numbers, :] = covariance[:, numbers] = 0.0
    covariance[numbers, numbers] = HELD_SIGMA_M**2
    return Memory(memory.numbers, covariance)


def _judged(fitted: Fitted, points: Observations, road_share: float, end_m: float) -> Lane:
    memory = fitted.memory
    counts = (fitted.shares > COUNTS) & (points.lengths_m < SUPPORT_RANGE_M)
    line = counts & (points.kinds == WIDTH)
    left_m = float(points.metres[line & (fitted.sides > 0.0)].sum())
    right_m = float(points.metres[line & (fitted.sides < 0.0)].sum())
    edges_m = float(points.metres[counts & ~line].sum())
    squares = float(np.mean(fitted.residuals_m[counts] ** 2)) if counts.any() else 0.0
    lever = memory.track.levers[int(np.searchsorted(LENGTHS_M, UNSURE_AT_M))]
    variance = float(lever @ memory.covariance[:TRACK, :TRACK] @ lever)
    support_m = left_m + right_m + EDGE_WORTH * edges_m
    confidence = (
        (1.0 - math.exp(-support_m / SUPPORT_M))
        * math.exp(-squares / RESIDUAL_M**2)
        / (1.0 + variance / UNSURE_M**2)
    )
    lines_end_m = float(points.lengths_m[counts].max(initial=0.0))
    return Lane(memory, confidence, road_share, end_m, lines_end_m, left_m, right_m, edges_m)
