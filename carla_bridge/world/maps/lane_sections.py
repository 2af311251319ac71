"""One OpenDRIVE road, cut into lane strips and painted lines.

    strips, lines, junction = read_road(element, index=0)

A road is sampled once along its reference line; lane widths stack up from there to both
sides, so that neighbouring lanes share their edge point for point. Strips and lines go on
through lane sections wherever nothing changes but the section.

The rules are those of ASAM OpenDRIVE 1.4 (https://www.asam.net/standards/detail/opendrive/):
lanes in section 5.3.7, superelevation and crossfall in 5.3.6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from carla_bridge.world.maps.check import Element, number, whole_number
from carla_bridge.world.maps.lane_tracks import Array, Strip, Stroke, Tracks
from carla_bridge.world.maps.reference_line import Cubics, ReferenceLine
from edge_seg.errors import EdgeSegError

STEP = 1.0
"""Metres between samples along a lane, at most."""
MOST_METRES = 1_000_000.0
"""Metres of lanes; CARLA's towns have 20,000 to 60,000."""
MOST_MARKS = 5000
"""Changes of a lane's marks in one section."""
MOST_LANES = 100
"""On one side of a road."""
WIDEST = 200.0
"""Metres of one lane."""
KINDS = {
    "driving": "Driving", "bus": "Driving", "taxi": "Driving", "hov": "Driving", "stop": "Stop",
    "shoulder": "Shoulder", "biking": "Biking", "sidewalk": "Sidewalk", "walking": "Sidewalk",
    "border": "Border", "restricted": "Restricted", "parking": "Parking", "median": "Median",
    "bidirectional": "Bidirectional", "roadworks": "RoadWorks", "curb": "Curb", "tram": "Tram",
    "rail": "Rail", "entry": "Entry", "mwyentry": "Entry", "exit": "Exit", "mwyexit": "Exit",
    "onramp": "OnRamp", "offramp": "OffRamp", "connectingramp": "OnRamp", "sliplane": "OnRamp",
    "none": "NONE", "special1": "Special1", "special2": "Special2", "special3": "Special3",
    "shared": "Shoulder",
}  # fmt: skip
"""CARLA's name of each lane type; what is not here is paved like a shoulder.

One whose material is grass is "Grass", whatever else it is."""

MARKS = {
    "solid": "Solid", "broken": "Broken", "solid solid": "SolidSolid", "botts dots": "BottsDots",
    "solid broken": "SolidBroken", "broken solid": "BrokenSolid", "broken broken": "BrokenBroken",
}  # fmt: skip
"""CARLA's name of each road mark that is paint."""

COLOURS = {"white": "White", "standard": "White", "yellow": "Yellow", "blue": "Blue",
           "green": "Green", "red": "Red", "orange": "Yellow"}  # fmt: skip


@dataclass(frozen=True)
class Road:
    """What was read of one road; ``junctions`` says whether one is at its (start, end)."""

    strips: list[Strip]
    strokes: list[Stroke]
    junction: str
    junctions: tuple[bool, bool]
    left_hand: bool


@dataclass(frozen=True)
class _Section:
    """A stretch with the same lanes; each side has its lanes and the s they count from."""

    begin: float
    end: float
    left: tuple[float, list[Element]]
    centre: tuple[float, Element | None]
    right: tuple[float, list[Element]]


def read_road(element: Element) -> Road:
    """Sample a ``<road>``; one without geometry or lanes has none."""
    line = ReferenceLine(element.find("planView"))
    sections = _sections(element, line.length)
    metres = sum((x.end - x.begin) * (len(x.left[1]) + len(x.right[1])) for x in sections)
    if metres > MOST_METRES:
        raise EdgeSegError(
            f"{metres / 1000:.0f} km of lanes; {MOST_METRES / 1000:.0f} km are the most of a map"
        )
    tracks = Tracks()
    if sections:
        grids = [_grid(section) for section in sections]
        profile = _Profile.at(element, line, grids)
        cuts = np.cumsum([0, *map(len, grids)])
        for i, section in enumerate(sections):
            part = profile.part(slice(int(cuts[i]), int(cuts[i + 1])))
            tracks.add(*_cross_section(section, part))
    ends = [element.find(f"link/{end}") for end in ("predecessor", "successor")]
    return Road(
        tracks.strips(),
        tracks.strokes(),
        element.get("junction", "-1"),
        (_is_junction(ends[0]), _is_junction(ends[1])),
        element.get("rule", "RHT") == "LHT",
    )


def _is_junction(link: Element | None) -> bool:
    return link is not None and link.get("elementType") == "junction"


