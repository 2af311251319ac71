"""What can be set of the node: declared with type, limits and description, and checked.

    declare(node)
    settings = read(node)                     # Settings(bundle="lane.edgeseg", image="image", ...)
    reason = refused(changes, active=True)    # "" where they may be set now

`PARAMETERS` is the one list; config/lane_segmentation.yaml and the README's table follow it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.validate_full_topic_name import validate_full_topic_name

from edge_seg.errors import closest, in_one_line
from ros_nodes.process import PLACE

Value = str | bool | int | float


@dataclass(frozen=True)
class Settings:
    """The values of a moment."""

    bundle: str
    image: str
    transport: str
    reliability: str
    output_reliability: str
    max_age_ms: float
    overlay: bool
    frame_skip: int
    threads: int
    engine_options: str
    trust: bool
    autostart: bool
    warn_latency_ms: float
    error_latency_ms: float
    stale_after_ms: float
    warn_dropped: float
    warn_temperature_c: float


@dataclass(frozen=True)
class Declared:
    """One parameter: ``live`` ones may be set while frames come in."""

    name: str
    default: Value
    description: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    live: bool = True


RELIABILITIES = ("best_effort", "reliable")
TRANSPORTS = ("raw", "compressed")
PARAMETERS = (
    Declared(
        "bundle",
        "",
        "Path of the .edgeseg bundle. Set while active: another one is opened and tested in the "
        "background and takes over between two frames.",
    ),
    Declared("image", "image", "Topic of the camera's frames.", live=False),
    Declared(
        "transport",
        "raw",
        "raw: sensor_msgs/Image on the topic; compressed: CompressedImage on topic/compressed.",
        choices=TRANSPORTS,
        live=False,
    ),
    Declared(
        "reliability",
        "best_effort",
        "Of the subscription; reliable does not match a publisher that is best effort.",
        choices=RELIABILITIES,
        live=False,
    ),
    Declared(
        "output_reliability",
        "reliable",
        "Of the published images; a reliable publisher serves best-effort subscribers, too.",
        choices=RELIABILITIES,
        live=False,
    ),
    Declared(
        "max_age_ms",
        500.0,
        "A frame older than this when its turn comes is skipped and counted; 0 takes all.",
        limits=(0.0, 3_600_000.0),
    ),
    Declared("overlay", True, "Publish overlay and mask_color while somebody subscribes."),
    Declared("frame_skip", 0, "Frames left out after each one that is taken.", limits=(0, 1000)),
    Declared("threads", 0, "Threads of the engine; 0: all cores.", limits=(0, 1024), live=False),
    Declared(
        "engine_options",
        "",
        "What the engine does otherwise than the bundle says, such as resize=graph (OpenVINO) or "
        "cuda_graph=false (TensorRT).",
        live=False,
    ),
    Declared(
        "trust",
        False,
        "Run a bundle of TorchScript that no trusted key has signed.",
        live=False,
    ),
    Declared("autostart", True, "Configure and activate at start.", live=False),
    Declared(
        "warn_latency_ms",
        100.0,
        "Diagnostics warn where the median frame's total takes longer; 0: never.",
        limits=(0.0, 3_600_000.0),
    ),
    Declared(
        "error_latency_ms",
        500.0,
        "Diagnostics say ERROR where the median frame's total takes longer; 0: never.",
        limits=(0.0, 3_600_000.0),
    ),
    Declared(
        "stale_after_ms",
        1000.0,
        "Diagnostics say STALE where the last good mask is older.",
        limits=(1.0, 3_600_000.0),
    ),
    Declared(
        "warn_dropped",
        0.5,
        "Diagnostics warn where a larger share of the frames is dropped.",
        limits=(0.0, 1.0),
    ),
    Declared(
        "warn_temperature_c",
        80.0,
        "Diagnostics warn where the processor is hotter.",
        limits=(0.0, 150.0),
    ),
)
_BY_NAME = {declared.name: declared for declared in PARAMETERS}


def declare(node: Node) -> None:
    """Declare all; raises rclpy's errors for a value given at start of another type or range."""
    for declared in PARAMETERS:
        node.declare_parameter(declared.name, declared.default, _descriptor(declared))


def read(node: Node) -> Settings:
    """Return the values as they are now."""
    return Settings(
        **{field.name: node.get_parameter(field.name).value for field in fields(Settings)}
    )


def refused(changes: Iterable[Parameter], active: bool) -> str:
    """Return why not, "" where all may be set. Parameters of others are not ours to judge."""
    for change in changes:
        declared = _BY_NAME.get(change.name)
        if declared is None:
            continue
        if isinstance(declared.default, float) and not _is_number(change.value):
            return f"{change.name} '{change.value}': is no number"
        if declared.limits and not declared.limits[0] <= change.value <= declared.limits[1]:
            low, high = declared.limits
            return f"{change.name} {change.value} is out of its range, {low:g} to {high:g}"
        if declared.choices and change.value not in declared.choices:
            return f"{change.name} '{change.value}': {closest(str(change.value), declared.choices)}"
        if change.name == "image" and (reason := _no_topic(str(change.value))):
            return reason
        if active and not declared.live:
            return f"{change.name} is taken up by configure: deactivate and clean up first"
    return ""


def _no_topic(name: str) -> str:
    """Return why a topic cannot have this name, "" where it can."""
    try:
        validate_full_topic_name(expand_topic_name(name, "lane_segmentation", "/"))
    except (InvalidTopicNameException, ValueError) as error:
        said = in_one_line(PLACE.sub("", str(error)))
        return f"image '{name}': {said}"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _descriptor(declared: Declared) -> ParameterDescriptor:
    # ROS refuses 200 where 200.0 is wanted; who types a number on a robot should not have to know.
    any_number = isinstance(declared.default, float)
    descriptor = ParameterDescriptor(description=declared.description, dynamic_typing=any_number)
    if declared.choices:
        descriptor.additional_constraints = f"one of {', '.join(declared.choices)}"
    if declared.limits and isinstance(declared.default, float):
        low, high = declared.limits
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif declared.limits:
        low, high = map(int, declared.limits)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor
