"""Which function answers which method, and in which shape.

    calls = CallTable()

    @calls.value("get_weather_parameters")          # what it returns is the value
    def weather(world: World) -> list[float]: ...

    @calls.void("apply_control_to_vehicle")         # returns nothing
    def control(world: World, actor_id: int, control: list[Any]) -> None: ...

    @calls.bare("apply_batch")                      # returns the whole answer itself
    def batch(world: World, commands: list[Any], do_tick: bool) -> list[object]: ...

    RpcServer(host, port, calls.bound_to(world))    # each function gets the world first

A call that cannot do its work raises `envelope.CallError`. Whatever else it raises (arguments come
from anywhere and may have any shape) is answered as an error, too: a call need not catch it.
All numbers in arguments are finite, but can be as large as they like, and of either kind.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from carla_bridge.world.server import envelope

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Call:
    """A function, and how what it returns or raises becomes an answer."""

    function: Callable[..., Any]
    answer: Callable[[Any], list[object]]
    failure: Callable[[str], list[object]]


class CallTable:
    """Calls by method name; the functions take the world as their first argument."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}

    def value(self, name: str) -> Callable[[Function], Function]:
        """Have the decorated function answer ``name`` with the value that it returns."""
        return self._adder(name, envelope.value, envelope.error)

    def void(self, name: str) -> Callable[[Function], Function]:
        """Have the decorated function answer ``name``, which has no value."""
        return self._adder(name, lambda _: envelope.void(), envelope.void_error)

    def bare(self, name: str) -> Callable[[Function], Function]:
        """Have the decorated function return the whole answer of ``name``."""
        return self._adder(name, lambda answer: answer, envelope.error)

    def include(self, other: CallTable) -> None:
        """Take over all calls of another table."""
        for name, call in other._calls.items():
            self._add(name, call)

    def bound_to(self, world: object) -> Mapping[str, Call]:
        """Return the calls with ``world`` as their functions' first argument."""
        return {
            name: Call(functools.partial(call.function, world), call.answer, call.failure)
            for name, call in self._calls.items()
        }

    def _adder(
        self,
        name: str,
        answer: Callable[[Any], list[object]],
        failure: Callable[[str], list[object]],
    ) -> Callable[[Function], Function]:
        def add(function: Function) -> Function:
            self._add(name, Call(function, answer, failure))
            return function

        return add

    def _add(self, name: str, call: Call) -> None:
        if name in self._calls:
            raise ValueError(f"two functions answer {name}")
        self._calls[name] = call
