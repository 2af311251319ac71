"""Where buildings would stand: rows of plots along the streets, whatever the strength is.

    planned = plan(site, dice.stream("buildings"))
    planned.plots          # what trees and walls keep clear of

A plot's width is the chord between the ends of its front, so that rows stay closed round bends.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from carla_bridge.world.meshes import Array
from carla_bridge.world.things.roadside import Bools, Plots, Rows, Side, Site

STOREY = 3.1
"""Metres; the shader's windows are as far apart."""


@dataclass(frozen=True)
class Row:
    """What a row is made of: metres, storeys, shares of 1."""

    width: tuple[float, float]
    depth: tuple[float, float]
    storeys: tuple[int, int]
    gap: tuple[float, float]
    gaps: float
    """Share of buildings with a gap after them."""
    even: bool
    """Whether all are of one height and style."""
    stands: float
    """Share of plots that are built on."""


ROWS = {
    "terrace": Row((4.8, 7.0), (8.0, 10.0), (2, 3), (1.5, 5.0), 0.12, True, 0.98),
    "shops": Row((5.0, 14.0), (9.0, 12.0), (2, 5), (2.0, 8.0), 0.1, False, 0.97),
    "blocks": Row((15.0, 34.0), (10.0, 15.0), (3, 8), (3.0, 16.0), 0.7, False, 0.92),
    "houses": Row((8.0, 13.0), (8.0, 11.0), (1, 2), (3.0, 13.0), 1.0, False, 0.9),
    "farm": Row((9.0, 22.0), (8.0, 12.0), (1, 2), (25.0, 90.0), 1.0, False, 0.6),
    "industry": Row((18.0, 48.0), (18.0, 30.0), (2, 3), (5.0, 25.0), 0.9, False, 0.9),
    "outskirts": Row((14.0, 40.0), (10.0, 16.0), (2, 6), (5.0, 40.0), 0.9, False, 0.8),
    "behind": Row((12.0, 30.0), (12.0, 16.0), (3, 9), (4.0, 40.0), 0.9, False, 0.6),
}
KINDS = list(ROWS)
FLAT, GABLE, HIP = 0, 1, 2
ROOFED = {"terrace": (0.03, 0.95, 0.02), "shops": (0.45, 0.45, 0.1), "blocks": (0.75, 0.1, 0.15),
          "houses": (0.06, 0.6, 0.34), "farm": (0.0, 0.85, 0.15), "industry": (0.6, 0.4, 0.0),
          "outskirts": (0.7, 0.2, 0.1), "behind": (0.6, 0.25, 0.15)}  # fmt: skip
"""Shares of flat, gabled and hipped roofs."""

FACADES = np.array(
    [[150, 82, 62], [172, 98, 76], [128, 72, 56], [196, 172, 138], [214, 200, 170], [226, 222, 212],
     [232, 230, 224], [176, 172, 166], [146, 146, 146], [118, 122, 128], [206, 178, 116],
     [188, 150, 120], [120, 100, 84], [158, 168, 172], [90, 92, 98], [208, 190, 186]]
)  # fmt: skip
CLADDINGS = np.array([[186, 190, 194], [140, 152, 166], [206, 204, 196], [108, 120, 112],
                      [168, 132, 110], [96, 104, 120]])  # fmt: skip
ROOFS = np.array([[78, 76, 80], [96, 88, 84], [134, 74, 54], [150, 90, 64], [104, 70, 54],
                  [62, 62, 66], [120, 112, 104]])  # fmt: skip


@dataclass(frozen=True)
class Planned:
    """n buildings: rows of arrays (n,) or (n, 3); ``chance`` decides which of them stand."""

    place: Array
    heading: Array
    width: Array
    depth: Array
    height: Array
    kind: Rows
    roof: Rows
    rise: Array
    colour: Array
    tiles: Array
    chance: Array

    def where(self, keep: Bools) -> Planned:
        """Return some of them."""
        return Planned(*(getattr(self, field.name)[keep] for field in fields(self)))

    @property
    def plots(self) -> Plots:
        """The ground they stand on."""
        return Plots(self.place, self.heading, self.width, self.depth)


_NO, _NONE = np.empty(0), np.empty(0, np.int64)
NOTHING = Planned(
    np.empty((0, 3)), _NO, _NO, _NO, _NO, _NONE, _NONE, _NO, np.empty((0, 3)), np.empty((0, 3)), _NO
)


