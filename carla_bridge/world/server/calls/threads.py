"""From a connection's thread to the world's.

@calls.value("get_weather_parameters")
@in_world
def weather(world: World) -> list[float]: ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from carla_bridge.world.server.episode import World

Answer = TypeVar("Answer")


def in_world(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Have the world's thread run a call, and the caller's wait for it."""

    @functools.wraps(function)
    def asked(world: World, *arguments: Any) -> Answer:
        return world.ask(function, *arguments)

    return asked
