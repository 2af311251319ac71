"""Connecting, settings, time, weather: what a client asks of the world as a whole."""

from __future__ import annotations

from typing import Any

from carla_bridge.world.server.call_table import CallTable
from carla_bridge.world.server.calls.threads import in_world
from carla_bridge.world.server.episode import World
from carla_bridge.world.server.settings import read_settings
from carla_bridge.world.server.weather import read_weather, write_weather

VERSION = "0.9.16"
"""The CARLA release whose protocol this is; clients compare it with their own."""

calls = CallTable()


@calls.value("version")
def version(world: World) -> str:
    """Return CARLA's version."""
    return VERSION


@calls.value("get_episode_info")
@in_world
def episode_info(world: World) -> list[object]:
    """Return the episode's number, and where its world messages are."""
    return [world.level.number, [world.streams.token(world.stream)]]


@calls.value("get_episode_settings")
@in_world
def settings(world: World) -> list[object]:
    """Return the settings."""
    return world.settings.to_wire()


@calls.value("set_episode_settings")
@in_world
def set_settings(world: World, wire: Any) -> int:
    """Take settings; return a frame that the client has seen already."""
    world.settings = read_settings(wire)
    return world.level.moment.frame


@calls.value("tick_cue")
def tick(world: World) -> int:
    """Simulate a frame, once those who are about to subscribe have done it."""
    if world.settings.synchronous:
        world.streams.wait_expected()
    return world.ask(World.tick_asked)


@calls.value("get_weather_parameters")
@in_world
def weather(world: World) -> list[float]:
    """Return the weather."""
    return write_weather(world.level.weather)


@calls.void("set_weather_parameters")
@in_world
def set_weather(world: World, wire: Any) -> None:
    """Change the weather."""
    world.level.set_weather(read_weather(wire))


@calls.value("query_lights_state")
def light_manager(world: World, client: Any) -> list[object]:
    """Return the lamps that clients can switch: none, but `get_world` asks."""
    return []


@calls.void("draw_debug_shape")
def debug_shape(world: World, shape: Any) -> None:
    """Accept a shape; the cameras of this world do not show it."""
