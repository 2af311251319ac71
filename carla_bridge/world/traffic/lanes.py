"""Where cars may stand and how the road lies there: CARLA's own OpenDRIVE reader, and ours.

    lanes = Lanes(carla.Map("Town", shipped_maps.text("Town")))
    lanes.spawn_points()[0]                    # carla.Transform, as get_spawn_points() gives
    z, pitch, roll = lanes.ground(x, y, z, yaw_deg)
    lanes.speed_limit(x, y, z)                 # km/h

Everything here is in CARLA's coordinates (y to the right, degrees clockwise) and works without
a server.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from carla_bridge.world.coordinates import heading_from_carla
from carla_bridge.world.maps.roads import read_roads
from carla_bridge.world.traffic._carla import client
from carla_bridge.world.traffic.ground import Ground
from carla_bridge.world.traffic.tracks import Key, Network, Track

SPAWN_GAP = 20.0
"""Metres between spawn points along a lane."""
SPAWN_CLEAR = 10.0
"""Metres from a spawn point to where its lane ends or meets a junction, at least: two lengths
of a car."""
SPAWN_LIFT = 0.3
"""Metres above the road, as CARLA's own maps have their spawn points."""
LIE_GAP = 1.0
"""Metres between the places where the road's height under a lane's centre is kept."""
APART = 3.0
"""Metres between two spawn points, however they lie: a lane's width."""


@dataclass(frozen=True)
class LanePose:
    """A lane's centre nearest to some place: metres, degrees, CARLA's ids.

    ``aside_m`` is how far to the right of the centre the place lies; ``width_m`` the lane's.
    """

    x: float
    y: float
    z: float
    yaw_deg: float
    aside_m: float
    width_m: float
    road: int
    section: int
    lane: int
    junction: int


class Lanes:
    """The lanes of one map."""

    def __init__(self, carla_map: Any) -> None:
        self.map = carla_map
        self.network = Network(carla_map)
        self._lies: dict[Key, list[tuple[float, float, float]]] = {}

    @cached_property
    def _surface(self) -> tuple[Ground, tuple[float, float]]:
        """The ground, and by how much (x, y, metres) our reader moved a map far from its origin."""
        roads = read_roads(self.map.to_opendrive(), self.map.name)
        ours = np.concatenate([lane.centre[:, :2] for lane in roads.driving()]).min(axis=0)
        places = [w.transform.location for w in self.map.generate_waypoints(20.0)]
        theirs = np.array([(p.x, -p.y) for p in places]).min(axis=0)
        moved = np.round(theirs - ours, -3)  # by whole kilometres, if at all
        return Ground(roads), (float(moved[0]), float(moved[1]))

    def ground(self, x: float, y: float, z: float, yaw_deg: float) -> tuple[float, float, float]:
        """Return (z, pitch, roll) of a car there, on the road or beside it: metres, degrees.

        ``z`` is the car's height until now: it says which of two levels is meant.
        """
        surface, (east, north) = self._surface
        spot = surface.at(x - east, -y - north, z, heading_from_carla(yaw_deg))
        return spot.z, math.degrees(spot.pitch_rad), math.degrees(spot.roll_rad)

    def lie(self, track: Track, at: float) -> tuple[float, float, float]:
        """Return (z, pitch, roll) of a car on a lane's centre: metres, degrees."""
        rows = self._lies.get(track.key)
        if rows is None:
            rows = self._lies[track.key] = self._sampled_lies(track)
        t = min(max(at / track.length, 0.0), 1.0) * (len(rows) - 1)
        i = min(int(t), len(rows) - 2)
        (z, pitch, roll), (z1, pitch1, roll1) = rows[i], rows[i + 1]
        t -= i
        return z + t * (z1 - z), pitch + t * (pitch1 - pitch), roll + t * (roll1 - roll)

    def _sampled_lies(self, track: Track) -> list[tuple[float, float, float]]:
        count = max(2, math.ceil(track.length / LIE_GAP) + 1)
        places = [track.at(track.length * i / (count - 1)) for i in range(count)]
        return [self.ground(p.x, p.y, p.z, math.degrees(p.yaw)) for p in places]

    def nearest(self, x: float, y: float, z: float) -> LanePose | None:
        """Return the nearest driving lane's centre, or None on a map without any."""
        carla = client()
        place = carla.Location(x=x, y=y, z=z)
        found = self.map.get_waypoint(place, project_to_road=True)
        if found is None:
            return None
        centre, right = found.transform.location, found.transform.get_right_vector()
        aside = (x - centre.x) * right.x + (y - centre.y) * right.y
        return LanePose(
            centre.x, centre.y, centre.z, found.transform.rotation.yaw, aside, found.lane_width,
            found.road_id, found.section_id, found.lane_id,
            found.junction_id if found.is_junction else -1,
        )  # fmt: skip

    def speed_limit(self, x: float, y: float, z: float) -> float:
        """Return the limit in km/h on the nearest driving lane."""
        pose = self.nearest(x, y, z)
        return 30.0 if pose is None else self.network.speed_limit(pose.road)

    def starts(self) -> list[tuple[Track, float]]:
        """Return (track, metres from its start) of every spawn point, in a fixed order."""
        return [(self.network.track(key), at) for key, at in self._starts]

    def spawn_points(self) -> list[Any]:
        """Return `carla.Transform`s on driving lanes outside junctions, clear of each other.

        They are ordered by road, section, lane and along it, each 0.3 m above the road.
        """
        return [self._transform(track, at) for track, at in self.starts()]

    @cached_property
    def _starts(self) -> list[tuple[Key, float]]:
        network = self.network
        taken: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
        found = []
        for key in network.keys:
            track = network.track(key)
            if track.junction != -1 or track.length < 2.0 * SPAWN_CLEAR:
                continue
            room = track.length - 2.0 * SPAWN_CLEAR
            count = int(room / SPAWN_GAP) + 1
            for i in range(count):
                at = SPAWN_CLEAR + (room * i / (count - 1) if count > 1 else room / 2.0)
                place = track.at(at)
                if _free(taken, place.x, place.y, place.z):
                    found.append((key, at))
        return found

    def _transform(self, track: Track, at: float) -> Any:
        carla = client()
        place = track.at(at)
        yaw = math.degrees(math.remainder(place.yaw, 2.0 * math.pi))
        z, pitch, _ = self.ground(place.x, place.y, place.z, yaw)
        return carla.Transform(
            carla.Location(x=place.x, y=place.y, z=z + SPAWN_LIFT),
            carla.Rotation(pitch=pitch, yaw=yaw, roll=0.0),
        )


def _free(
    taken: dict[tuple[int, int], list[tuple[float, float, float]]], x: float, y: float, z: float
) -> bool:
    """Whether nothing is within `APART` metres of a place; it is taken then."""
    column, row = int(x // APART), int(y // APART)
    for i in (column - 1, column, column + 1):
        for j in (row - 1, row, row + 1):
            if any(math.dist((x, y, z), other) < APART for other in taken.get((i, j), [])):
                return False
    taken.setdefault((column, row), []).append((x, y, z))
    return True
