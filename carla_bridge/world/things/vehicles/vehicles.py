"""Where vehicles drive and where they are parked.

    moving = traffic(site, dice.stream("traffic"), strength=1.0, ids=Ids("traffic"))
    moving.mesh, moving.place, moving.headlights
    mesh = parked(site, dice.stream("parked"), strength=1.0, ids=Ids("parked"))

Gaps between vehicles on a lane are drawn from an exponential distribution, as in light traffic
that nobody controls (Adams, "Road traffic considered as a random series", 1936). No two stand
in each other, and none where people may cross.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carla_bridge.world.maps.lanes import Lane
from carla_bridge.world.meshes import Array, Mesh
from carla_bridge.world.things.copies import Batch, Ids
from carla_bridge.world.things.figures import dress
from carla_bridge.world.things.roadside import Bools, Rows, Side, Site, children
from carla_bridge.world.things.vehicles.bodies import CARS
from carla_bridge.world.things.vehicles.cycles import bicycle, motorcycle
from carla_bridge.world.things.vehicles.lorries import BUSES, LORRIES

PAINTS = np.array([[228, 228, 226], [24, 24, 27], [92, 96, 100], [164, 168, 172], [124, 22, 24],
                   [24, 44, 92], [60, 66, 72], [188, 178, 158], [34, 66, 50], [190, 150, 40],
                   [60, 110, 160], [200, 70, 36]], float)  # fmt: skip
LIKELY = np.array([0.21, 0.17, 0.14, 0.16, 0.08, 0.08, 0.07, 0.03, 0.02, 0.01, 0.02, 0.01])
"""Cars are white, black and grey all over the world (paint makers' yearly statistics)."""
CARGO = np.array([[232, 232, 230], [200, 204, 206], [30, 60, 120], [170, 36, 34], [230, 190, 60],
                  [60, 110, 70], [120, 124, 128]], float)  # fmt: skip

CAR_SHARES = {
    "city": 0.1,
    "hatch": 0.18,
    "golf": 0.15,
    "saloon": 0.13,
    "limousine": 0.05,
    "estate": 0.1,
    "coupe": 0.03,
    "suv": 0.11,
    "jeep": 0.03,
    "minivan": 0.05,
    "van": 0.05,
    "pickup": 0.02,
}
GROUPS = ("car", "lorry", "bus", "motorcycle", "bicycle")
MIXES = {
    "street": (0.72, 0.04, 0.05, 0.04, 0.15),
    "rural": (0.86, 0.08, 0.02, 0.02, 0.02),
    "motorway": (0.82, 0.14, 0.02, 0.02, 0.0),
}
"""Shares of `GROUPS`, by kind of road."""
HEADWAYS = {"street": (9.0, 60.0), "rural": (60.0, 350.0), "motorway": (14.0, 120.0)}
"""Mean gaps between vehicles on a lane from dense to light traffic, metres."""
CLEAR = 6.0
"""Metres about a crossing that vehicles leave free."""
BAY = 6.3


@dataclass(frozen=True)
class Moving:
    """``place`` (n, 2) metres; ``headlights`` (n, 6): place and unit direction, cycles without."""

    mesh: Mesh
    place: Array
    headlights: Array


@dataclass(frozen=True)
class Fleet:
    """n vehicles to be built: ``group`` indexes `GROUPS`, ``kind`` its bodies.

    ``stretch`` (n, 3) is their size relative to the body's, ``spread`` (n, 12) are draws that
    their colours come from.
    """

    place: Array
    heading: Array
    grade: Array
    group: Rows
    kind: Rows
    stretch: Array
    spread: Array

    def where(self, keep: Bools) -> Fleet:
        """Return some of them."""
        return Fleet(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    @property
    def size(self) -> Array:
        """(n, 2) length and width, metres."""
        sizes = [[(b.length, b.width) for b in group] for group in _BODIES]
        sizes += [[(2.2, 0.8)] * 2, [(1.9, 0.6)] * 2]
        rows = [sizes[g][k] for g, k in zip(self.group, self.kind, strict=True)]
        return np.array(rows).reshape(-1, 2) * self.stretch[:, :2]


_BODIES = (list(CARS.values()), list(LORRIES.values()), list(BUSES.values()))
_CYCLES = (
    [motorcycle(), motorcycle(0.3)],
    [bicycle(1.0, 0.12), bicycle(-0.5, 0.3)],
)


def _draw(rng: np.random.Generator, count: int, mix: tuple[float, ...]) -> tuple[Rows, ...]:
    """Return groups, kinds, stretches (count, 3) and draws (count, 12) of ``count`` vehicles."""
    group = rng.choice(len(GROUPS), count, p=mix)
    cars = rng.choice(len(CARS), count, p=np.array(list(CAR_SHARES.values())))
    other = rng.random(count)
    sizes = np.array([len(CARS), len(LORRIES), len(BUSES), 2, 2])[group]
    kind = np.where(group == 0, cars, (other * sizes).astype(int))
    stretch = 1.0 + rng.normal(0.0, 0.025, (count, 3)).clip(-0.06, 0.06)
    return group, kind, stretch, rng.random((count, 12))


def traffic(site: Site, rng: np.random.Generator, strength: float, ids: Ids) -> Moving:
    """Return the vehicles on all driving lanes."""
    place = "street" if site.land.urban else "motorway" if site.motorway else "rural"
    low, high = HEADWAYS[place]
    mean = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    lanes = [lane for lane in site.land.roads.lanes if lane.kind == "Driving"]
    seeds = rng.integers(2**62, size=len(lanes))
    found = [
        _on_lane(
            lane,
            mean / site.detail(lane.centre),
            MIXES[place],
            strength,
            np.random.default_rng(seed),
        )
        for lane, seed in zip(lanes, seeds, strict=True)
        if len(lane.s) > 6
    ]
    if not found:
        return Moving(Batch().mesh(), np.empty((0, 2)), np.empty((0, 6)))
    names = Fleet.__dataclass_fields__
    fleet = Fleet(*(np.concatenate([getattr(f, name) for f in found]) for name in names))
    fleet = fleet.where(_apart(site, fleet))
    motor = fleet.group < GROUPS.index("motorcycle")
    ahead = np.stack([np.cos(fleet.heading), np.sin(fleet.heading), fleet.grade], axis=1)
    front = fleet.place + ahead * fleet.size[:, :1] / 2.0 + [0.0, 0.0, 0.65]
    beam = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    lights = np.hstack([front, beam])[motor]
    return Moving(_build(fleet, ids), fleet.place[:, :2], lights)


def _on_lane(
    lane: Lane, mean: float, mix: tuple[float, ...], strength: float, rng: np.random.Generator
) -> Fleet:
    """Return what drives on a lane, its nose along it."""
    centre = lane.centre
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centre, axis=0), axis=1))])
    count = int(s[-1] / 4.0) + 1
    drawn = _draw(rng, count, mix)
    fleet = Fleet(np.zeros((count, 3)), np.zeros(count), np.zeros(count), *drawn)
    gaps, sideways = rng.exponential(1.0, count), rng.normal(size=count)
    long = fleet.size[:, 0]
    gap = gaps * mean / strength if strength > 0.0 else np.full(count, np.inf)
    at = np.cumsum(long + 2.0 + gap) - long / 2.0 - 2.0 - mean * 0.5 * rng.random()
    wide = np.linalg.norm(lane.right - lane.left, axis=1)
    inside = (at > 3.0) & (at < s[-1] - 3.0)
    inside &= (fleet.group != 1) & (fleet.group != 2) | (float(wide.min()) > 2.7)
    fleet, at, sideways = fleet.where(inside), at[inside], sideways[inside]
    half = np.interp(at, s, wide) / 2.0
    spread = np.array([0.13, 0.08, 0.06, 0.3, 0.5])[fleet.group]
    # Bicycles keep to the right, some of them nearer to the middle.
    aside = np.where(fleet.group == 4, half - 0.65 - np.abs(sideways) * spread, sideways * spread)
    row = np.array(
        [[np.interp(at, s, column) for column in edge.T] for edge in (lane.left, lane.right)]
    )
    left, right = row.transpose(0, 2, 1)
    across = (right - left) / np.maximum(2.0 * half, 1e-6)[:, None]
    place = (left + right) / 2.0 + across * aside[:, None]
    step = 1.5
    points = [
        np.stack([np.interp(at + d, s, column) for column in centre.T], 1) for d in (-step, step)
    ]
    way = points[1] - points[0]
    run = np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-6)
    return Fleet(place, np.arctan2(way[:, 1], way[:, 0]), way[:, 2] / run, fleet.group, fleet.kind,
                 fleet.stretch, fleet.spread)  # fmt: skip


