"""Jobs: one driver on one route at one latency, once; what is sent to whoever drives it.

    job.key                            # "int8-0-ms-Town-0-0"
    payload = msgspec.json.encode(job)

A job is complete: it can be driven in any process, on any machine that has its files, and in any
order; its `Run` depends on nothing else.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from carla_bridge.driving.view import View
from carla_bridge.evaluation.latency import Latency
from carla_bridge.evaluation.masks import MaskSource
from carla_bridge.evaluation.record import RouteInfo, Run
from edge_seg.errors import EdgeSegError

BUILT_IN = "built-in world"
CAMERA_HEIGHT_M, CAMERA_FORWARD_M, CAMERA_PITCH_DEG = 1.6, 1.3, -5.0
"""Over the bonnet of a car, which it does not see, at a height that the shipped networks know."""


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera's picture, pixels and degrees across; where it is on the car is fixed."""

    width: int = 512
    height: int = 384
    fov_deg: float = 75.0


def view_of(camera: Camera) -> View:
    """Return how the driver sees through it; `EdgeSegError` for what nobody could drive by."""
    return View(
        camera.width,
        camera.height,
        camera.fov_deg,
        height_m=CAMERA_HEIGHT_M,
        pitch_deg=CAMERA_PITCH_DEG,
        forward_m=CAMERA_FORWARD_M,
    )


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A CARLA server by address; ``host`` None is a built-in world of the job's own."""

    host: str | None = None
    port: int = 2000
    timeout_s: float = 10.0

    @property
    def name(self) -> str:
        """What a record calls it."""
        return BUILT_IN if self.host is None else f"{self.host}:{self.port}"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a run.

    ``map`` is a name of the server's, a path that ends in .xodr, or "" for what it has loaded,
    which is ``loaded``.
    """

    driver: MaskSource
    latency: Latency
    map: str
    loaded: str = ""
    number: int
    repeat: int
    seed: int
    length_m: float
    speed_kmh: float
    weather: str
    traffic: int
    camera: Camera
    dt_s: float
    film: bool = False
    pictures: bool = True

    @property
    def map_name(self) -> str:
        """The map without its folders and suffix."""
        return Path(self.map).stem or self.loaded

    @property
    def key(self) -> str:
        """The run's own name, fit for a file's."""
        parts = (self.driver.name, self.latency.name, self.map_name, self.number, self.repeat)
        return "-".join(re.sub(r"[^A-Za-z0-9.+_]+", "-", str(part)).strip("-") for part in parts)

    @property
    def run_seed(self) -> int:
        """Equal for every driver and latency on this route and repeat: their runs are pairs."""
        return self.seed * 1_000_003 + self.number * 1009 + self.repeat

    def started(self) -> Run:
        """Return the record that is written before anything is driven."""
        route = RouteInfo(
            map=self.map_name,
            map_file=f"maps/{self.map_name}.xodr",
            number=self.number,
            spawn=0,
            seed=self.seed,
            length_m=self.length_m,
            weather=self.weather,
            speed_kmh=self.speed_kmh,
            traffic=self.traffic,
        )
        return Run(
            key=self.key,
            driver=self.driver.name,
            latency=self.latency.info,
            route=route,
            repeat=self.repeat,
            seed=self.run_seed,
            filmed=self.film,
        )


def read_map(path: str) -> str:
    """Return an OpenDRIVE file's text."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeSegError(f"cannot read the map {path}: {error}") from error
