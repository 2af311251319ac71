"""Streams of sensors: where to subscribe."""

from __future__ import annotations

from typing import Any

from carla_bridge.world.server.arguments import whole
from carla_bridge.world.server.call_table import CallTable
from carla_bridge.world.server.episode import World

calls = CallTable()


@calls.value("get_sensor_token")
def token(world: World, stream: Any) -> list[object]:
    """Return where a stream is; its subscriber is about to come."""
    number = whole(stream, "a stream") % 2**32
    world.streams.expect(number)
    return [world.streams.token(number)]


@calls.void("enable_sensor_for_ros")
def enable_for_ros(world: World, stream: Any) -> None:
    """Accept it: there is no ROS in this server."""


@calls.void("disable_sensor_for_ros")
def disable_for_ros(world: World, stream: Any) -> None:
    """Accept it: there is no ROS in this server."""


@calls.value("is_sensor_enabled_for_ros")
def enabled_for_ros(world: World, stream: Any) -> bool:
    """Return that no sensor publishes in ROS."""
    return False
