"""What may be said of a simulated camera: ``world:Town?size=320x240&fps=10&weather=rain``.

options = read_options("size=320x240&fps=10")
options.width, options.height, options.fps         # 320, 240, 10.0
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from carla_bridge.client.sensors import check_camera
from carla_bridge.client.session import LONGEST_STEP_S
from carla_bridge.client.weathers import find
from edge_seg.errors import EdgeSegError, closest

HIGHEST_FPS = 200.0
FASTEST_KMH = 130.0


@dataclass(frozen=True)
class Options:
    """A camera over the bonnet, and how the car goes; "" keeps what the server has."""

    width: int = 640
    height: int = 480
    fov: float = 75.0
    fps: float = 20.0
    speed: float = 30.0
    weather: str = ""
    map: str = ""
    seed: int = 0


KNOWN = ("size", "fov", "fps", "speed", "weather", "map", "seed")


def read_options(text: str) -> Options:
    """Return the options that ``text`` names, the usual ones for the others.

    ``fps`` are frames a second of the world's time, ``speed`` is in km/h. Raises `EdgeSegError`.
    """
    options = Options()
    for name, value in parse_qsl(text, keep_blank_values=True):
        options = replace(options, **_read(name, value))
    check_camera("rgb", options.width, options.height, options.fov)
    lowest = 1.0 / LONGEST_STEP_S
    if not lowest <= options.fps <= HIGHEST_FPS:
        raise EdgeSegError(f"fps={options.fps:g}: choose {lowest:g} to {HIGHEST_FPS:g}")
    if not 0.0 <= options.speed <= FASTEST_KMH:
        raise EdgeSegError(f"speed={options.speed:g}: choose 0 to {FASTEST_KMH:g} km/h")
    if options.weather:
        find(options.weather)
    return options


def _read(name: str, value: str) -> dict[str, Any]:
    if name not in KNOWN:
        raise EdgeSegError(f"a simulated camera has no option '{name}': {closest(name, KNOWN)}")
    if name in ("weather", "map"):
        return {name: value}
    if name == "size":
        size = re.fullmatch(r"(\d{1,5})x(\d{1,5})", value)
        if size is None:
            raise EdgeSegError(f"size={value}: write it as 640x480")
        return {"width": int(size[1]), "height": int(size[2])}
    try:
        return {name: int(value) if name == "seed" else float(value)}
    except ValueError:
        raise EdgeSegError(f"{name}={value} is no number: write it as {name}=20") from None
