"""Sharp bends ahead: how far the road goes on along a track, and where it might bend instead.

    end_m = road_end_m(mask, view, memory)         # inf where the road goes on
    memory = bent(mask, view, memory, end_m)       # the same lane, round a bend before that

A line that leaves the road sideways lies across the grid on which `evidence` looks for
lines, so a sharp corner does not pull the course round by itself. Here bends are tried out: each
goes on along the track, then on an arc; the one that stays on the road longest is proposed (M.
Fischler and R. Bolles, "Random sample consensus", 1981, but with all candidates, none at random).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from carla_bridge.driving.evidence import BACKGROUND, Pixels
from carla_bridge.driving.memory import RIGHT_EDGE, WIDTH, Memory
from carla_bridge.driving.track import CURVATURES, KNOTS_M, LENGTHS_M, Floats
from carla_bridge.driving.view import UNSEEN, View

LENGTHS_AHEAD_M = np.arange(3.0, 25.0, 0.5)
"""Farther off the road may just lie below the crest of a hill."""
STRIP = (-0.3, -0.15, 0.0, 0.15, 0.3)
"""Where the lane is looked at, in lane widths."""
ENDED_ROWS = 3
BENDS_1PM = np.array([0.05, 0.07, 0.1, 0.13, 0.17])
EARLIER_M = np.arange(0.0, 14.1, 2.0)
"""By how much a bend may begin before the track leaves the road or its lines."""
BEND_SIGMA_1PM = 0.05
QUARTER_TURN_RAD = math.pi / 2.0


def road_end_m(mask: Pixels, view: View, memory: Memory) -> float:
    """Return the length at which the lane's course leaves the road; infinite if it does not."""
    offsets = np.array(STRIP) * memory.numbers[WIDTH]
    x, y = memory.track.at(LENGTHS_AHEAD_M[:, None], offsets[None, :])
    ends = _ends(view.sample(mask, x, y)[None])
    return float(LENGTHS_AHEAD_M[ends[0]]) if ends[0] < len(LENGTHS_AHEAD_M) else math.inf


def bent(mask: Pixels, view: View, memory: Memory, end_m: float) -> Memory:
    """Return the memory with the bend, from before ``end_m``, that stays on the road longest."""
    starts, bends = (
        grid.ravel()
        for grid in np.meshgrid(end_m - EARLIER_M, np.concatenate([BENDS_1PM, -BENDS_1PM]))
    )
    x, y, headings = _arcs(memory, starts, bends)
    offsets = np.array(STRIP) * memory.numbers[WIDTH]
    verge = -(memory.numbers[RIGHT_EDGE] + 0.5)
    across = np.append(offsets, verge)
    cells = view.sample(
        mask,
        x[:, :, None] - across * np.sin(headings)[:, :, None],
        y[:, :, None] + across * np.cos(headings)[:, :, None],
    )
    ends = _ends(cells[:, :, :-1])
    before = np.arange(len(LENGTHS_AHEAD_M)) < ends[:, None]
    # On a wide road many arcs stay on it: the one beside the road's right edge is the lane's.
    beside = ((cells[:, :, -1] == BACKGROUND) & before).sum(axis=1)
    scores = ends + 0.5 * beside - 10.0 * np.abs(bends)
    best = int(np.argmax(scores))
    return _with_bend(memory, float(starts[best]), float(bends[best]))


def _ends(cells: Pixels) -> npt.NDArray[np.int64]:
    """Return, for cells (candidates, rows, strip), the row at which the road has ended."""
    off = (cells == BACKGROUND).mean(axis=2) > 0.5
    off &= ~(cells == UNSEEN).any(axis=2)
    run = off[:, : -ENDED_ROWS + 1].copy()
    for later in range(1, ENDED_ROWS):
        run &= off[:, later : off.shape[1] - ENDED_ROWS + 1 + later]
    return np.asarray(np.where(run.any(axis=1), run.argmax(axis=1), off.shape[1]))


def _arcs(memory: Memory, starts_m: Floats, bends_1pm: Floats) -> tuple[Floats, Floats, Floats]:
    """Return x, y, heading (candidates, rows): along the track, then on an arc."""
    track = memory.track
    straight = np.minimum(LENGTHS_AHEAD_M[None, :], starts_m[:, None])
    round_m = LENGTHS_AHEAD_M[None, :] - straight
    x, y = track.at(straight)
    heading = np.interp(straight, LENGTHS_M, track.headings_rad)
    half_turn = bends_1pm[:, None] * round_m / 2.0
    chord = round_m * np.sinc(half_turn / math.pi)
    x, y = x + chord * np.cos(heading + half_turn), y + chord * np.sin(heading + half_turn)
    return x, y, heading + 2.0 * half_turn


def _with_bend(memory: Memory, start_m: float, bend_1pm: float) -> Memory:
    numbers, covariance = memory.numbers.copy(), memory.covariance.copy()
    curvatures = numbers[CURVATURES].copy()
    curvatures[start_m - 1.0 <= KNOTS_M] = bend_1pm
    curvatures[start_m + QUARTER_TURN_RAD / abs(bend_1pm) <= KNOTS_M] = 0.0
    numbers[CURVATURES] = curvatures
    unsure = np.zeros(len(numbers))
    unsure[CURVATURES] = np.where(start_m - 8.0 <= KNOTS_M, BEND_SIGMA_1PM**2, 0.0)
    return Memory(numbers, covariance + np.diag(unsure))