def _grid(section: _Section) -> Array:
    length = section.end - section.begin
    return np.linspace(section.begin, section.end, max(2, int(np.ceil(length / STEP)) + 1))


def _sections(element: Element, length: float) -> list[_Section]:
    """Return the lane sections of some length, in order; one-sided ones are filled up."""
    rows = sorted(
        ((max(number(e, "s", 0.0), 0.0), e) for e in element.findall("lanes/laneSection")),
        key=lambda row: row[0],
    )
    rows = [row for row in rows if row[0] < length]
    sections: list[_Section] = []
    left: tuple[float, list[Element]] = (0.0, [])
    right: tuple[float, list[Element]] = (0.0, [])
    for i, (s, section) in enumerate(rows):
        one_sided = section.get("singleSide") == "true"
        found = {side: section.find(side) for side in ("left", "right")}
        if not one_sided or found["left"] is not None:
            left = (s, _lanes(found["left"], 1))
        if not one_sided or found["right"] is not None:
            right = (s, _lanes(found["right"], -1))
        end = rows[i + 1][0] if i + 1 < len(rows) else length
        if end - s > 1e-6:
            sections.append(_Section(s, end, left, (s, section.find("center/lane")), right))
    return sections


def _lanes(side: Element | None, sign: int) -> list[Element]:
    """Return the lanes of one side from the inside outwards."""
    found = [] if side is None else side.findall("lane")
    lanes = {whole_number(e, "id") * sign: e for e in reversed(found)}
    if len(lanes) > MOST_LANES:
        raise EdgeSegError(f"{len(lanes)} lanes side by side; {MOST_LANES} are the most")
    return [lanes[n] for n in sorted(lanes) if n > 0]


@dataclass(frozen=True)
class _Profile:
    """The reference line with heights and slopes, sampled: each (n,)."""

    s: Array
    x: Array
    y: Array
    heading: Array
    z: Array
    roll: Array
    fall: dict[int, Array]
    offset: Array

    @staticmethod
    def at(element: Element, line: ReferenceLine, grids: list[Array]) -> _Profile:
        s = np.concatenate(grids)
        # A section's last sample is its own: where records jump there, the next one's do not count.
        inside = s.copy()
        inside[np.cumsum([len(grid) for grid in grids]) - 1] -= 1e-6
        x, y, heading = line.at(s, inside)
        falls = element.findall("lateralProfile/crossfall")
        fall = {
            side: Cubics.make(
                [
                    [number(e, "s", 0.0), *(number(e, k, 0.0) for k in "abcd")]
                    for e in falls
                    if e.get("side", "both") in (name, "both")
                ]
            ).at(s, inside)
            for side, name in ((1, "left"), (-1, "right"))
        }
        return _Profile(
            s,
            x,
            y,
            heading,
            Cubics.of(element, "elevationProfile/elevation", "s").at(s, inside),
            np.clip(
                Cubics.of(element, "lateralProfile/superelevation", "s").at(s, inside), -1.5, 1.5
            ),
            {side: np.clip(value, -1.5, 1.5) for side, value in fall.items()},
            Cubics.of(element, "lanes/laneOffset", "s").at(s, inside),
        )

    def part(self, rows: slice) -> _Profile:
        return _Profile(
            self.s[rows], self.x[rows], self.y[rows], self.heading[rows], self.z[rows],
            self.roll[rows], {k: v[rows] for k, v in self.fall.items()}, self.offset[rows],
        )  # fmt: skip

    def points(self, across: Array, lift: Array) -> Array:
        """Return points (n, 3) ``across`` metres to the left, ``lift`` metres above the line."""
        flat = across * np.cos(self.roll)
        return np.stack(
            [
                self.x - flat * np.sin(self.heading),
                self.y + flat * np.cos(self.heading),
                self.z + lift,
            ],
            axis=1,
        )


