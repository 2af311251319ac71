"""A world in a process of its own and CARLA's real client at it, for the tests of the server.

world = fresh_world(shared_process())        # synchronous, a new episode, its first frame
car = spawn(world, "vehicle.audi.tt")        # on the first spawn point
with listening(world, car, "camera.rgb", image_size_x=160) as images:
    image = images.at(world.tick())
"""

from __future__ import annotations

import atexit
import functools
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import carla

from carla_bridge.world.server.start import WorldProcess

DELTA_S = 0.05
SHARED_SEED = 3
WAIT_S = 10.0
EYE = carla.Transform(carla.Location(x=1.2, z=1.5), carla.Rotation(pitch=-5.0))
"""Where a camera sits in a car."""


@functools.cache
def shared_process() -> WorldProcess:
    """Return a world that all tests of a session share; it starts on the straight."""
    process = WorldProcess("Straight", seed=SHARED_SEED)
    atexit.register(process.stop)
    return process


def connect(process: WorldProcess) -> carla.Client:
    """Return a client that knows its world, and waits long enough for a map to load.

    A client that was never asked for its world crashes on a batch with a tick.
    """
    client = carla.Client(process.host, process.port)
    client.set_timeout(60.0)
    client.get_world()
    return client


def synchronise(world: carla.World, delta_s: float = DELTA_S) -> None:
    """Let the world wait for ticks of this client."""
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, delta_s
    world.apply_settings(settings)


def fresh_world(process: WorldProcess, map: str = "Straight") -> carla.World:
    """Return a world in synchronous mode whose episode has just begun."""
    client = connect(process)
    synchronise(client.get_world())
    return client.load_world(map, reset_settings=False)


def set_free(process: WorldProcess) -> carla.World:
    """Return a world in asynchronous mode without a fixed delta."""
    world = connect(process).get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)
    return world


def spawn(
    world: carla.World, kind: str = "vehicle.tesla.model3", at: int | carla.Transform = 0
) -> Any:
    """Return a new vehicle or walker on a spawn point or a place."""
    place = world.get_map().get_spawn_points()[at] if isinstance(at, int) else at
    return world.spawn_actor(world.get_blueprint_library().find(kind), place)


class Inbox:
    """What a sensor sent."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Any] = queue.Queue()

    def at(self, frame: int) -> Any:
        """Return the message of a frame; those before it are dropped."""
        while (message := self.messages.get(timeout=WAIT_S)).frame < frame:
            pass
        assert message.frame == frame
        return message

    def all(self) -> list[Any]:
        """Return what came until now."""
        return [self.messages.get_nowait() for _ in range(self.messages.qsize())]


@contextmanager
def listening(
    world: carla.World,
    parent: Any,
    kind: str,
    place: carla.Transform = EYE,
    **attributes: object,
) -> Iterator[Inbox]:
    """Yield the messages of a new sensor; cameras are small unless told otherwise."""
    blueprint = world.get_blueprint_library().find(f"sensor.{kind}")
    if kind.startswith("camera"):
        attributes = {"image_size_x": 160, "image_size_y": 120, **attributes}
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    sensor = world.spawn_actor(blueprint, place, attach_to=parent)
    inbox = Inbox()
    sensor.listen(inbox.messages.put)
    try:
        yield inbox
    finally:
        sensor.stop()
        world.tick()  # a client that has not seen an actor in a frame cannot destroy it
        sensor.destroy()


def drive(world: carla.World, car: Any, ticks: int, **control: Any) -> int:
    """Hold a control for some ticks; return the last frame."""
    frame = 0
    for _ in range(ticks):
        car.apply_control(carla.VehicleControl(**control))
        frame = world.tick()
    return frame
