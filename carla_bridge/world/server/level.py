"""One map with its actors, from its first frame on: what a step does, and what it tells.

    level = Level(1, town, streams, studio, seed=0, traffic=10)
    level.step(0.05)                         # move, collide
    level.message()                          # the world message of this frame
    level.measure(streams.send)              # every sensor that somebody listens to
    level.close()

Frames and seconds count from the level's start, and nothing depends on the wall clock but
the platform time of the world message: the same calls give the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from carla_bridge.world.server.actors import Actor
from carla_bridge.world.server.autopilots import Autopilots
from carla_bridge.world.server.cars import Car
from carla_bridge.world.server.collisions import Obstacles
from carla_bridge.world.server.motion import Hits, move
from carla_bridge.world.server.population import Population
from carla_bridge.world.server.sensors import Camera, CollisionSensor, Gnss, Imu, Sensor
from carla_bridge.world.server.sensors.cameras import image_header, pictures
from carla_bridge.world.server.sensors.collision import OBSTACLE, collision_event
from carla_bridge.world.server.streams import Streams
from carla_bridge.world.server.towns import Town
from carla_bridge.world.server.walkers import Walker
from carla_bridge.world.server.world_message import Moment, world_message
from carla_bridge.world.studio import Mover, Studio, Weather

NEWS_FRAMES = 2
"""Frames whose message says that the map is another: newcomers are greeted with the first of an
episode, everybody hears the second."""
DUSK_DEG = 0.0
"""Altitude of the sun."""

Send = Callable[..., None]
"""`Streams.send` or `Streams.offer`: takes a stream, and the parts of a payload."""


class Level:
    """A loaded map; ``number`` tells clients that it is not the one before."""

    def __init__(
        self, number: int, town: Town, streams: Streams, studio: Studio, *, seed: int, traffic: int
    ) -> None:
        self.number, self.town = number, town
        self._streams, self._studio = streams, studio
        self.set_weather(Weather())
        self.actors = Population(town, streams, Obstacles(self._studio.obstacles))
        self.autopilots = Autopilots(town, seed)
        self.autopilots.populate(self.actors, traffic)
        self.moment = Moment(0, 0.0)
        self._delta_s = 0.0
        self._hits: Hits = {}

    def close(self) -> None:
        """End all its streams, and give its cameras' memory back."""
        for camera in self.actors.of(Camera):
            camera.close(self._studio)
        self.actors.clear()

    def set_weather(self, weather: Weather) -> None:
        """Change the weather, and with it every picture from now on."""
        self._studio.weather(weather)
        self.weather = weather

    @property
    def dark(self) -> bool:
        """Tell whether the sun is too low to drive without headlights."""
        return self.weather.sun_altitude_angle < DUSK_DEG

    def step(self, delta_s: float) -> None:
        """Go on to the next frame."""
        self._delta_s = delta_s
        self.moment = Moment(self.moment.frame + 1, self.moment.time_s + delta_s)
        self._hits = move(self.actors, self.autopilots, delta_s)

    def message(self) -> bytes:
        """Return the world message of this frame."""
        return world_message(
            self.moment,
            [actor.record() for actor in self.actors],
            episode=self.number,
            platform_s=time.monotonic(),
            delta_s=self._delta_s,
            map_changed=self.moment.frame <= NEWS_FRAMES,
        )

    def measure(self, send: Send, *, cameras: bool = True) -> None:
        """Have all sensors measure that are due and listened to; pictures come last."""
        due: list[Camera] = []
        for sensor in self.actors.of(Sensor):
            if sensor.stream is None or not self._streams.has_subscriber(sensor.stream):
                continue
            if isinstance(sensor, CollisionSensor):
                self._report_hits(sensor, send)
            elif not sensor.due(self.moment.time_s):
                continue
            elif isinstance(sensor, Gnss):
                send(sensor.stream, sensor.fix(self.moment, self.town.carla_map))
            elif isinstance(sensor, Imu):
                send(sensor.stream, sensor.measure(self.moment))
            elif isinstance(sensor, Camera):
                due.append(sensor)
        if due and cameras:
            movers = [_mover(actor, self.dark) for actor in self.actors if _is_drawn(actor)]
            self._studio.place(movers)
            for camera, pixels in zip(due, pictures(self._studio, due), strict=True):
                send(camera.stream, image_header(camera, self.moment), pixels.data)

    def _report_hits(self, sensor: CollisionSensor, send: Send) -> None:
        """Send an event for each thing that touched the sensor's car in this frame."""
        own = sensor.parent
        if own is None:
            return
        for (first, second), (x, y, z) in self._hits.items():
            if own.id not in (first, second):
                continue
            other = self.actors.get(second if first == own.id else first)
            told = OBSTACLE if other is None else self.to_wire(other)
            impulse = (x, y, z) if first == own.id else (-x, -y, -z)
            send(
                sensor.stream,
                collision_event(sensor, self.moment, self.to_wire(own), told, impulse),
            )

    def to_wire(self, actor: Actor) -> list[object]:
        """Return an actor as the structure that clients know it by."""
        return actor.to_wire(self.actors.token(actor))

    def destroy(self, actor: Actor) -> None:
        """Take an actor out of the world; its cameras' buffers are given back."""
        for gone in self.actors.destroy(actor):
            if isinstance(gone, Camera):
                gone.close(self._studio)
            elif isinstance(gone, Car):
                self.autopilots.release(gone)


def _is_drawn(actor: Actor) -> bool:
    return isinstance(actor, Car | Walker)


def _mover(actor: Actor, dark: bool) -> Mover:
    """Return an actor as the studio draws it, in the map's coordinates.

    What drives by itself has its headlights on in the ``dark``; others' are their drivers' affair.
    """
    pose = actor.pose
    lit = isinstance(actor, Car) and (actor.low_beam or (dark and actor.follower is not None))
    return Mover(
        actor.id,
        actor.kind,
        pose.x,
        -pose.y,
        pose.z,
        -pose.yaw,
        pose.pitch,
        pose.roll,
        lights=lit,
        colour=actor.colour if isinstance(actor, Car) else None,
    )
