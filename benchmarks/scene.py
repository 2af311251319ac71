"""How fast the built-in scene is: frames a second of a camera that drives, and of a frame set."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np

from carla_bridge.world.frame_sets import write_frame_set
from carla_bridge.world.maps.roads import read_roads
from carla_bridge.world.random_roads.road import random_road
from carla_bridge.world.randomization import Dice, parse_terms
from carla_bridge.world.render import SIGHT, Renderer
from carla_bridge.world.scene.display import open_display
from carla_bridge.world.scene.look import sample_look
from carla_bridge.world.scene.scene import open_scene
from edge_seg.files import write_bytes

SIZE = (800, 600)
STEP = 0.5
"""Metres between two frames: 36 km/h at 20 frames a second."""
WEATHERS = {
    "dry day": ["night=0", "rain=0", "puddles=0", "fog=0"],
    "rain": ["night=0", "rain", "fog=0"],
    "night": ["night", "rain=0", "puddles=0", "fog=0"],
}


def driving(scenes: int, frames: int) -> dict:
    """Return, for each weather and output, the median milliseconds and frames a second."""
    return {name: _drive(texts, scenes, frames) for name, texts in WEATHERS.items()}


def _drive(terms: list[str], scenes: int, frames: int) -> dict:
    times: dict[str, list[float]] = {"rgb": [], "rgb+semantic": []}
    with closing(open_scene()) as scene:
        cameras = {
            "rgb": scene.camera(*SIZE, labels=False),
            "rgb+semantic": scene.camera(*SIZE),
        }
        for number in range(scenes):
            dice = Dice(parse_terms(terms), 1, number)
            roads = read_roads(random_road(dice), "random")
            lane = roads.driving()[0]
            centre = lane.centre
            first = len(centre) // 4
            scene.build(roads.around(centre[first], SIGHT), centre[first], dice)
            scene.light(sample_look(dice))
            for name, camera in cameras.items():
                times[name] += _frames(scene, camera, centre[first:], frames)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    return {
        name: {"p50_ms": 1e3 * seconds, "frames_per_s": 1.0 / seconds}
        for name, seconds in medians.items()
    }


def _frames(scene: object, camera: object, centre: np.ndarray, count: int) -> list[float]:
    """Drive along a lane's points (n, 3), a metre apart; return the seconds of each frame."""
    seconds = []
    for index in range(count + 1):
        at = index * STEP
        start = centre[int(at)] + (centre[int(at) + 1] - centre[int(at)]) * (at % 1.0)
        ahead = centre[int(at) + 3] - centre[int(at)]
        begin = perf_counter()
        camera.place(
            start + np.array([0.0, 0.0, 1.5]),
            heading=float(np.degrees(np.arctan2(ahead[1], ahead[0]))),
            pitch=0.0,
            roll=0.0,
            field=70.0,
            ground=float(start[2]),
        )
        scene.render([camera])
        camera.picture()
        if camera.has_labels:
            camera.tags()
        seconds.append(perf_counter() - begin)
    return seconds[1:]  # the first draws the shadows


def frame_set(count: int) -> dict:
    """Return how long a training set of ``count`` frames of 640x480 takes to render and write."""
    with tempfile.TemporaryDirectory() as place:
        begin = perf_counter()
        write_frame_set(Path(place) / "set", count, seed=1)
        seconds = perf_counter() - begin
    return {"frames": count, "seconds": seconds, "minutes_for_5000": seconds / count * 5000 / 60}


def measure(scenes: int, frames: int, count: int) -> dict:
    """Return everything, with the display that drew it."""
    return {
        "display": str(open_display()),
        "size": list(SIZE),
        "driving": driving(scenes, frames),
        "frame_set": frame_set(count),
    }


def contact_sheet(out: Path, seed: int = 7, rows: int = 6, columns: int = 4) -> None:
    """Write one frame of each of ``rows`` x ``columns`` scenes as a JPEG."""
    with closing(Renderer(seed, frames_per_scene=1)) as renderer:
        frames = [renderer.scene(number)[0].frame for number in range(rows * columns)]
    tiles = [cv2.resize(frame, (320, 240), interpolation=cv2.INTER_AREA) for frame in frames]
    sheet = np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])
    encoded, payload = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert encoded
    write_bytes(out, payload.tobytes())
