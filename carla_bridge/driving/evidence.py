"""What a mask shows of lane markings and of the road's edges, measured across a track.

    evidence = gather(mask, view, track)
    evidence.markings        # lengths along the track, offsets to its left, metres
    evidence.right_edge      # the same for the road's right edge
    evidence.road_share      # 0..1: how much of the ground just ahead is road at all

The mask is sampled on a grid that follows the expected track, so that lane lines run along
columns whatever the bend (an inverse perspective as in M. Bertozzi and A. Broggi, "GOLD",
IEEE Transactions on Image Processing 7(1), 1998, laid along the road).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from carla_bridge.driving.track import Floats, Track
from carla_bridge.driving.view import UNSEEN, View

BACKGROUND, MARKING = 0, 2
"""Class ids of the project's masks; 1 is the road."""

NEAREST_ROW_M, FARTHEST_ROW_M = 3.0, 40.0
ASIDE_M, CELL_M = 9.0, 0.05
WIDEST_LINE_M = 0.45
"""Painted lines are 0.1 to 0.35 m wide, double ones are two; bars and letters are wider."""
EDGE_CELLS = 7
"""So many cells of background in a row, but for one, are the road's end."""
NEAR_ROW_M, NEAR_ROWS_M, NEAR_ASIDE_M = 9.5, 5.5, 1.2
FOLD = 0.7
"""Offsets beyond this share of the radius are left out: the grid folds at the bend's centre."""

Pixels = npt.NDArray[np.uint8]


class Points(NamedTuple):
    """Points (n,) each: rows of the grid, and metres to the left of the track."""

    rows: npt.NDArray[np.int64]
    offsets_m: Floats


class Evidence(NamedTuple):
    """What `gather` found."""

    markings: Points
    right_edge: Points
    left_edge: Points
    road_share: float


def _rows() -> tuple[Floats, Floats]:
    """Return lengths of the rows and what each stands for, both in metres."""
    lengths = [NEAREST_ROW_M]
    while lengths[-1] < FARTHEST_ROW_M - 1.0:
        lengths.append(lengths[-1] + min(max(0.03 * lengths[-1], 0.2), 1.0))
    return np.array(lengths), np.gradient(np.array(lengths))


ROWS_M, ROW_LENGTHS_M = _rows()
COLUMNS = 2 * round(ASIDE_M / CELL_M) + 1
OFFSETS_M: Floats = (np.arange(COLUMNS) - COLUMNS // 2) * np.float64(CELL_M)
_NEAR = (
    np.flatnonzero(np.abs(ROWS_M - NEAR_ROW_M) <= NEAR_ROWS_M)[:, None],
    np.flatnonzero(np.abs(OFFSETS_M) <= NEAR_ASIDE_M)[None, :],
)


def gather(mask: Pixels, view: View, track: Track) -> Evidence:
    """Return what ``mask`` (H, W) class ids shows along ``track`` as ``view`` sees it."""
    x, y = track.at(ROWS_M[:, None], OFFSETS_M[None, :])
    cells = view.sample(mask, x, y)
    bends = np.interp(ROWS_M, *track.bends)
    cells[bends[:, None] * OFFSETS_M[None, :] > FOLD] = UNSEEN
    near = cells[_NEAR]
    return Evidence(
        markings=_lines(cells, np.hypot(x[:, COLUMNS // 2], y[:, COLUMNS // 2]), view),
        right_edge=_edge(cells[:, COLUMNS // 2 :: -1], -1.0),
        left_edge=_edge(cells[:, COLUMNS // 2 :], 1.0),
        road_share=float(np.mean((near != BACKGROUND) & (near != UNSEEN))),
    )


def _lines(cells: Pixels, distances_m: Floats, view: View) -> Points:
    """Return the middles of runs of marking cells that are as narrow as a line."""
    painted = (cells == MARKING).astype(np.uint8) * np.uint8(180)
    # Five of nine cells: a line two cells wide has six, lone wrong pixels fewer.
    solid = cv2.blur(painted, (3, 3), borderType=cv2.BORDER_REPLICATE) >= 95
    steps = np.diff(solid.astype(np.int8), axis=1, prepend=0, append=0)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    widths_m = (ends - starts) * CELL_M
    narrow = widths_m <= WIDEST_LINE_M + 2.0 * view.width_of_pixel_m(distances_m[rows])
    middles_m = (starts + ends - 1) * (CELL_M / 2.0) + OFFSETS_M[0]
    return Points(rows[narrow], middles_m[narrow])


def _edge(outwards: Pixels, side: float) -> Points:
    """Return where the road ends in each row, looking from the track outwards."""
    background = (outwards == BACKGROUND).astype(np.float32)
    share = cv2.boxFilter(
        background, -1, (EDGE_CELLS, 1), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE
    )
    ended = share >= (EDGE_CELLS - 1.1) / EDGE_CELLS
    first = ended.argmax(axis=1)
    hidden = (outwards == UNSEEN).argmax(axis=1)
    rows = np.arange(len(outwards))
    found = ended[rows, first] & (first > 0)
    found &= (outwards[rows, hidden] != UNSEEN) | (hidden > first + EDGE_CELLS)
    return Points(rows[found], side * (first[found] + 0.5) * CELL_M)
