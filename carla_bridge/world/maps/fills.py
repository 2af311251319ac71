"""Asphalt between the lanes of a junction, where no lane lies: what a map leaves open.

    fills = junction_fills(lanes, junctions)     # (m, 4, 3) quads

Turning lanes leave slivers and triangles between them. Gaps that are narrow, or small and
closed all round, are paved in every real junction; larger ones are islands and stay.
The quads lie a little below the lanes and reach under them, so that no slit shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.lanes import Lane, Points

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

PIXEL = 0.25
"""Metres of a raster's pixel."""
GAP = 1.5
"""Half the width in metres of gaps that are paved."""
ISLAND = 100.0
"""Square metres from which an enclosed gap is an island."""
SPECK = 0.8
"""Square metres below which a gap is left."""
BELOW = 0.03
"""Metres by which fills lie below the lanes around them."""
LONGEST = 8.0
"""Metres of a quad: heights are right at its corners only."""
LARGEST = 3000
"""Pixels along a raster's side; a larger junction is left as it is."""
LEVEL = 2.0


def junction_fills(lanes: Sequence[Lane], junctions: Iterable[Sequence[int]]) -> Points:
    """Return quads (m, 4, 3) for junctions, each given as the numbers of its lanes."""
    boxes = np.array([(*lane.left[:, :2].min(0), *lane.left[:, :2].max(0)) for lane in lanes])
    found = [_fill(lanes, boxes, list(members)) for members in junctions if len(members)]
    return np.concatenate([np.zeros((0, 4, 3)), *found])


def _fill(lanes: Sequence[Lane], boxes: Array, members: list[int]) -> Points:
    inside = np.concatenate([lanes[i].centre for i in members])
    low, high = boxes[members, :2].min(0) - 6.0, boxes[members, 2:].max(0) + 6.0
    size = np.ceil((high - low) / PIXEL).astype(int)
    if size.max() > LARGEST:
        return np.zeros((0, 4, 3))
    near = np.flatnonzero(np.all((boxes[:, :2] < high) & (boxes[:, 2:] > low), axis=1))
    paved, other, kerbs = np.zeros((3, size[1], size[0]), np.uint8)
    own = set(members)
    heights = [inside]
    for i in near.tolist():
        lane = lanes[i]
        rows = _at_level(lane, low, high, inside) if i not in own else slice(0, len(lane.s))
        if rows is None:
            continue
        part = lane.cut(rows)
        _draw(paved if lane.paved else other, part, low)
        _draw_kerbs(kerbs, part, low)
        if lane.paved:
            heights += [part.left[::2], part.right[::2]]
    gaps = _gaps(paved, other, kerbs)
    return _quads(gaps, low, np.concatenate(heights))