def _apart(site: Site, fleet: Fleet) -> Bools:
    """Return which vehicles stay: none in one before it in the list, none on a crossing."""
    n = len(fleet.place)
    size, keep = fleet.size / 2.0, np.ones(n, bool)
    for i in range(n):
        gap = fleet.place[:i, :2] - fleet.place[i, :2]
        cos, sin = np.cos(fleet.heading[i]), np.sin(fleet.heading[i])
        turn = fleet.heading[:i] - fleet.heading[i]
        c, t = np.abs(np.cos(turn)), np.abs(np.sin(turn))
        along = np.abs(gap[:, 0] * cos + gap[:, 1] * sin)
        aside = np.abs(gap[:, 1] * cos - gap[:, 0] * sin)
        meets = along < size[i, 0] + size[:i, 0] * c + size[:i, 1] * t + 0.8
        meets &= np.abs(fleet.place[:i, 2] - fleet.place[i, 2]) < 4.0  # not on a bridge above
        meets &= aside < size[i, 1] + size[:i, 1] * c + size[:i, 0] * t + 0.15
        keep[i] = not (meets & keep[:i]).any()
    if len(site.crossings) and n:
        gap = np.linalg.norm(fleet.place[:, None, :2] - site.crossings[None, :, :2], axis=2)
        keep &= (gap > CLEAR + size[:, :1]).all(axis=1)
    return keep


