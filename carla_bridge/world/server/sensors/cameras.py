"""Cameras: what each frame's pictures are of, and how a picture is wrapped.

    camera = Camera(7, "sensor.camera.rgb", values, Pose(x=1.5, z=2.0), parent=car)
    for camera, pixels in pictures(studio, due):           # cameras at one pose share a pass
        streams.send(camera.stream, image_header(camera, moment), pixels)

The studio draws; a camera costs nothing until somebody listens to it, and opens its buffers
with its first picture.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from carla_bridge.world.server.blueprints import LARGEST_IMAGE, SMALLEST_IMAGE
from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.poses import Pose
from carla_bridge.world.server.sensors.sensor import Sensor
from carla_bridge.world.server.world_message import Moment, sensor_header
from carla_bridge.world.studio import CameraPose, Studio

CAMERAS = {
    "sensor.camera.depth": ("depth", 1),
    "sensor.camera.rgb": ("rgb", 13),
    "sensor.camera.semantic_segmentation": ("semantic", 14),
    "sensor.camera.instance_segmentation": ("instance", 15),
}
"""Of each blueprint: what the studio draws, and the sensor's type on the wire in 0.9.16."""
IMAGE = struct.Struct("<IIf")
NARROWEST, WIDEST = 1.0, 170.0
"""Degrees across."""


@dataclass(eq=False)
class Camera(Sensor):
    """A pinhole camera; pixels are square."""

    width: int = field(init=False)
    height: int = field(init=False)
    field_deg: float = field(init=False)
    handle: Any = field(default=None, init=False)
    """What the studio knows it by, once it was opened."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.width, self.height = self.whole("image_size_x"), self.whole("image_size_y")
        self.field_deg = self.number("fov")
        if not all(SMALLEST_IMAGE <= n <= LARGEST_IMAGE for n in (self.width, self.height)):
            raise CallError(
                f"images of {self.width}x{self.height} cannot be drawn; "
                f"choose {SMALLEST_IMAGE} to {LARGEST_IMAGE} pixels a side"
            )
        if not NARROWEST <= self.field_deg <= WIDEST:
            raise CallError(
                f"a fov of {self.field_deg:g} cannot be drawn; choose {NARROWEST:g} to {WIDEST:g}"
            )

    def open(self, studio: Studio) -> Any:
        """Return the studio's handle, opened now where it is not yet."""
        if self.handle is None:
            kind, _ = CAMERAS[self.kind]
            self.handle = studio.open(kind, self.width, self.height, self.field_deg)
        return self.handle

    def close(self, studio: Studio) -> None:
        """Give the studio's buffers back."""
        if self.handle is not None:
            studio.close(self.handle)
            self.handle = None


def pictures(studio: Studio, cameras: Sequence[Camera]) -> list[Any]:
    """Return each camera's pixels, blue first, four bytes each, the top row first."""
    return studio.render([(camera.open(studio), eye(camera.pose)) for camera in cameras])


def eye(pose: Pose) -> CameraPose:
    """Return a pose in the map's coordinates: only y and yaw change their sign."""
    return CameraPose(pose.x, -pose.y, pose.z, -pose.yaw, pose.pitch, pose.roll)


def image_header(camera: Camera, moment: Moment) -> bytes:
    """Return what comes before the pixels."""
    kind = CAMERAS[camera.kind][1]
    size = IMAGE.pack(camera.width, camera.height, camera.field_deg)
    return sensor_header(kind, moment, camera.pose) + size
