"""A car of the world: the vehicle model, its place on the road, and what the wire says of it.

    car = Car(7, "vehicle.tesla.model3", values, pose, town)
    car.drive([0.5, 0.0, 0.0, False, False, False, 0])     # a VehicleControl
    car.step(0.05)
    car.pose, car.velocity, car.footprint()

The model moves in the map's plane; height, pitch and roll are those of the road under it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from carla_bridge.world.dynamics import PARAMETERS, Ackermann, Control, Vehicle
from carla_bridge.world.server import world_message
from carla_bridge.world.server.actors import Actor, Box
from carla_bridge.world.server.arguments import flag, members, number
from carla_bridge.world.server.collisions import Footprint
from carla_bridge.world.server.poses import Pose, Vector
from carla_bridge.world.server.towns import Town
from carla_bridge.world.tags import Tag
from carla_bridge.world.traffic import Follower

TAGS = {"truck": Tag.TRUCK, "bus": Tag.BUS}
LIMIT_STEPS = 10
LOW_BEAM = 2
"""The bit of CARLA's light state (carla.VehicleLightState.LowBeam)."""


@dataclass(eq=False)
class Car(Actor):
    """A vehicle; ``place`` follows its model."""

    town: Town = field(kw_only=True)
    body: Vehicle = field(init=False)
    colour: tuple[int, int, int] | None = field(init=False)
    lights: int = field(default=0, init=False)
    physics: bool = field(default=True, init=False)
    """Off: it stands where it was put (set_simulate_physics)."""
    follower: Follower | None = field(default=None, init=False)
    """What drives it along its lane, if anything; the model then waits."""
    gears: tuple[bool, int] = field(default=(False, 0), init=False)
    """Manual shifting and its gear: told back; the model's gearbox is an automatic."""
    _gained: Vector = field(default=world_message.STILL, init=False)
    _steps: int = field(default=0, init=False)
    _limit_kmh: float = field(default=30.0, init=False)

    def __post_init__(self) -> None:
        parameters = PARAMETERS[self.kind]
        half_height = parameters.height_m / 2.0
        self.box = Box(parameters.length_m / 2.0, parameters.width_m / 2.0, half_height)
        self.tag = TAGS.get(parameters.base_type, Tag.CAR)
        self.body = Vehicle(parameters, *_in_map(self.place))
        self.colour = _colour(self.attributes.get("color", ""))

    def put(self, pose: Pose) -> None:
        """Put it somewhere else; it keeps its speed."""
        self.place = pose
        self.body.place(*_in_map(pose))

    @property
    def free(self) -> bool:
        """Tell whether a hit can move it: what follows a lane is as if on rails."""
        return self.follower is None and self.physics

    def follow(self, follower: Follower | None) -> None:
        """Be driven by a follower from now on, or by the model again at the same speed."""
        speed = self.speed_mps
        self.follower = follower
        if follower is None:
            self.body = Vehicle(self.body.parameters, *_in_map(self.place), speed)

    def step(self, dt_s: float) -> None:
        """Move on, and settle on the road; a follower has moved already."""
        before = self.velocity
        if self.follower is not None:
            self.place = Pose(*self.follower.pose)
        elif self.physics:
            self.body.step(dt_s, math.tan(math.radians(self.place.pitch)))
            self._settle()
        after = self.velocity
        self._gained = (
            (after[0] - before[0]) / dt_s,
            (after[1] - before[1]) / dt_s,
            (after[2] - before[2]) / dt_s,
        )
        self._read_limit()

    def _settle(self) -> None:
        """Stand on the ground under the model's place."""
        body = self.body
        x, y, yaw = body.x_m, -body.y_m, -math.degrees(body.heading_rad)
        z, pitch, roll = self.town.lanes.ground(x, y, self.place.z, yaw)
        self.place = Pose(x, y, z, pitch, yaw, roll)

    def _read_limit(self) -> None:
        """Look up the speed limit now and then: it is asked of the map, which takes its time."""
        self._steps += 1
        if self._steps % LIMIT_STEPS == 1:
            x, y, z = self.place[:3]
            self._limit_kmh = self.town.lanes.speed_limit(x, y, z)

    def drive(self, control: Any) -> None:
        """Take a VehicleControl from the wire."""
        values = members(control, "a vehicle control", 5)
        throttle, steer, brake = (number(value, "a pedal or the wheel") for value in values[:3])
        hand_brake, reverse = (flag(value, "hand brake and reverse") for value in values[3:5])
        if len(values) >= 7:
            gear = int(number(values[6], "gear"))
            self.gears = flag(values[5], "manual gear shift"), max(-100, min(100, gear))
        self.body.control = Control(throttle, steer, brake, hand_brake, reverse)
        self.body.ackermann = None

    def drive_ackermann(self, control: Any) -> None:
        """Take a VehicleAckermannControl from the wire: steer, its rate, speed, and so on."""
        values = (number(value, "an Ackermann target") for value in members(control, "it", 5)[:5])
        self.body.ackermann = Ackermann(*values)

    @property
    def mass_kg(self) -> float:
        """Return its mass."""
        return self.body.parameters.mass_kg

    @property
    def low_beam(self) -> bool:
        """Tell whether its headlights are on."""
        return bool(self.lights & LOW_BEAM)

    @property
    def speed_mps(self) -> float:
        """Return metres a second along the car, backwards negative."""
        return self.body.speed_mps if self.follower is None else self.follower.speed_mps

    @property
    def velocity(self) -> Vector:
        """Return metres a second in CARLA's directions."""
        if not self.physics:
            return world_message.STILL
        up = math.sin(math.radians(self.place.pitch)) * self.speed_mps
        if self.follower is None:
            x, y = self.body.velocity
            return x, -y, up
        yaw, speed = math.radians(self.place.yaw), self.speed_mps
        return speed * math.cos(yaw), speed * math.sin(yaw), up

    @property
    def turning(self) -> Vector:
        """Return degrees a second about CARLA's axes."""
        if not self.physics:
            return world_message.STILL
        if self.follower is None:
            return 0.0, 0.0, -math.degrees(self.body.yaw_rate_rps)
        return 0.0, 0.0, math.degrees(self.follower.yaw_rate_rps)

    @property
    def acceleration(self) -> Vector:
        """Return m/s2 in CARLA's directions: what its velocity gained over the last step."""
        return self._gained

    def push(self, velocity: Vector) -> None:
        """Give it a velocity in CARLA's directions; what follows a lane keeps its own."""
        self.body.push(velocity[0], -velocity[1])

    def spin(self, yaw_rate_dps: float) -> None:
        """Give it a turn rate, degrees a second clockwise."""
        self.body.spin(-math.radians(yaw_rate_dps))

    def stop_at_hit(self) -> None:
        """Stop at once: something that cannot be moved was hit."""
        if self.follower is not None:
            self.follower.speed_mps = 0.0

    def footprint(self) -> Footprint:
        """Return its box seen from above."""
        x, y, z, _, yaw, _ = self.place
        box = self.box
        return Footprint(
            self.id, x, y, z, box.half_length, box.half_width, yaw, self.speed_mps, not self.free
        )

    def state(self) -> bytes:
        """Return its control as the world message tells it."""
        control = self.body.control
        manual, gear = self.gears
        return world_message.car_state(
            control.throttle,
            control.steer,
            control.brake,
            hand_brake=control.hand_brake,
            reverse=control.reverse,
            manual=manual,
            gear=gear if manual else self.body.gear,
            speed_limit_kmh=self._limit_kmh,
        )


def _in_map(pose: Pose) -> tuple[float, float, float]:
    """Return x, y (m) and heading (radians) in map coordinates."""
    return pose.x, -pose.y, -math.radians(pose.yaw)


def _colour(text: str) -> tuple[int, int, int] | None:
    """Return sRGB values of CARLA's "r,g,b", None where it is something else."""
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        return None
    red, green, blue = (min(255, int(part[:6])) for part in parts)
    return red, green, blue