def _build(fleet: Fleet, ids: Ids) -> Mesh:
    """Return the mesh of a fleet: each body once, copied."""
    batch = Batch()
    number = ids.take(len(fleet.place))
    u = fleet.spread
    which = np.searchsorted(np.cumsum(LIKELY)[:-1], u[:, 0], side="right")
    paint = PAINTS[which] * (0.85 + 0.25 * u[:, 1:2])
    cargo = CARGO[(u[:, 2] * len(CARGO)).astype(int)]
    cloth = np.concatenate([dress(u[:, 4:]), cargo[:, None] * 0.8], axis=1)
    both = np.stack([paint, cargo], axis=1)
    colours = (paint, both, both, cloth, cloth)
    meshes = [*([body.mesh for body in group] for group in _BODIES), *_CYCLES]
    for g, bodies in enumerate(meshes):
        for k, mesh in enumerate(bodies):
            some = (fleet.group == g) & (fleet.kind == k)
            batch.add(mesh, fleet.place[some], fleet.heading[some], fleet.stretch[some],
                      colours[g][some], number[some], fleet.grade[some])  # fmt: skip
    return batch.mesh()


def parked(site: Site, rng: np.random.Generator, strength: float, ids: Ids) -> Mesh:
    """Return parked cars: in parking lanes, half on pavements, in front gardens."""
    full = float(rng.uniform(0.2, 0.85))
    fleets = []
    bays = [lane for lane in site.land.roads.lanes if lane.kind == "Parking" and len(lane.s) > 7]
    for lane, seed in zip(bays, rng.integers(2**62, size=len(bays)), strict=True):
        child = np.random.default_rng(seed)
        centre = lane.centre
        s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centre, axis=0), axis=1))])
        at = np.arange(4.0, s[-1] - 3.5, BAY)
        place = np.stack([np.interp(at, s, column) for column in centre.T], 1)
        ahead = np.stack([np.interp(at + 1.0, s, column) for column in centre.T], 1) - place
        heading = np.arctan2(ahead[:, 1], ahead[:, 0])
        fleets.append(_stand(site, place, heading, full * site.detail(centre), strength, child))
    for side, child in children(site.sides, rng):
        if side.parked:
            place, heading = _kerbside(site, side)
            fleets.append(_stand(site, place, heading, full * side.detail, strength, child))
        if side.setting == "houses" and side.setback > 7.0:
            fleets.append(_driveways(site, side, strength, child))
    names = Fleet.__dataclass_fields__
    if not fleets:
        return Batch().mesh()
    fleet = Fleet(*(np.concatenate([getattr(f, name) for f in fleets]) for name in names))
    return _build(fleet.where(_apart(site, fleet)), ids)


def _kerbside(site: Site, side: Side) -> tuple[Array, Array]:
    """Return bays half on a pavement: places (n, 3) between the heights of road and kerb."""
    at = np.arange(3.5, side.length - 3.0, BAY)
    place, heading = side.at(at, 0.5 - side.pavement)
    place[:, 2] += 0.5 * site.land.kerb_height
    return place, heading + side.drive


def _driveways(site: Site, side: Side, strength: float, rng: np.random.Generator) -> Fleet:
    """Return cars in front of houses, their noses to the road or away from it."""
    at = np.arange(6.0, side.length - 4.0, 13.0)
    place, heading = site.spots(side, at, side.setback - 3.2)
    return _stand(site, place, heading + np.pi / 2, 0.4 * side.detail, strength, rng)


def _stand(
    site: Site, place: Array, heading: Array, full: float, strength: float, rng: np.random.Generator
) -> Fleet:
    """Return cars at some of the places: a share ``full`` of them, at a strength of 1."""
    count = len(place)
    drawn = _draw(rng, count, (0.97, 0.03, 0.0, 0.0, 0.0))
    turned = np.pi * (rng.random(count) < 0.12) + rng.normal(0.0, 0.02, count)
    shift = rng.normal(0.0, 0.25, count)
    keep = rng.random(count) < full * strength
    ahead = np.stack([np.cos(heading), np.sin(heading), np.zeros(count)], axis=1)
    fleet = Fleet(place + ahead * shift[:, None], heading + turned, np.zeros(count), *drawn)
    keep &= (site.off_lane(place[:, :2]) > 0.3) & ~site.plots.hold(place[:, :2], 0.5)
    keep &= (fleet.group == 0) | (site.off_lane(place[:, :2]) > 0.9)
    return fleet.where(keep)
