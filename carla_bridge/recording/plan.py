"""What will be recorded: for each frame a map, a weather, a bend and a place, all from the seed.

    for slot in slots(request, {"Ring": ("straight", "bend")}):   # frame 0, 1, 2, ...
        shot = draw_shot(request, slot, places, attempt=0)
        shot.car, shot.camera, shot.weather

Pure functions: the same request gives the same plan. Any first part of the plan is balanced: each
map and each kind of light as often as another, each bend too as far as the maps have it, and each
weather with each bend.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from carla_bridge.client import weathers
from carla_bridge.client.weathers import GRID, Weather, light
from carla_bridge.recording.places import Bend, Place, Pose
from carla_bridge.recording.staging import stage
from edge_seg.classes import Task

ASIDE_M, MOST_ASIDE_M = 0.25, 0.7
"""A driver keeps within a lane by about this much (standard deviation; cut off at the second)."""

YAW_DEG, PITCH_DEG, RISE_M = 2.5, 1.0, 0.04
"""How a car stands to its lane, nods on its springs and sits under its load: this project's
choice, so that ranges are not those of one exact mounting."""

_SHUFFLE, _SHOT = 1, 2
"""Each use of the seed has a stream of its own."""

SUN_TURNS_DEG = 360.0
"""The sun comes from anywhere: the car drives in all directions."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a recording is made of; kept beside its frames, as it decides all of them."""

    frames: int
    seed: int = 0
    maps: tuple[str, ...] = ()
    """Names of the server's maps, or .xodr files; empty: the world as it is."""
    weathers: tuple[str, ...] = GRID
    width: int = 640
    height: int = 480
    fov_deg: float = 60.0
    camera_height_m: float = 1.4
    camera_pitch_deg: float = 0.0
    camera_forward_m: float = 1.3
    """Ahead of the car's middle: above the bonnet, where neither glass nor roof is in the way."""
    traffic: int = 8
    settle_ticks: int = 1
    """Ticks at each place before the picture counts: a real server's exposure needs some."""
    truth: Task = "segmentation"
    """What the masks hold: road and lane markings, or distances along the camera's axis."""


class Slot(msgspec.Struct, frozen=True):
    """One frame of the set to be."""

    index: int
    map: str
    weather: str
    bend: Bend


class Shot(msgspec.Struct, frozen=True):
    """Where car and camera stand for one try at a frame, and in what weather."""

    place: Place
    car: Pose
    camera: Pose
    weather: Weather
    lights_on: bool
    around: tuple[Pose, ...]
    """Where other cars stand."""
    cast: tuple[int, ...]
    """Which of them, of the recorder's cars 0, 1, 2, ..., stands where; the rest is not seen."""


def slots(request: Request, bends: Mapping[str, Sequence[Bend]]) -> list[Slot]:
    """Return the frames of a recording in the set's order; ``bends`` are those of each map.

    Of the bends that a map has, a frame gets the one that is rarest so far: in all, then in this
    light, then in this weather.
    """
    maps = request.maps or ("",)
    cycle = weather_cycle(request.weathers, request.seed)
    # Each map begins elsewhere in the cycle, so that a short recording sees more weathers.
    stride = -(-len(cycle) // len(maps))
    made: list[Slot] = []
    seen: Counter[tuple[str, ...]] = Counter()
    for index in range(request.frames):
        turn, which = divmod(index, len(maps))
        weather = cycle[(turn + which * stride) % len(cycle)]
        bend = _rarest(bends[maps[which]], weather, seen)
        seen.update(_kinds(bend, weather))
        made.append(Slot(index, maps[which], weather, bend))
    return made


def _rarest(bends: Sequence[Bend], weather: str, seen: Counter[tuple[str, ...]]) -> Bend:
    return min(bends, key=lambda bend: [seen[kind] for kind in _kinds(bend, weather)])


def _kinds(bend: Bend, weather: str) -> tuple[tuple[str, ...], ...]:
    return (bend,), (bend, light(weathers.find(weather))), (bend, weather)


def weather_cycle(names: Sequence[str], seed: int) -> list[str]:
    """Return the weathers so that the kinds of light take turns, each as often as another.

    >>> weather_cycle(["clear-night", "rain-noon"], 0)
    ['clear-night', 'rain-noon']
    """
    dice = np.random.default_rng([seed, _SHUFFLE])
    by_light: dict[str, list[str]] = {}
    for name in names:
        by_light.setdefault(light(weathers.find(name)), []).append(name)
    groups = [[group[k] for k in dice.permutation(len(group))] for group in by_light.values()]
    longest = max(len(group) for group in groups)
    return [group[k % len(group)] for k in range(longest) for group in groups]


def draw_shot(
    request: Request, slot: Slot, places: Mapping[Bend, Sequence[Place]], attempt: int
) -> Shot:
    """Return where the slot's frame is taken; another ``attempt`` is at another place.

    ``places`` are those of the slot's map.
    """
    dice = np.random.default_rng([request.seed, _SHOT, slot.index, attempt])
    here = places[slot.bend]
    place = here[int(dice.integers(len(here)))]
    aside, yaw, pitch, rise = dice.standard_normal(4)
    aside_m = float(np.clip(aside * ASIDE_M, -MOST_ASIDE_M, MOST_ASIDE_M))
    car = beside(place.pose, aside_m)._replace(yaw=place.pose.yaw + float(yaw) * YAW_DEG)
    camera = ahead_of(car, request.camera_forward_m, request.camera_height_m + float(rise) * RISE_M)
    camera = camera._replace(pitch=car.pitch + request.camera_pitch_deg + float(pitch) * PITCH_DEG)
    weather = dict(weathers.find(slot.weather))
    weather["sun_azimuth_angle"] = float(dice.uniform(0.0, SUN_TURNS_DEG))
    return Shot(
        place=place,
        car=car,
        camera=camera,
        weather=weather,
        lights_on=light(weather) == "night" or weather["precipitation"] > 0.0,
        around=stage(place, int(dice.integers(request.traffic + 1)), dice),
        cast=tuple(int(car) for car in dice.permutation(request.traffic)),
    )


def beside(pose: Pose, right_m: float) -> Pose:
    """Return the pose moved to its right on level ground; right of yaw 0 (x) is y, as in CARLA.

    >>> beside(Pose(0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 2.0).y
    2.0
    """
    yaw = math.radians(pose.yaw)
    return pose._replace(x=pose.x - right_m * math.sin(yaw), y=pose.y + right_m * math.cos(yaw))


def ahead_of(pose: Pose, forward_m: float, up_m: float) -> Pose:
    """Return the pose moved along its own forward and upward axes (its roll is left out).

    >>> ahead_of(Pose(0.0, 0.0, 0.0, 90.0, 0.0, 0.0), 2.0, 0.0).z
    2.0
    """
    yaw, pitch = math.radians(pose.yaw), math.radians(pose.pitch)
    level_m = forward_m * math.cos(pitch) - up_m * math.sin(pitch)
    return pose._replace(
        x=pose.x + level_m * math.cos(yaw),
        y=pose.y + level_m * math.sin(yaw),
        z=pose.z + forward_m * math.sin(pitch) + up_m * math.cos(pitch),
    )
