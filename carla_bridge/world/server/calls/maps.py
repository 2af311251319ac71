"""Maps: which there are, loading one, sending one, and what is on it."""

from __future__ import annotations

from typing import Any

from carla_bridge.world.server.arguments import flag, text, write_pose
from carla_bridge.world.server.call_table import CallTable
from carla_bridge.world.server.calls.threads import in_world
from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.episode import World
from carla_bridge.world.server.towns import sent_town

SENT = "OpenDriveMap"
"""The name that CARLA gives a map which a client sent."""

calls = CallTable()


@calls.value("get_available_maps")
@in_world
def available(world: World) -> list[str]:
    """Return the paths of all maps."""
    return [f"/Game/Carla/Maps/{name}" for name in world.maps]


@calls.value("get_map_info")
@in_world
def info(world: World) -> list[object]:
    """Return the map's name and its spawn points."""
    town = world.level.town
    return [town.path, [write_pose(point) for point in town.spawn_points]]


@calls.value("get_map_data")
@in_world
def data(world: World) -> str:
    """Return the OpenDRIVE text."""
    return world.level.town.text


@calls.value("get_required_files")
def required_files(world: World, folder: Any = "", download: Any = True) -> list[str]:
    """Return files that a client should fetch: none, so nothing touches its disk."""
    return []


@calls.void("load_new_episode")
@in_world
def load(world: World, name: Any, reset_settings: Any = True, layers: Any = 0) -> None:
    """Begin a new episode; an empty name means the same map."""
    world.load(text(name, "a map's name"), reset_settings=flag(reset_settings, "reset_settings"))


@calls.void("copy_opendrive_to_file")
def send_map(world: World, opendrive: Any, parameters: Any) -> None:
    """Check a map and keep it, to be loaded by its name; in the client's own thread."""
    if not isinstance(opendrive, str):
        raise CallError("an OpenDRIVE map is a text")
    world.ask(World.bring, sent_town(SENT, opendrive))
