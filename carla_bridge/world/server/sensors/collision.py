"""The collision sensor: an event for each thing that its car touches in a frame.

payload = collision_event(sensor, moment, car.to_wire(), other.to_wire(), impulse)
"""

from __future__ import annotations

import msgpack

from carla_bridge.world.server.poses import Vector
from carla_bridge.world.server.sensors.sensor import Sensor
from carla_bridge.world.server.world_message import Moment, sensor_header

COLLISION = 0
OBSTACLE: list[object] = [
    0,
    0,
    [0, "static.other", []],
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0],
    b"",
    b"",
]
"""What stands beside the road has no actor; CARLA names such a thing ``static.`` and its kind."""


class CollisionSensor(Sensor):
    """Watches the actor that it is attached to."""


def collision_event(
    sensor: CollisionSensor, moment: Moment, own: object, other: object, impulse: Vector
) -> bytes:
    """Return the payload: both actors as structures, and the impulse on the own one in N s."""
    header = sensor_header(COLLISION, moment, sensor.pose)
    return header + bytes(msgpack.packb([own, other, list(impulse)], use_bin_type=True))
