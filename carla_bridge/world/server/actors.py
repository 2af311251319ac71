"""What is in the world: an id, a blueprint, a place, and what the world message says of it.

    camera = Actor(7, "sensor.camera.rgb", values, Pose(x=1.5, z=2.0), parent=car)
    camera.pose                    # in the world, wherever the car has gone
    camera.to_wire(streams)        # the Actor structure of a spawn's reply
    camera.record()                # its 119 bytes of a world message

Cars and walkers, which move by themselves, extend it (`cars`, `walkers`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from carla_bridge.world.server import world_message
from carla_bridge.world.server.blueprints import BLUEPRINTS
from carla_bridge.world.server.poses import Pose, Vector, attached
from carla_bridge.world.tags import Tag

SPECTATOR = "spectator"


@dataclass(frozen=True)
class Box:
    """The upright box around an actor: half its sizes (m), and how high its middle lies."""

    half_length: float = 0.0
    half_width: float = 0.0
    half_height: float = 0.0

    def to_wire(self, actor_id: int) -> list[object]:
        """Return a BoundingBox relative to the actor, whose origin is on the ground."""
        middle = [0.0, 0.0, self.half_height]
        extent = [self.half_length, self.half_width, self.half_height]
        return [middle, extent, [0.0, 0.0, 0.0], actor_id]


NO_BOX = Box()


@dataclass(eq=False)
class Actor:
    """Something with an id. ``place`` is in the world, or on its parent where it has one."""

    id: int
    kind: str
    attributes: dict[str, str]
    place: Pose
    parent: Actor | None = None
    stream: int | None = None
    """Where its measurements go, for a sensor with a stream."""

    box: Box = field(default=NO_BOX, init=False)
    tag: Tag = field(default=Tag.NONE, init=False)

    @property
    def pose(self) -> Pose:
        """Return where it is in the world."""
        return self.place if self.parent is None else attached(self.parent.pose, self.place)

    def put(self, pose: Pose) -> None:
        """Put it somewhere else: on its parent where it has one, as CARLA does."""
        self.place = pose

    @property
    def velocity(self) -> Vector:
        """Return metres a second in the world's directions."""
        return world_message.STILL if self.parent is None else self.parent.velocity

    @property
    def turning(self) -> Vector:
        """Return degrees a second about the world's axes."""
        return world_message.STILL if self.parent is None else self.parent.turning

    @property
    def acceleration(self) -> Vector:
        """Return m/s2 in the world's directions."""
        return world_message.STILL if self.parent is None else self.parent.acceleration

    def state(self) -> bytes:
        """Return what is particular to its kind in a world message."""
        return b""

    def record(self) -> bytes:
        """Return its part of a world message."""
        return world_message.record(
            self.id, self.pose, self.velocity, self.turning, self.acceleration, self.state()
        )

    def to_wire(self, token: bytes = b"") -> list[object]:
        """Return the Actor structure; ``token`` is that of its stream."""
        known = BLUEPRINTS[self.kind].attributes if self.kind in BLUEPRINTS else {}
        values = [[name, known[name].kind, self.attributes[name]] for name in known]
        parent = 0 if self.parent is None else self.parent.id
        tags = bytes([self.tag])
        return [self.id, parent, [0, self.kind, values], self.box.to_wire(self.id), tags, token]