def _at_level(lane: Lane, low: Array, high: Array, inside: Points) -> slice | None:
    """Return the samples within the box, where they are at the junction's height."""
    centre = lane.centre
    rows = np.flatnonzero(np.all((centre[:, :2] > low) & (centre[:, :2] < high), axis=1))
    if len(rows) < 2:
        return None
    middle = centre[rows[len(rows) // 2]]
    closest = inside[np.argmin(((inside[:, :2] - middle[:2]) ** 2).sum(axis=1))]
    if abs(closest[2] - middle[2]) > LEVEL:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1)


def _draw(image: Image, lane: Lane, low: Array) -> None:
    """Draw a strip, a few samples at a time: a whole one may cross itself."""
    left = np.round((lane.left[:, :2] - low) / PIXEL * 16.0).astype(np.int32)
    right = np.round((lane.right[:, :2] - low) / PIXEL * 16.0).astype(np.int32)
    for begin in range(0, len(left) - 1, 6):
        rows = slice(begin, begin + 7)
        cv2.fillPoly(image, [np.concatenate([left[rows], right[rows][::-1]])], 1, shift=4)


def _draw_kerbs(image: Image, lane: Lane, low: Array) -> None:
    """Draw where the map marks kerbs along outer edges, a little outside them."""
    for marked, edge, inner in (
        (lane.kerb_left and lane.outer_left, lane.left, lane.right),
        (lane.kerb_right and lane.outer_right, lane.right, lane.left),
    ):
        if marked:
            across = edge - inner
            out = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
            points = np.round((edge + 0.4 * out)[:, :2] / PIXEL - low / PIXEL).astype(np.int32)
            cv2.polylines(image, [points], False, 1)


def _gaps(paved: Image, other: Image, kerbs: Image) -> Image:
    """Return the mask of what is to be paved, in pixels of twice the size.

    A gap with ``kerbs`` in it is an island, however small.
    """
    reach = int(GAP / PIXEL)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    closed = np.asarray(cv2.morphologyEx(paved, cv2.MORPH_CLOSE, disc)) > 0
    open_ground = ~closed & (other == 0)
    # What cannot be reached from outside, in small pieces, is enclosed.
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        open_ground.astype(np.uint8), connectivity=4
    )
    small = stats[:, cv2.CC_STAT_AREA] * PIXEL * PIXEL < ISLAND
    small[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = False
    gaps = (closed | (small[labels] & open_ground)) & (paved == 0) & (other == 0)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(gaps.astype(np.uint8), connectivity=4)
    outside = np.asarray(cv2.dilate((open_ground & ~gaps).astype(np.uint8), np.ones((3, 3))))
    number = np.arange(len(stats))
    at_rim = np.isin(number, labels[outside > 0])
    kerbed = np.isin(number, labels[kerbs > 0])
    # Specks at the outline are steps of the raster along a slanting edge.
    speck = stats[:, cv2.CC_STAT_AREA] * PIXEL * PIXEL < SPECK
    gaps &= np.where(speck, ~at_rim, ~kerbed)[labels]
    grown = np.asarray(cv2.dilate(gaps.astype(np.uint8), np.ones((3, 3), np.uint8)))
    grown[other > 0] = 0
    rows, columns = (grown.shape[0] + 1) // 2 * 2, (grown.shape[1] + 1) // 2 * 2
    even = np.zeros((rows, columns), np.uint8)
    even[: grown.shape[0], : grown.shape[1]] = grown
    return np.asarray(even.reshape(rows // 2, 2, columns // 2, 2).max(axis=(1, 3)))


def _quads(mask: Image, low: Array, heights: Points) -> Points:
    """Return one quad for each run of pixels along a row, at the height of the lanes around."""
    if not mask.any():
        return np.zeros((0, 4, 3))
    padded = np.pad(mask.astype(np.int8), ((0, 0), (1, 1)))
    row, begin = np.nonzero(np.diff(padded, axis=1) == 1)
    end = np.nonzero(np.diff(padded, axis=1) == -1)[1]
    pixel = 2.0 * PIXEL
    parts = np.ceil((end - begin) * pixel / LONGEST).astype(int)
    run = np.repeat(np.arange(len(row)), parts)
    part = np.arange(len(run)) - np.repeat(np.cumsum(parts) - parts, parts)
    length = ((end - begin) / parts)[run]
    x0 = low[0] + (begin[run] + part * length) * pixel - 0.05
    x1 = x0 + length * pixel + 0.1
    y0 = low[1] + row[run] * pixel - 0.05
    y1 = y0 + pixel + 0.1
    corners = np.stack(
        [np.stack(c, axis=1) for c in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], axis=1
    )
    z = _height(corners.reshape(-1, 2), heights).reshape(-1, 4, 1) - BELOW
    return np.concatenate([corners, z], axis=2)


def _height(xy: Array, points: Points) -> Array:
    """Return heights (n,) from the points around, weighted by the inverse square distance."""
    result = np.empty(len(xy))
    origin = points[0, :2]
    flat = (points[:, :2] - origin).astype(np.float32)
    many = min(8, len(points))
    for begin in range(0, len(xy), 256):
        part = (xy[begin : begin + 256] - origin).astype(np.float32)
        squared = ((part[:, None] - flat[None]) ** 2).sum(axis=2)
        near = np.argpartition(squared, many - 1, axis=1)[:, :many]
        weight = 1.0 / (np.take_along_axis(squared, near, axis=1).astype(float) + 0.01)
        result[begin : begin + 256] = (points[near, 2] * weight).sum(axis=1) / weight.sum(axis=1)
    return result
