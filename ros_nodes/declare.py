"""Parameters that are set once, at start: declared with type, limits and description, and checked.

    rate_hz = declare(node, "rate_hz", 0.0, "Frames a second.", limits=(0.0, 1000.0))
    transport = declare(node, "transport", "raw", "How it is sent.", choices=("raw", "compressed"))

A number without a point will do for one with (``rate_hz:=20``), which ROS itself refuses. Anything
else that does not fit raises `EdgeSegError` with the parameter's name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.context import Context
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from edge_seg.errors import EdgeSegError, closest

Value = TypeVar("Value", bound="str | bool | int | float")

OF_ROS = ("use_sim_time", "qos_overrides", "start_type_description_service")
"""Parameters that ROS gives every node."""
KINDS: dict[type, str] = {
    str: "text, quoted if it reads as a number",
    bool: "true or false",
    int: "a whole number",
}


def declare(
    node: Node,
    name: str,
    default: Value,
    description: str,
    limits: tuple[float, float] | None = None,
    choices: Sequence[str] = (),
) -> Value:
    """Declare a read-only parameter and return its value; raises `EdgeSegError`."""
    kind = type(default)
    descriptor = ParameterDescriptor(
        description=description, read_only=True, dynamic_typing=kind is float
    )
    if choices:
        descriptor.additional_constraints = f"one of {', '.join(choices)}"
    if limits is not None and kind is float:
        low, high = map(float, limits)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif limits is not None:
        low, high = map(int, limits)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    try:
        given: Any = node.declare_parameter(name, default, descriptor).value
    except InvalidParameterTypeException as error:
        raise EdgeSegError(f"parameter {name} is {KINDS[kind]}") from error
    except InvalidParameterValueException as error:
        raise EdgeSegError(f"parameter {name}: {_within(limits)}") from error
    if kind is float and (isinstance(given, bool) or not isinstance(given, (int, float))):
        raise EdgeSegError(f"parameter {name}: '{given}' is no number")
    if limits is not None and not limits[0] <= given <= limits[1]:
        raise EdgeSegError(f"parameter {name}: {_within(limits)}")
    if choices and given not in choices:
        raise EdgeSegError(f"parameter {name} '{given}': {closest(str(given), choices)}")
    return kind(given)


def _within(limits: tuple[float, float] | None) -> str:
    return f"choose {limits[0]:g} to {limits[1]:g}" if limits else "choose another value"


def described(program: str, declare_all: Callable[[Node], object]) -> str:
    """Return a node's parameters with defaults and descriptions, for its ``--help``."""
    context = Context()
    rclpy.init(args=[], context=context)
    node = Node("described", context=context, use_global_arguments=False)
    declare_all(node)
    lines = [f"usage: {program} --ros-args -p NAME:=VALUE ...", ""]
    for name, parameter in node.get_parameters_by_prefix("").items():
        if name not in OF_ROS:
            value = json.dumps(parameter.value)
            lines.append(f"  {name} ({value}): {node.describe_parameter(name).description}")
    node.destroy_node()
    context.try_shutdown()
    return "\n".join(lines)
