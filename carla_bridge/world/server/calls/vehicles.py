"""Vehicles: driving, autopilot, lights and physics."""

from __future__ import annotations

from typing import Any

from carla_bridge.world.server.arguments import flag, members, whole
from carla_bridge.world.server.call_table import CallTable
from carla_bridge.world.server.calls.threads import in_world
from carla_bridge.world.server.cars import Car
from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.episode import World
from carla_bridge.world.server.physics import read_physics, write_physics

calls = CallTable()


@calls.void("apply_control_to_vehicle")
@in_world
def drive(world: World, actor_id: Any, control: Any) -> None:
    """Set pedals and wheel until the next control."""
    world.level.actors.find(actor_id, Car).drive(control)


@calls.void("apply_ackermann_control_to_vehicle")
@in_world
def drive_ackermann(world: World, actor_id: Any, control: Any) -> None:
    """Set a wheel angle and a speed until the next control."""
    world.level.actors.find(actor_id, Car).drive_ackermann(control)


@calls.void("set_actor_autopilot")
@in_world
def set_autopilot(world: World, actor_id: Any, on: Any) -> None:
    """Have a car follow its lane, or wait for controls again."""
    car = world.level.actors.find(actor_id, Car)
    if flag(on, "autopilot"):
        world.level.autopilots.take(car)
    else:
        world.level.autopilots.release(car)


@calls.value("is_traffic_manager_running")
def traffic_manager(world: World, port: Any) -> bool:
    """Refuse: CARLA's traffic manager runs in its client and drives the cars of a real server."""
    raise CallError(
        "this world has no traffic manager; `edge-seg world --traffic N` has cars that drive"
    )


@calls.value("get_physics_control")
@in_world
def physics(world: World, actor_id: Any) -> list[object]:
    """Return a vehicle's sizes, masses and limits."""
    return write_physics(world.level.actors.find(actor_id, Car))


@calls.void("apply_physics_control")
@in_world
def set_physics(world: World, actor_id: Any, control: Any) -> None:
    """Change a vehicle's mass and the lock of its wheels."""
    read_physics(world.level.actors.find(actor_id, Car), control)


@calls.value("get_vehicle_light_state")
@in_world
def light_state(world: World, actor_id: Any) -> list[int]:
    """Return which of a vehicle's lights are on."""
    return [world.level.actors.find(actor_id, Car).lights]


@calls.void("set_vehicle_light_state")
@in_world
def set_light_state(world: World, actor_id: Any, state: Any) -> None:
    """Switch a vehicle's lights; the low beams show."""
    mask = whole(members(state, "a light state", 1)[0], "a light state")
    world.level.actors.find(actor_id, Car).lights = mask % 2**32


@calls.value("get_vehicle_light_states")
@in_world
def light_states(world: World) -> list[list[int]]:
    """Return each vehicle's lights."""
    return [[car.id, car.lights] for car in world.level.actors.of(Car)]
