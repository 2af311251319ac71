"""Actors: what can be spawned, spawning, looking up, moving and destroying them."""

from __future__ import annotations

from typing import Any

from carla_bridge.world.server.actors import Actor
from carla_bridge.world.server.arguments import flag, members, read_pose, read_vector, whole
from carla_bridge.world.server.blueprints import definitions, described
from carla_bridge.world.server.call_table import CallTable
from carla_bridge.world.server.calls.threads import in_world
from carla_bridge.world.server.cars import Car
from carla_bridge.world.server.episode import World
from carla_bridge.world.server.walkers import Walker

calls = CallTable()


@calls.value("get_actor_definitions")
def actor_definitions(world: World) -> list[list[object]]:
    """Return the blueprint library."""
    return definitions()


@calls.value("spawn_actor")
@in_world
def spawn(world: World, description: Any, transform: Any) -> list[object]:
    """Spawn an actor in the world."""
    return world.level.to_wire(spawned(world, description, transform))


@calls.value("spawn_actor_with_parent")
@in_world
def spawn_attached(
    world: World,
    description: Any,
    transform: Any,
    parent_id: Any,
    attachment: Any = 0,
    socket: Any = "",
) -> list[object]:
    """Spawn an actor on another one; every kind of attachment is rigid here."""
    parent = world.level.actors.find(parent_id, Actor)
    return world.level.to_wire(spawned(world, description, transform, parent))


def spawned(world: World, description: Any, transform: Any, parent: Actor | None = None) -> Actor:
    """Return the new actor that a description and a transform from the wire ask for."""
    blueprint, values = described(description)
    return world.level.actors.spawn(blueprint.id, values, read_pose(transform), parent)


@calls.value("destroy_actor")
@in_world
def destroy(world: World, actor_id: Any) -> bool:
    """Destroy an actor, and what is attached to it."""
    world.level.destroy(world.level.actors.find(actor_id, Actor))
    return True


@calls.value("get_actors_by_id")
@in_world
def by_id(world: World, ids: Any) -> list[list[object]]:
    """Return those of the actors that exist."""
    found = (world.level.actors.get(whole(i, "an actor id")) for i in members(ids, "ids", 0))
    return [world.level.to_wire(actor) for actor in found if actor is not None]


@calls.value("get_spectator")
@in_world
def spectator(world: World) -> list[object]:
    """Return the actor that stands for the viewer of CARLA's own window."""
    return world.level.to_wire(world.level.actors.spectator)


@calls.value("get_actor_bounding_box")
@in_world
def bounding_box(world: World, actor_id: Any) -> list[object]:
    """Return the box around an actor, relative to it."""
    actor = world.level.actors.find(actor_id, Actor)
    return actor.box.to_wire(actor.id)


@calls.void("set_actor_transform")
@in_world
def put(world: World, actor_id: Any, transform: Any) -> None:
    """Put an actor somewhere else."""
    world.level.actors.find(actor_id, Actor).put(read_pose(transform))


@calls.void("set_actor_location")
@in_world
def put_at(world: World, actor_id: Any, location: Any) -> None:
    """Put an actor somewhere else, looking where it looked."""
    actor = world.level.actors.find(actor_id, Actor)
    x, y, z = read_vector(location, "a location")
    actor.put(actor.place._replace(x=x, y=y, z=z))


@calls.void("set_actor_target_velocity")
@in_world
def set_velocity(world: World, actor_id: Any, velocity: Any) -> None:
    """Give a vehicle a velocity, at once."""
    world.level.actors.find(actor_id, Car).push(read_vector(velocity, "a velocity"))


@calls.void("set_actor_target_angular_velocity")
@in_world
def set_turning(world: World, actor_id: Any, velocity: Any) -> None:
    """Give a vehicle a turn rate in degrees a second, at once; only that about z counts."""
    world.level.actors.find(actor_id, Car).spin(read_vector(velocity, "a turn rate")[2])


@calls.void("add_actor_impulse")
@in_world
def add_impulse(world: World, actor_id: Any, impulse: Any) -> None:
    """Push a vehicle, N s."""
    car = world.level.actors.find(actor_id, Car)
    (vx, vy, vz), (x, y, z) = car.velocity, read_vector(impulse, "an impulse")
    car.push((vx + x / car.mass_kg, vy + y / car.mass_kg, vz + z / car.mass_kg))


@calls.void("set_actor_simulate_physics")
@in_world
def set_physics(world: World, actor_id: Any, on: Any) -> None:
    """Let a vehicle stand where it is put, or drive again; others have no physics anyway."""
    actor = world.level.actors.find(actor_id, Actor)
    if isinstance(actor, Car):
        actor.physics = flag(on, "physics")


@calls.void("set_actor_enable_gravity")
@in_world
def set_gravity(world: World, actor_id: Any, on: Any) -> None:
    """Accept it: everything here stays on the ground."""
    world.level.actors.find(actor_id, Actor)


@calls.void("apply_control_to_walker")
@in_world
def walk(world: World, actor_id: Any, control: Any) -> None:
    """Tell a walker where to go."""
    world.level.actors.find(actor_id, Walker).walk(control)
