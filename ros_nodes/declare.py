"""Parameters that are set once, at start: declared with type, limits and description, and checked.

    rate_hz = declare(node, "rate_hz", 0.0, "Frames a second.", limits=(0.0, 1000.0))
    transport = declare(node, "transport", "raw", "How it is sent.", choices=("raw", "compressed"))

A number without a point will do for one with (``rate_hz:=20``), which ROS itself refuses. Anything
else that does not fit raises `EdgeSegError` with the parameter's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from edge_seg.errors import EdgeSegError, closest

Value = TypeVar("Value", str, bool, int, float)

KINDS = {str: "text, quoted if it reads as a number", bool: "true or false", int: "a whole number"}


def declare(
    node: Node,
    name: str,
    default: Value,
    description: str,
    limits: tuple[Value, Value] | None = None,
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
        value = node.declare_parameter(name, default, descriptor).value
        if kind is float and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise EdgeSegError(f"parameter {name}: '{value}' is no number")
    except InvalidParameterTypeException as error:
        raise EdgeSegError(f"parameter {name} is {KINDS[kind]}") from error
    except InvalidParameterValueException as error:
        raise EdgeSegError(f"parameter {name}: choose {limits[0]:g} to {limits[1]:g}") from error
    value = kind(value)
    if limits is not None and not limits[0] <= value <= limits[1]:
        raise EdgeSegError(f"parameter {name}: choose {limits[0]:g} to {limits[1]:g}")
    if choices and value not in choices:
        raise EdgeSegError(f"parameter {name} '{value}': {closest(value, choices)}")
    return value
