"""Maps that can be loaded: those that ship, one from a file, and one that a client sends.

    town = shipped_town("Town")             # short_name("/Game/Carla/Maps/Town") is "Town"
    town = sent_town("OpenDriveMap", text)  # checked first, here and in a process of its own
    town.lanes.spawn_points(), town.carla_map.transform_to_geolocation(...)

Text from anywhere is read twice before it is trusted: by this project's own reader, which draws
it, and by CARLA's (`carla.Map`), which is native code: a child process goes first, so that what
crashes or hangs it is an error here and no more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from carla_bridge.world import shipped_maps
from carla_bridge.world.maps.roads import OFF_ORIGIN, read_roads
from carla_bridge.world.server.poses import Pose
from carla_bridge.world.traffic import Lanes
from edge_seg.errors import EdgeSegError

FOLDER = "Carla/Maps/"
TRIAL_TIME_S = 60.0
TRIAL_MEMORY_BYTES = 8 << 30
TRIAL = "carla_bridge.world.server.trial"


@dataclass(frozen=True)
class Town:
    """A map that was read: its text, and CARLA's own view of it."""

    name: str
    text: str
    carla_map: Any
    lanes: Lanes
    spawn_points: tuple[Pose, ...]

    @property
    def path(self) -> str:
        """Return the name that clients see."""
        return FOLDER + self.name


def short_name(name: str) -> str:
    """Return the last part of a map's path.

    >>> short_name("/Game/Carla/Maps/Town")
    'Town'
    """
    return name.rstrip("/").rpartition("/")[2]


def shipped_town(name: str) -> Town:
    """Return one of the project's own maps; `EdgeSegError` for others, with the closest name."""
    return read_town(name, shipped_maps.text(name))


def sent_town(name: str, text: str) -> Town:
    """Return the town of a text from anywhere; `EdgeSegError` where it is no usable map."""
    try_town(name, text)
    return read_town(name, text)


def read_town(name: str, text: str) -> Town:
    """Return the town of a text that is known to be sound."""
    os.environ.setdefault("HOME", "/")  # without it, importing carla crashes
    import carla

    try:
        carla_map = carla.Map(name, text)
    except (RuntimeError, LookupError) as error:
        raise EdgeSegError(f"CARLA's reader refuses the map '{name}': {error}") from error
    lanes = Lanes(carla_map)
    points = tuple(pose_of(transform) for transform in lanes.spawn_points())
    if any(max(abs(point.x), abs(point.y)) > OFF_ORIGIN for point in points):
        raise EdgeSegError(
            f"the map '{name}' lies more than {OFF_ORIGIN / 1000:.0f} km from its origin, where "
            "CARLA's single precision is too coarse: move it to the origin"
        )
    return Town(name, text, carla_map, lanes, points)


def pose_of(transform: Any) -> Pose:
    """Return a `carla.Transform` as a pose."""
    place, turn = transform.location, transform.rotation
    return Pose(place.x, place.y, place.z, turn.pitch, turn.yaw, turn.roll)


def try_town(name: str, text: str) -> None:
    """Raise `EdgeSegError` unless both readers get through a text."""
    read_roads(text, name)
    command = [sys.executable, "-m", TRIAL, str(TRIAL_MEMORY_BYTES)]
    try:
        trial = subprocess.run(
            command,
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=TRIAL_TIME_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EdgeSegError(
            f"CARLA's reader was not through with the map '{name}' after {TRIAL_TIME_S:.0f} s: "
            "cut the map"
        ) from error
    if trial.returncode < 0:
        raise EdgeSegError(f"CARLA's reader crashes on the map '{name}': mend or export it again")
    if trial.returncode > 0:
        lines = trial.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise EdgeSegError(f"CARLA's reader refuses the map '{name}': {lines[-1][:200]}")
