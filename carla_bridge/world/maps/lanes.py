"""Lanes and painted lines as polylines: what the rest of the world is built from.

    roads.lanes[0].left          # (n, 3) metres, x east, y north, z up
    near = roads.around(place, 230.0)

`carla_bridge.world.maps.roads` makes them from OpenDRIVE text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

DRIVABLE = {"Driving", "Shoulder", "Parking", "Biking", "Bidirectional", "Stop", "Border",
            "Restricted", "Entry", "Exit", "OffRamp", "OnRamp", "RoadWorks", "NONE", "Tram",
            "Special1", "Special2", "Special3"}  # fmt: skip
"""Lane types that are paved like the road, and labelled so."""

TRACKS = {"Driving", "Bidirectional", "Entry", "Exit", "OffRamp", "OnRamp", "RoadWorks"}
"""Lane types in which wheels leave tracks."""

RAISED = {"Sidewalk", "Curb"}
"""Lane types that lie above the road behind a kerb; a median does where a kerb is marked."""


@dataclass(frozen=True)
class Lane:
    """A strip of one lane between its ``left`` and ``right`` edges, in driving direction.

    ``s`` (n,) metres along the road; ``kind`` is CARLA's lane type ("Driving", "Sidewalk",
    ...); ``outer_left`` and ``outer_right`` say that nothing else of its road lies beyond
    that edge, ``beside_left`` and ``beside_right`` what does, and ``kerb_left`` and
    ``kerb_right`` that the map marks a kerb there. A lane with ``junction`` belongs to one;
    one that ``ends_at_junction`` leads into one.

    Per sample (n,) bool, None where all are False: ``shared`` where another road's lane lies
    over this one; ``free_left`` and ``free_right`` where nothing at all lies beyond an edge.
    """

    kind: str
    left: Points
    right: Points
    s: npt.NDArray[np.float64]
    outer_left: bool
    outer_right: bool
    junction: bool = False
    ends_at_junction: bool = False
    beside_left: str = ""
    beside_right: str = ""
    kerb_left: bool = False
    kerb_right: bool = False
    surface: str = ""
    road: int = -1
    shared: Flags | None = None
    free_left: Flags | None = None
    free_right: Flags | None = None

    @property
    def centre(self) -> Points:
        """(n, 3) points halfway between the edges."""
        return (self.left + self.right) / 2.0

    @property
    def width(self) -> npt.NDArray[np.float64]:
        """(n,) metres from edge to edge."""
        return np.asarray(np.linalg.norm(self.right - self.left, axis=1))

    @property
    def paved(self) -> bool:
        """Whether it is asphalt, as a median without kerbs may be too."""
        if self.kind == "Median":
            return self.surface in ("asphalt", "concrete") and not self._kerbed
        return self.kind in DRIVABLE and self.surface != "grass"

    @property
    def raised(self) -> bool:
        """Whether it lies above the road, behind a kerb."""
        return self.kind in RAISED or (not self.paved and self._kerbed)

    @property
    def _kerbed(self) -> bool:
        return self.kerb_left or self.kerb_right

    def cut(self, rows: slice) -> Lane:
        """Return the lane from one sample to another."""
        arrays = {
            name: value[rows]
            for name in ("left", "right", "s", "shared", "free_left", "free_right")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **arrays)


@dataclass(frozen=True)
class Line:
    """A painted line: centre points (n, 3), CARLA's marking type and colour, width in metres.

    ``dash`` is (paint, gap) in metres where the map says so.
    """

    points: Points
    kind: str
    colour: str
    width: float
    dash: tuple[float, float] | None = None


def no_fills() -> Points:
    """Return the fills (0, 4, 3) of roads without any."""
    return np.zeros((0, 4, 3))


@dataclass(frozen=True)
class Roads:
    """What an OpenDRIVE text says, sampled; never changed once made.

    ``fills`` (m, 4, 3) are asphalt quads between the lanes of junctions, where no lane lies.
    """

    lanes: list[Lane]
    lines: list[Line]
    fills: Points = field(default_factory=no_fills)

    def driving(self) -> list[Lane]:
        """Return the lanes that cars use, at least 20 m long: where a camera may stand."""
        return [lane for lane in self.lanes if lane.kind == "Driving" and len(lane.s) > 20]

    def around(self, place: npt.ArrayLike, reach: float) -> Roads:
        """Return what lies in the square of ``reach`` metres to each side of a place."""
        middle = np.asarray(place, dtype=float)[:2]
        low, high = middle - reach, middle + reach

        def runs(points: Points) -> Iterator[slice]:
            return stretches(np.all((points[:, :2] > low) & (points[:, :2] < high), axis=1))

        lanes: list[Lane] = []
        for i, whole in _touching(self._lane_boxes, low, high):
            lane = self.lanes[i]
            lanes += [lane] if whole else map(lane.cut, runs(lane.left))
        lines: list[Line] = []
        for i, whole in _touching(self._line_boxes, low, high):
            line = self.lines[i]
            lines += (
                [line]
                if whole
                else [replace(line, points=line.points[rows]) for rows in runs(line.points)]
            )
        fills = self.fills[np.all(np.abs(self.fills[:, 0, :2] - middle) < reach, axis=1)]
        return Roads(lanes, lines, fills)

    @cached_property
    def _lane_boxes(self) -> Points:
        return _boxes([lane.left for lane in self.lanes])

    @cached_property
    def _line_boxes(self) -> Points:
        return _boxes([line.points for line in self.lines])


def _boxes(polylines: list[Points]) -> Points:
    """Return the lowest and the highest x, y of each: (n, 2, 2)."""
    found = [(p[:, :2].min(axis=0), p[:, :2].max(axis=0)) for p in polylines]
    return np.array(found).reshape(-1, 2, 2)


def _touching(boxes: Points, low: Points, high: Points) -> list[tuple[int, bool]]:
    """Return the numbers of boxes that touch a rectangle, and whether they lie inside it."""
    touches = np.all((boxes[:, 0] < high) & (boxes[:, 1] > low), axis=1)
    inside = np.all((boxes[:, 0] > low) & (boxes[:, 1] < high), axis=1)
    return [(int(i), bool(inside[i])) for i in np.flatnonzero(touches)]


def stretches(inside: Flags, least: int = 2) -> Iterator[slice]:
    """Yield the runs of True that are at least ``least`` samples long."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    for begin, end in zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True):
        if end - begin >= least:
            yield slice(begin, end)
