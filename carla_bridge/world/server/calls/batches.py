"""Batches: many commands in one call, each answered for itself.

A command is ``[[index, body]]``; the indices are those of `carla::rpc::Command` in 0.9.16.
"""

from __future__ import annotations

from typing import Any

from carla_bridge.world.server import envelope
from carla_bridge.world.server.actors import Actor
from carla_bridge.world.server.arguments import flag, members, whole
from carla_bridge.world.server.call_table import CallTable
from carla_bridge.world.server.calls import actors, vehicles
from carla_bridge.world.server.calls.threads import in_world
from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.episode import World
from edge_seg.errors import EdgeSegError, in_one_line

calls = CallTable()

SPAWN, DESTROY, AFTER = 0, 1, 5
COMMANDS = {
    2: vehicles.drive,
    3: vehicles.drive_ackermann,
    4: actors.walk,
    5: vehicles.set_physics,
    6: actors.put,
    8: actors.set_velocity,
    9: actors.set_turning,
    10: actors.add_impulse,
    14: actors.set_physics,
    15: actors.set_gravity,
    16: vehicles.set_autopilot,
    18: vehicles.set_light_state,
    19: actors.put_at,
}
"""Those that are a call of the same arguments, the actor's id first."""


@calls.bare("apply_batch")
@in_world
def apply(world: World, commands: Any, do_tick: Any = False) -> list[object]:
    """Do all commands in order, then tick if asked to; one answer a command."""
    answers: list[object] = [
        _answered(world, command) for command in members(commands, "commands", 0)
    ]
    if flag(do_tick, "do_tick"):
        world.tick_asked()
    return answers


def _answered(world: World, command: Any) -> list[object]:
    """Return a command's own answer: the actor's id, or what went wrong."""
    try:
        return envelope.value(_done(world, *_parts(command)))
    except (CallError, EdgeSegError) as error:
        return envelope.error(str(error))
    except Exception as error:  # a body may have any shape
        return envelope.error(f"a command cannot use these values: {in_one_line(error)}")


def _parts(command: Any) -> tuple[int, list[Any]]:
    index, body = members(members(command, "a command", 1)[0], "a command", 2)[:2]
    return whole(index, "a command's number"), members(body, "a command's body", 1)


def _done(world: World, index: int, body: list[Any]) -> int:
    """Do a command; return the id of the actor that it was for."""
    if index == SPAWN:
        return _spawned(world, body)
    actor_id = whole(body[0], "an actor id")
    if index == DESTROY:
        actors.destroy(world, actor_id)
    elif index in COMMANDS:
        COMMANDS[index](world, *body)
    else:
        raise CallError(f"this world does not know command {index}")
    return actor_id


def _spawned(world: World, body: list[Any]) -> int:
    """Spawn, and do what is to be done after with the new actor (its id stands as 0)."""
    description, transform, parent = members(body, "a spawn command", 3)[:3]
    with_parent = isinstance(parent, list) and bool(parent) and parent[0] is True
    on = world.level.actors.find(parent[1], Actor) if with_parent else None
    actor = actors.spawned(world, description, transform, on)
    for command in body[AFTER] if len(body) > AFTER else []:
        index, after = _parts(command)
        _done(world, index, [actor.id, *after[1:]] if index != SPAWN else after)
    return actor.id
