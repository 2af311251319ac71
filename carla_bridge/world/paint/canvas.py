"""Paint as it is drawn: quads in road coordinates, and the meshes they become.

    canvas = Canvas(tracks)
    canvas.band(track, begin, end, across, half, colour)   # a line along the road
    canvas.shape(arrow, track, along=12.0, across=0.0, colour=white)
    pieces = canvas.pieces(HEIGHT, wear)

Coordinates are (across, along) in metres: to the right of a track's axis, and along it.
A vertex of a stroke carries (-1 or 1 across, metres along, share of paint left), the unit
vector to the stroke's right and half its width, so that a shader can widen it to a pixel
and smooth its edges; a vertex of a filled area has 0 for the first, the vector and the width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.meshes import Mesh, make, merge, quads
from carla_bridge.world.paint.tracks import Array, Tracks
from carla_bridge.world.paint.wear import Wear

ACROSS = np.array([-1.0, 1.0, 1.0, -1.0])
"""Corners of a quad: its beginning's left and right, its end's right and left."""
SPIKE = 1.2
"""Squared length of two unit normals' sum below which there is no mitre: turns of 114 degrees."""
PART = 2.0
"""Metres of the longest piece of a stroke that is not along its track."""


@dataclass(frozen=True)
class Shape:
    """A drawing about its own origin: ``corners`` (n, 4, 2) metres to the right and ahead.

    ``half`` (n,) is half the width of a stroke's quad, 0 where it is part of a filled area;
    ``along`` (n, 4) are metres along the stroke.
    """

    corners: Array
    half: Array
    along: Array

    @property
    def size(self) -> tuple[float, float]:
        """Metres across and along that the drawing takes."""
        low, high = self.corners.min(axis=(0, 1)), self.corners.max(axis=(0, 1))
        return float(high[0] - low[0]), float(high[1] - low[1])

    def moved(self, across: float, along: float) -> Shape:
        """Return the drawing somewhere else."""
        return Shape(self.corners + np.array([across, along]), self.half, self.along)

    def flipped(self) -> Shape:
        """Return the drawing's mirror image, left for right."""
        # Strokes keep their beginning, and triangles the corner that both halves share.
        order = np.where(self.half[:, None] > 0.0, [1, 0, 3, 2], [0, 3, 2, 1])
        corners = np.take_along_axis(self.corners, order[..., None], 1) * np.array([-1.0, 1.0])
        return Shape(corners, self.half, np.take_along_axis(self.along, order, 1))


def joined(*shapes: Shape) -> Shape:
    """Return one drawing of many."""
    return Shape(
        np.concatenate([s.corners for s in shapes]),
        np.concatenate([s.half for s in shapes]),
        np.concatenate([s.along for s in shapes]),
    )


def stroke(points: npt.ArrayLike, half: float, closed: bool = False) -> Shape:
    """Return a stroke of ``half`` its width through points (n, 2); its corners are mitred."""
    path = np.asarray(points, dtype=float)
    if closed:
        path = np.concatenate([path, path[:1]])
    path = _divided(path)
    step = np.diff(path, axis=0)
    unit = step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9)
    right = np.stack([unit[:, 1], -unit[:, 0]], axis=1)
    before = np.concatenate([right[-1:] if closed else right[:1], right])
    after = np.concatenate([right, right[:1] if closed else right[-1:]])
    both = before + after
    # A mitre is as long as the width over the cosine of half the turn. Where that is a spike,
    # the two strokes end square instead, half their width beyond the point.
    size = (both**2).sum(axis=1, keepdims=True)
    sharp = size < SPIKE
    mitre = half * 2.0 * both / np.maximum(size, SPIKE)
    start, end = (
        np.where(sharp, half * after, mitre)[:-1],
        np.where(sharp, half * before, mitre)[1:],
    )
    over = half * unit
    first, last = path[:-1] - over * sharp[:-1], path[1:] + over * sharp[1:]
    corners = np.stack([first - start, first + start, last + end, last - end], axis=1)
    run = np.concatenate([[0.0], np.cumsum(np.linalg.norm(step, axis=1))])
    along = np.stack([run[:-1], run[:-1], run[1:], run[1:]], axis=1)
    return Shape(corners, np.full(len(corners), half), along)


def filled(corners: npt.ArrayLike) -> Shape:
    """Return filled areas: convex ones of four corners (n, 4, 2), or triangles (n, 3, 2).

    Corners run counter-clockwise as seen from above, right being x and ahead y.
    """
    area = np.asarray(corners, dtype=float)
    if area.shape[1] == 3:  # quads are drawn as two triangles from the first corner: halve it
        between = (area[:, 1:2] + area[:, 2:]) / 2.0
        area = np.concatenate([area[:, :2], between, area[:, 2:]], axis=1)
    return Shape(area, np.zeros(len(area)), area[:, :, 1])


def _divided(path: Array) -> Array:
    """Return the path with more points, none further than `PART` from the next."""
    gaps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    parts = np.maximum(np.ceil(gaps / PART - 1e-6), 1.0).astype(int)
    if (parts == 1).all():
        return path
    place = np.concatenate([i + np.arange(n) / n for i, n in enumerate(parts)] + [[len(parts)]])
    knots = np.arange(len(path))
    return np.stack([np.interp(place, knots, path[:, k]) for k in range(2)], axis=1)