def plan(site: Site, rng: np.random.Generator) -> Planned:
    """Return where buildings would be along all roads, none of them on another or on a road."""
    palette = FACADES[rng.integers(len(FACADES), size=4)] * 1.0
    planned = NOTHING
    for side in site.sides:
        for kind, setback in _lines(side, rng):
            style = _style(kind, side, palette, rng)
            row = _along(site, side, style, setback)
            around = _outline(row.plots)
            n, k = around.shape[:2]
            flat = around.reshape(-1, 2)
            gap = 0.05 if kind != "behind" else 4.0
            keep = (site.off_road(flat).reshape(n, k) > gap).all(axis=1)
            keep &= ~planned.plots.hold(flat, -1.0).reshape(n, k).any(axis=1)
            found = row.where(keep & (row.chance < 1.0))
            names = [field.name for field in fields(Planned)]
            planned = Planned(
                *(np.concatenate([getattr(p, name) for p in (planned, found)]) for name in names)
            )
    return planned


def _lines(side: Side, rng: np.random.Generator) -> list[tuple[str, float]]:
    """Return the rows of buildings on a side: (kind, metres from the edge)."""
    lines = [(side.setting, side.setback)] if side.setting in ROWS else []
    behind, beyond = float(rng.random()), float(rng.uniform(16.0, 40.0))
    if side.place == "street" and behind < 0.6:
        lines.append(("behind", min(side.setback, 20.0) + beyond))
    return lines


def _style(name: str, side: Side, palette: Array, rng: np.random.Generator) -> Planned:
    """Draw more buildings than fit a side; their ``place`` is (metres along, jitter back, 0)."""
    row = ROWS[name]
    count = int(side.length / row.width[0]) + 1
    width = rng.uniform(row.width[0], row.width[1], count)
    gap = rng.uniform(row.gap[0], row.gap[1], count) * (rng.random(count) < row.gaps)
    storeys = rng.integers(row.storeys[0], row.storeys[1] + 1, count)
    roof = rng.choice(3, count, p=ROOFED[name])
    colour = palette[rng.integers(len(palette), size=count)]
    shade = rng.uniform(0.8, 1.1, (count, 1))
    cladding = CLADDINGS[rng.integers(len(CLADDINGS), size=count)] * 1.0
    tiles = ROOFS[rng.integers(len(ROOFS), size=count)] * 1.0
    pitch, jitter, chance = rng.uniform(0.5, 1.0, count), rng.random(count), rng.random(count)
    depth = rng.uniform(row.depth[0], row.depth[1], count)
    begin = float(rng.uniform(0.0, 4.0))
    if row.even:
        width, storeys, roof, pitch = (np.full(count, x[0]) for x in (width, storeys, roof, pitch))
        colour, tiles = np.repeat(colour[:1], count, axis=0), np.repeat(tiles[:1], count, axis=0)
    hall = name == "industry"
    height = storeys.astype(float) * STOREY * (1.25 if hall else 1.0) + 0.6 * (name == "shops")
    rise = np.where(roof == FLAT, 0.0, np.minimum(width, depth) * 0.45 * pitch)
    rise = np.minimum(rise, 1.6) if hall else rise
    back = 2.5 * jitter * (not row.even and name != "shops")
    place = np.stack([begin + np.cumsum(width + gap) - width - gap, back, 0.0 * back], axis=1)
    kind = np.full(count, KINDS.index(name))
    return Planned(place, np.zeros(count), width, depth, height, kind, roof, rise,
                   (cladding if hall else colour) * shade, tiles, chance / row.stands)  # fmt: skip


def _along(site: Site, side: Side, style: Planned, setback: float) -> Planned:
    """Return the buildings of a style that fit a side, in the world."""
    start, away = style.place[:, 0], setback + style.place[:, 1]
    fits = start + style.width < side.length
    style, start, away = style.where(fits), start[fits], away[fits]
    first, _ = side.at(start, away)
    last, _ = side.at(start + style.width, away)
    way = (last - first)[:, :2]
    width = np.hypot(way[:, 0], way[:, 1])
    place = (first + last) / 2.0
    if len(place):
        place[:, 2] = site.land.height(place[:, :2])
    placed = replace(style, place=place, heading=np.arctan2(way[:, 1], way[:, 0]), width=width)
    # Inside of sharp bends fronts shrink to nothing.
    return placed.where(width > 0.6 * style.width)


def _outline(plots: Plots) -> Array:
    """Return points (n, 12, 2) on and in footprints, close enough that no lane slips through."""
    x, y = np.meshgrid([-0.5, -0.17, 0.17, 0.5], [0.0, 0.5, 1.0])
    along = x.ravel() * plots.width[:, None]
    back = y.ravel() * plots.depth[:, None]
    cos, sin = np.cos(plots.heading)[:, None], np.sin(plots.heading)[:, None]
    return np.stack([plots.place[:, :1] + along * cos - back * sin,
                     plots.place[:, 1:2] + along * sin + back * cos], axis=2)  # fmt: skip
