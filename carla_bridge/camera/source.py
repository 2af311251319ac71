"""Frames of a simulated car's camera, as `edge_seg.frames.sources` knows a source.

source = open_world("Town?fps=20")       # the built-in world, started with the first frame
source = open_carla("127.0.0.1:2000")    # a CARLA server that runs
for name, frame in source:               # ("world-Town-000000", (480, 640, 3) uint8 BGR)
    ...

A frame is a step of 1/fps of the world's time, which waits for whoever asks; so none is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from carla_bridge.camera.options import Options, read_options
from carla_bridge.camera.ride import Ride
from carla_bridge.client.connection import Address, knock
from carla_bridge.client.environment import import_carla
from carla_bridge.client.session import SensorError, Session, SimulatorError
from carla_bridge.client.weathers import find
from carla_bridge.evaluation.jobs import (
    CAMERA_FORWARD_M,
    CAMERA_HEIGHT_M,
    CAMERA_PITCH_DEG,
    read_map,
)
from carla_bridge.world import shipped_maps
from carla_bridge.world.server.start import WorldProcess
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame

MAP = "Town"
HOST, PORT = "127.0.0.1", 2000
TIMEOUT_S = 10.0
"""How long a server may take for a step, and so how soon one that hangs or is gone is noticed."""

Server = Callable[[], AbstractContextManager[Address]]


class SimulatedCamera:
    """A `Source` without end; a server that is lost ends it, and ``unreadable`` says so."""

    is_stream = True
    count: int | None = None

    def __init__(self, name: str, server: Server, options: Options) -> None:
        self.name = name
        self.fps: float | None = options.fps
        self.unreadable: list[str] = []
        self._server, self._options = server, options

    def __iter__(self) -> Generator[tuple[str, Frame], None, None]:
        self.unreadable = []
        index = 0
        with (
            self._server() as address,
            Session.connect(address.host, address.port, TIMEOUT_S) as session,
        ):
            frames = self._frames(session)
            while True:
                try:
                    frame = next(frames)
                except (SimulatorError, SensorError) as error:
                    if not index:
                        raise
                    self.unreadable.append(f"{self.name} was lost after {index} frames: {error}")
                    return
                yield f"{self.name}-{index:06d}", frame
                index += 1

    def _frames(self, session: Session) -> Iterator[Frame]:
        options = self._options
        step_s = 1.0 / options.fps
        session.synchronous(step_s)
        if options.map:
            session.load(options.map)
        if options.weather:
            session.weather(find(options.weather))
        ride = Ride(session, options.speed / 3.6, options.seed)
        camera = session.camera(
            "rgb", options.width, options.height, options.fov, _over_the_bonnet(session), ride.car
        )
        while True:
            yield camera.at(session.tick(), TIMEOUT_S)
            ride.move(step_s)


def open_world(text: str) -> SimulatedCamera:
    """Open "MAP?options" of the built-in world; a map is one that ships or a path to a .xodr.

    Raises `EdgeSegError` where there is no such map, and where CARLA's client is not installed.
    """
    map, _, said = text.partition("?")
    options = read_options(said)
    if options.map:
        raise EdgeSegError(f"the map comes first: world:{options.map}")
    map = map or MAP
    if map.endswith(".xodr"):
        read_map(map)
    else:
        shipped_maps.text(map)
    import_carla()

    @contextmanager
    def started() -> Iterator[Address]:
        xodr = Path(map) if map.endswith(".xodr") else None
        with WorldProcess(map, seed=options.seed, xodr=xodr) as world:
            yield Address(world.host, world.port)

    return SimulatedCamera(f"world-{Path(map).stem}", started, options)


def open_carla(text: str) -> SimulatedCamera:
    """Open "HOST:PORT?options" of a server that runs, with the map that it has or ``map=NAME``."""
    address, _, said = text.partition("?")
    options = read_options(said)
    host, _, port = address.partition(":")
    if port and not port.isdecimal():
        raise EdgeSegError(f"carla:{address}: write it as carla:{HOST}:{PORT}")
    server = Address(host or HOST, int(port or PORT))
    knock(server, TIMEOUT_S)
    import_carla()
    return SimulatedCamera("carla", lambda: nullcontext(server), options)


def _over_the_bonnet(session: Session) -> Any:
    return session.carla.Transform(
        session.carla.Location(x=CAMERA_FORWARD_M, z=CAMERA_HEIGHT_M),
        session.carla.Rotation(pitch=CAMERA_PITCH_DEG),
    )
