"""People: they walk where they are told, on the ground, and can be run into.

walker = Walker(9, "walker.pedestrian.0001", values, pose, town)
walker.walk([[1.0, 0.0, 0.0], 1.4, False])     # a WalkerControl: direction, m/s, jump
walker.step(0.05)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from carla_bridge.world.server import world_message
from carla_bridge.world.server.actors import Actor, Box
from carla_bridge.world.server.arguments import flag, members, number, read_vector
from carla_bridge.world.server.collisions import Footprint
from carla_bridge.world.server.poses import Pose, Vector
from carla_bridge.world.server.towns import Town
from carla_bridge.world.tags import Tag

BODY = Box(0.19, 0.19, 0.93)
"""CARLA's bounding box of an adult."""
FASTEST_MPS = 10.0
MASS_KG = 75.0


@dataclass(eq=False)
class Walker(Actor):
    """A person; ``place`` is on the ground between the feet."""

    town: Town = field(kw_only=True)
    direction: Vector = field(default=(1.0, 0.0, 0.0), init=False)
    speed_mps: float = field(default=0.0, init=False)
    jump: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.box = BODY
        self.tag = Tag.PEDESTRIAN

    def walk(self, control: Any) -> None:
        """Take a WalkerControl from the wire; a direction of any length is made a unit."""
        direction, speed, jump = members(control, "a walker control", 3)[:3]
        x, y, z = read_vector(direction, "a direction")
        length = math.sqrt(x * x + y * y + z * z)
        self.direction = (x / length, y / length, z / length) if length > 1e-9 else (0.0, 0.0, 0.0)
        self.speed_mps = max(0.0, min(FASTEST_MPS, number(speed, "a walker's speed")))
        self.jump = flag(jump, "jump")

    def step(self, dt_s: float) -> None:
        """Walk on, facing where it goes."""
        if self.speed_mps == 0.0:
            return
        vx, vy, _ = self.velocity
        x, y = self.place.x + vx * dt_s, self.place.y + vy * dt_s
        yaw = math.degrees(math.atan2(vy, vx)) if vx or vy else self.place.yaw
        z, _, _ = self.town.lanes.ground(x, y, self.place.z, yaw)
        self.place = Pose(x, y, z, 0.0, yaw, 0.0)

    @property
    def velocity(self) -> Vector:
        """Return metres a second in CARLA's directions; walkers keep to the ground."""
        return self.direction[0] * self.speed_mps, self.direction[1] * self.speed_mps, 0.0

    def footprint(self) -> Footprint:
        """Return its box seen from above."""
        x, y, z, _, yaw, _ = self.place
        return Footprint(self.id, x, y, z, self.box.half_length, self.box.half_width, yaw)

    def state(self) -> bytes:
        """Return its control as the world message tells it."""
        return world_message.walker_state(self.direction, self.speed_mps, self.jump)
