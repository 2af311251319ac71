"""All actors of an episode: who is there, who comes, who goes.

    population = Population(town, streams, obstacles)
    car = population.spawn("vehicle.audi.tt", values, pose)  # CallError where taken
    camera = population.spawn("sensor.camera.rgb", values, Pose(z=2.0), parent=car)
    population.find(car.id, Car).step(0.05)
    population.destroy(car)                                       # and the camera with it

Ids count up from 1 and are never used twice in an episode. Number 1 is the spectator.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, TypeVar

from carla_bridge.world.server.actors import SPECTATOR, Actor
from carla_bridge.world.server.arguments import whole
from carla_bridge.world.server.cars import Car
from carla_bridge.world.server.collisions import HEADROOM_M, Footprint, Obstacles, touch
from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.lights import TrafficLight, traffic_lights
from carla_bridge.world.server.poses import Pose
from carla_bridge.world.server.sensors import LANE_INVASION, Sensor, make_sensor
from carla_bridge.world.server.streams import Streams
from carla_bridge.world.server.towns import Town
from carla_bridge.world.server.walkers import Walker

MOST_ACTORS = 2000
TAKEN = "Spawn failed because of collision at spawn position"
"""The words of CARLA's own server; scripts look for them."""

Kind = TypeVar("Kind", bound=Actor)


class Population:
    """Actors by id, in the order in which they came."""

    def __init__(self, town: Town, streams: Streams, obstacles: Obstacles) -> None:
        self.obstacles = obstacles
        self._town, self._streams = town, streams
        self._numbers = itertools.count(1)
        self._actors: dict[int, Actor] = {}
        start = next(iter(town.spawn_points), Pose())
        self.spectator = self._add(Actor(next(self._numbers), SPECTATOR, {}, start))
        for light in traffic_lights(town, next(self._numbers)):
            self._add(light)
        self._numbers = itertools.count(max(self._actors) + 1)

    def __iter__(self) -> Iterator[Actor]:
        return iter(self._actors.values())

    def of(self, kind: type[Kind]) -> list[Kind]:
        """Return all actors of a class."""
        return [actor for actor in self._actors.values() if isinstance(actor, kind)]

    def get(self, actor_id: int) -> Actor | None:
        """Return an actor, None where there is none of this id."""
        return self._actors.get(actor_id)

    def find(self, actor_id: Any, kind: type[Kind]) -> Kind:
        """Return an actor of a class; `CallError` where the id is of no such actor."""
        actor = self._actors.get(whole(actor_id, "an actor id"))
        if not isinstance(actor, kind):
            what = "actor" if kind is Actor else kind.__name__.lower()
            raise CallError(f"there is no {what} with id {actor_id}")
        return actor

    def token(self, actor: Actor) -> bytes:
        """Return the token of an actor's stream, or none."""
        return b"" if actor.stream is None else self._streams.token(actor.stream)

    def spawn(
        self, kind: str, attributes: dict[str, str], place: Pose, parent: Actor | None = None
    ) -> Actor:
        """Return a new actor; ``place`` is on the parent where it has one."""
        if len(self._actors) >= MOST_ACTORS:
            raise CallError(f"there are {MOST_ACTORS} actors already; destroy some")
        actor = self._made(next(self._numbers), kind, attributes, place, parent)
        if isinstance(actor, Car | Walker) and self.taken(actor.footprint()):
            raise CallError(TAKEN)
        if isinstance(actor, Sensor):
            actor.stream = self._streams.open()
        return self._add(actor)

    def _made(
        self, number: int, kind: str, attributes: dict[str, str], place: Pose, parent: Actor | None
    ) -> Actor:
        if kind.startswith("vehicle."):
            return Car(number, kind, attributes, place, parent, town=self._town)
        if kind.startswith("walker."):
            return Walker(number, kind, attributes, place, parent, town=self._town)
        if kind == LANE_INVASION:
            return Actor(number, kind, attributes, place, parent)
        return make_sensor(number, kind, attributes, place, parent)

    def _add(self, actor: Kind) -> Kind:
        self._actors[actor.id] = actor
        return actor

    def taken(self, box: Footprint) -> bool:
        """Tell whether something that cannot be driven through is in a place."""
        on_level = (other for other in self.boxes() if abs(other.z - box.z) < HEADROOM_M)
        return any(touch(box, other) for other in on_level) or any(
            touch(box, other) for other in self.obstacles.near(box)
        )

    def boxes(self) -> list[Footprint]:
        """Return what can be run into, and moves."""
        return [actor.footprint() for actor in self if isinstance(actor, Car | Walker)]

    def destroy(self, actor: Actor) -> list[Actor]:
        """Take an actor out of the world, and what is attached to it; return all that went."""
        if actor is self.spectator or isinstance(actor, TrafficLight):
            raise CallError(f"actor {actor.id} ({actor.kind}) belongs to the map")
        gone = [actor]
        for child in [other for other in self if other.parent is actor]:
            gone += self.destroy(child)
        del self._actors[actor.id]
        if actor.stream is not None:
            self._streams.forget(actor.stream)
        return gone

    def clear(self) -> None:
        """Close all streams: the episode is over."""
        for actor in self:
            if actor.stream is not None:
                self._streams.forget(actor.stream)
        self._actors.clear()
