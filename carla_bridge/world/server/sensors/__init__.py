"""What measures the world: cameras, collisions, satellites and inertia.

    sensor = make_sensor(7, blueprint id, values, pose, parent)
    sensor.due(moment.time_s)          # asked only while somebody listens

Each kind is a module with its class; the episode asks them for payloads after each step.
"""

from __future__ import annotations

from carla_bridge.world.server.actors import Actor
from carla_bridge.world.server.poses import Pose
from carla_bridge.world.server.sensors.cameras import CAMERAS, Camera
from carla_bridge.world.server.sensors.collision import CollisionSensor
from carla_bridge.world.server.sensors.gnss import Gnss
from carla_bridge.world.server.sensors.imu import Imu
from carla_bridge.world.server.sensors.sensor import Sensor

__all__ = ["Camera", "CollisionSensor", "Gnss", "Imu", "LANE_INVASION", "Sensor", "make_sensor"]

LANE_INVASION = "sensor.other.lane_invasion"
"""Works in the client, from bounding boxes and the map; here it is an actor without a stream."""

KINDS: dict[str, type[Sensor]] = {
    "sensor.other.collision": CollisionSensor,
    "sensor.other.gnss": Gnss,
    "sensor.other.imu": Imu,
    **dict.fromkeys(CAMERAS, Camera),
}


def make_sensor(
    actor_id: int, kind: str, attributes: dict[str, str], place: Pose, parent: Actor | None
) -> Sensor:
    """Return a sensor; raises `CallError` where its attributes do not fit."""
    return KINDS[kind](actor_id, kind, attributes, place, parent)
