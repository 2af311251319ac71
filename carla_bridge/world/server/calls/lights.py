"""Traffic lights: setting and freezing them."""

from __future__ import annotations

from typing import Any

from carla_bridge.world.server.arguments import flag, whole
from carla_bridge.world.server.call_table import CallTable
from carla_bridge.world.server.calls.threads import in_world
from carla_bridge.world.server.episode import World
from carla_bridge.world.server.lights import GREEN, TrafficLight

calls = CallTable()


@calls.void("set_traffic_light_state")
@in_world
def set_state(world: World, actor_id: Any, state: Any) -> None:
    """Show a colour."""
    world.level.actors.find(actor_id, TrafficLight).show(whole(state, "a traffic light's state"))


@calls.void("freeze_traffic_light")
@in_world
def freeze(world: World, actor_id: Any, on: Any) -> None:
    """Freeze a light; none of them changes by itself, so this is only told back."""
    world.level.actors.find(actor_id, TrafficLight).frozen = flag(on, "frozen")


@calls.void("freeze_all_traffic_lights")
@in_world
def freeze_all(world: World, on: Any) -> None:
    """Freeze all lights, or none."""
    for light in world.level.actors.of(TrafficLight):
        light.frozen = flag(on, "frozen")


@calls.void("reset_all_traffic_lights")
@in_world
def reset_all(world: World) -> None:
    """Show green everywhere, as in the beginning."""
    for light in world.level.actors.of(TrafficLight):
        light.show(GREEN)