def _cross_section(section: _Section, profile: _Profile) -> tuple[list[Strip], list[Stroke]]:
    """Stack the lanes of one section up from the reference line, to both sides."""
    centre = profile.points(profile.offset, profile.offset * np.sin(profile.roll))
    sides = {
        side: _side(side, from_s, lanes, profile, centre)
        for side, (from_s, lanes) in ((1, section.left), (-1, section.right))
    }
    strips: list[Strip] = []
    strokes: list[Stroke] = []
    centre_marks = _marks(section.centre[1], section.centre[0])
    for side, found in sides.items():
        across = sides[-side][0][0].kind if sides[-side] else ""
        # Next to nothing, a lane of type none is only an offset: its outer mark still counts.
        first = 0
        while not across and first < len(found) and found[first][0].kind == "NONE":
            first += 1
        for i in range(max(first - 1, 0), len(found)):
            strip, marks = found[i]
            strokes += _strokes(side, strip.outer, strip.s, marks)
            if i < first:
                continue
            inner = across if i == 0 else found[i - 1][0].kind if i > first else ""
            outer = found[i + 1][0].kind if i + 1 < len(found) else ""
            kerb = _is_kerb(found[i - 1][1] if i else centre_marks)
            strips.append(replace(strip, beside=(inner, outer), kerbs=(kerb, _is_kerb(marks))))
    if any(np.allclose(strip.inner, centre) for strip in strips):
        strokes += _strokes(-1, centre, profile.s, centre_marks)
    return strips, strokes


_Mark = tuple[float, str, str, float, "tuple[float, float] | None"]


def _side(
    side: int, from_s: float, lanes: list[Element], profile: _Profile, centre: Array
) -> list[tuple[Strip, list[_Mark]]]:
    """Return the strips of one side and their outer marks, but no outermost of no type."""
    across, lift = profile.offset, profile.offset * np.sin(profile.roll)
    inner = centre
    found: list[tuple[Strip, list[_Mark]]] = []
    for lane in lanes:
        width = _width(lane, profile.s - from_s, np.abs(across - profile.offset))
        across = across + side * width
        if lane.get("level") != "true":
            lift = lift + side * width * np.sin(profile.roll) - width * np.tan(profile.fall[side])
        outer = profile.points(across, lift)
        if width.max() > 0.01:
            kind = KINDS.get(lane.get("type", "none").replace(" ", "").lower(), "Shoulder")
            material = lane.find("material")
            surface = "" if material is None else material.get("surface", "")
            if surface == "grass" and kind not in ("Sidewalk", "Median"):
                kind = "Grass"
            strip = Strip(kind, side, inner, outer, profile.s, (False, False), ("", ""), surface)
            found.append((strip, _marks(lane, from_s)))
        inner = outer
    while found and found[-1][0].kind == "NONE":
        found.pop()
    return found


def _width(lane: Element, s: Array, inner: Array) -> Array:
    """Return a lane's width (n,), from its widths or from where its border runs."""
    if lane.find("width") is None and lane.find("border") is not None:
        width = np.abs(Cubics.of(lane, "border").at(s)) - inner
    else:
        width = Cubics.of(lane, "width").at(s)
    if not width.max() <= WIDEST:
        raise EdgeSegError(f"a lane is {width.max():.0f} m wide; {WIDEST:.0f} m are the most")
    return np.maximum(width, 0.0)


def _marks(lane: Element | None, from_s: float) -> list[_Mark]:
    """Return a lane's road marks: (s, type, colour, width in metres, dash), in order."""
    found: list[_Mark] = []
    for mark in [] if lane is None else lane.findall("roadMark"):
        weight = 0.25 if mark.get("weight") == "bold" else 0.12
        width = number(mark, "width", weight)
        dash = mark.find("type/line")
        lengths = None
        if dash is not None and number(dash, "space", 0.0) > 0.0:
            lengths = (number(dash, "length", 3.0), number(dash, "space"))
        found.append(
            (
                from_s + max(number(mark, "sOffset", 0.0), 0.0),
                mark.get("type", "none").strip().lower(),
                COLOURS.get(mark.get("color", "white").strip().lower(), "White"),
                width if 0.0 < width < 2.0 else weight,
                lengths,
            )
        )
    if len(found) > MOST_MARKS:
        raise EdgeSegError(f"{len(found)} road marks on one lane; {MOST_MARKS} are the most")
    return sorted(found, key=lambda mark: mark[0])


def _is_kerb(marks: list[_Mark]) -> bool:
    return any(kind == "curb" for _, kind, *_ in marks)


def _strokes(side: int, points: Array, s: Array, marks: list[_Mark]) -> list[Stroke]:
    """Return the painted stretches of one edge."""
    found = []
    for i, (begin, kind, colour, width, dash) in enumerate(marks):
        end = min(marks[i + 1][0], s[-1]) if i + 1 < len(marks) else s[-1]
        begin = max(begin, s[0])
        if kind in MARKS and end - begin > 0.01:
            inside = s[(s > begin + 1e-6) & (s < end - 1e-6)]
            at = np.concatenate([[begin], inside, [end]])
            cut = np.stack([np.interp(at, s, points[:, k]) for k in range(3)], axis=1)
            found.append(Stroke(side, cut, end == s[-1], (MARKS[kind], colour, width, dash)))
    return found