@dataclass(frozen=True)
class Pieces:
    """Quads on the road, ready to be drawn: one row a quad, four corners each."""

    corners: Array
    normal: Array
    across: Array
    along: Array
    half: Array
    colour: Array
    left: Array

    def where(self, keep: npt.NDArray[np.bool_]) -> Pieces:
        """Return some of the quads."""
        return Pieces(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    def mesh(self, tag: int, least: float = 0.0, most: float = 1.0) -> Mesh:
        """Return the quads as a mesh; shares of paint left are held within bounds."""
        n = len(self.corners)
        if not n:
            return merge([])
        left = np.clip(self.left, least, most)
        return make(
            self.corners,
            quads(n),
            np.repeat(self.colour, 4, axis=0),
            self.normal.reshape(-1, 3),
            np.stack([self.across, self.along, left], axis=2).reshape(-1, 3),
            tag,
            np.repeat(self.half, 4),
        )


class Canvas:
    """Collects quads in road coordinates; nothing is computed before `pieces`."""

    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks
        self._parts: list[tuple[Array, ...]] = []

    def quads(
        self,
        track: npt.ArrayLike,
        corners: Array,
        half: npt.ArrayLike,
        along: npt.ArrayLike,
        colour: npt.ArrayLike,
        age: npt.ArrayLike = 1.0,
        cap: npt.ArrayLike = 1.0,
        lift: npt.ArrayLike = 0.0,
    ) -> None:
        """Add quads of ``corners`` (n, 4, 2); the others (n,) or one for all.

        ``age`` multiplies the paint's age, ``cap`` the share that is left of it; ``lift`` is
        in metres. ``along`` is (n, 4), ``colour`` (n, 3) sRGB 0..255.
        """
        n = len(corners)
        table, colours, run = np.empty((n, 5)), np.empty((n, 3)), np.empty((n, 4))
        for column, value in enumerate((track, half, age, cap, lift)):
            table[:, column] = value
        colours[:], run[:] = colour, along
        self._parts.append((corners, run, colours, table))

    def shape(
        self,
        shape: Shape,
        track: int,
        along: float,
        across: float,
        colour: npt.ArrayLike,
        age: float = 1.0,
    ) -> None:
        """Add a drawing whose origin lies ``along`` and ``across`` the track."""
        corners = shape.corners + np.array([across, along])
        self.quads(track, corners, shape.half, shape.along, colour, age)

    def band(
        self,
        track: npt.ArrayLike,
        begin: npt.ArrayLike,
        end: npt.ArrayLike,
        across: npt.ArrayLike,
        half: npt.ArrayLike,
        colour: npt.ArrayLike,
        age: npt.ArrayLike = 1.0,
        cap: npt.ArrayLike = 1.0,
        drift: npt.ArrayLike = 0.0,
    ) -> None:
        """Add strokes along their tracks from ``begin`` to ``end`` metres; all (n,) or one.

        They are cut so that they follow the road, and neighbours share their corners;
        ``drift`` is how many metres to the right a stroke goes for each ahead.
        """
        begin = np.atleast_1d(np.asarray(begin, float))
        n = len(begin)
        if not n:
            return
        track = np.broadcast_to(np.asarray(track, np.intp), n)
        table = np.empty((6, n))
        for column, value in zip(table, (end, across, half, age, cap, drift), strict=True):
            column[:] = value
        end, across, half, age, cap, drift = table
        colour = np.broadcast_to(np.asarray(colour, float), (n, 3))
        step = self.tracks.step[track]
        parts = np.maximum(np.ceil((end - begin) / step - 1e-6), 1.0).astype(int)
        row = np.repeat(np.arange(n), parts)
        part = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
        span = end - begin

        def cut(number: npt.NDArray[np.int64]) -> Array:
            return np.asarray(begin[row] + span[row] * (number / parts[row]))

        low, high = cut(part), cut(part + 1)
        along = np.stack([low, low, high, high], axis=1)
        middle = across[row, None] + drift[row, None] * (along - begin[row, None])
        corners = np.stack([middle + ACROSS * half[row, None], along], axis=2)
        self.quads(track[row], corners, half[row], along, colour[row], age[row], cap[row])

    def pieces(self, height: float, wear: Wear) -> Pieces:
        """Return everything drawn so far, ``height`` metres above the road and worn."""
        if not self._parts:
            self.quads(0, np.zeros((0, 4, 2)), 0.0, np.zeros((0, 4)), np.zeros(3))
        corners, along, colour, table = map(np.concatenate, zip(*self._parts, strict=True))
        track, half, age, cap, lift = table.T
        track = track.astype(np.intp)[:, None]
        across, ahead = corners[:, :, 0], corners[:, :, 1]
        if not len(corners):
            none = np.zeros((0, 4))
            return Pieces(np.zeros((0, 4, 3)), np.zeros((0, 4, 3)), none, none, half, colour, none)
        place = self.tracks.at(track, ahead, across)
        stroked = half[:, None] > 0.0
        over = np.stack([place[:, 1] - place[:, 0], place[:, 2] - place[:, 3]], axis=1)
        over[:, :, 2] = 0.0
        over /= np.maximum(np.linalg.norm(over, axis=2, keepdims=True), 1e-9)
        wheel = _in_wheel_track(across, self.tracks.half_width(track, ahead))
        left = wear.left(track, ahead, age[:, None], wheel) * cap[:, None]
        place[:, :, 2] += height + lift[:, None]
        return Pieces(
            corners=place,
            normal=np.where(stroked[..., None], over[:, [0, 0, 1, 1]], 0.0),
            across=np.where(stroked, ACROSS, 0.0),
            along=along,
            half=half,
            colour=colour,
            left=left,
        )


def _in_wheel_track(across: Array, half: Array) -> Array:
    """Return 0..1, how much wheels run over a place; lanes beside one are as wide as it is."""
    half = np.maximum(half, 0.5)
    with np.errstate(invalid="ignore"):
        place = np.abs(np.mod(across / half + 1.0, 2.0) - 1.0)
    near = np.exp(-(((place - 0.48) / 0.2) ** 2))
    return np.asarray(np.where(np.isinf(half), 0.0, near))
