"""A node's whole process: environment, signals, the executor's loop, and a clean end.

    def main() -> None:
        end(run(LaneCamera, settings))

SIGINT and SIGTERM end it with exit 0; a user's mistake is one line and exit 2. What a callback
raises is logged, and the node goes on: on Jazzy an invalid request of a lifecycle transition
leaves the service that way, and would end the executor.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import active_count
from types import FrameType
from typing import NoReturn, TypeVar

import rclpy
from rclpy.context import Context
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from edge_seg.errors import EdgeSegError, closest, in_one_line
from ros_nodes.declare import OF_ROS, described
from ros_nodes.environment import prepare

NodeT = TypeVar("NodeT", bound=Node)

WAIT_S = 0.5
"""How long the executor sleeps at most: whether the process shall end is asked in between."""
PLACE = re.compile(r",? at \S+:\d+")
"""Where in its C source ROS refused something, which helps nobody here."""
REFUSED = (EdgeSegError, InvalidParameterTypeException, InvalidParameterValueException)


def run(
    make: Callable[[], NodeT],
    declare: Callable[[Node], object],
    begin: Callable[[NodeT], None] | None = None,
) -> int:
    """Spin what ``make`` makes until a signal ends the process; return the exit code.

    ``declare`` declares its parameters on any node, for ``--help``. ``begin`` is called once with
    the node before. A node may have a ``close`` that frees what is not ROS's.
    """
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(described(Path(sys.argv[0]).stem, declare))
        return 0
    warnings = prepare()
    # ROS's own handlers shut the context down and then call these: no KeyboardInterrupt, also
    # not from the second signal that a Ctrl-C under launch sends.
    signal.signal(signal.SIGINT, _nothing)
    signal.signal(signal.SIGTERM, _nothing)
    node: NodeT | None = None
    try:
        start()
        for argument in remove_ros_args(sys.argv)[1:]:
            said = f"'{argument}' is not understood"
            raise EdgeSegError(f"{said}: --ros-args -p NAME:=VALUE, or --help")
        node = make()
        for warning in [*warnings, *_unknown(node)]:
            node.get_logger().warning(warning)
        if begin is not None:
            begin(node)
        spin(node)
    except REFUSED as error:
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        return EdgeSegError.exit_code
    except Exception:
        if rclpy.ok():  # else a signal came, and what was under way found its context shut down
            raise
    finally:
        if node is not None:
            getattr(node, "close", _nothing)()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def start(context: Context | None = None, arguments: list[str] | None = None) -> None:
    """Start ROS; raises `EdgeSegError` for arguments or an environment that it refuses."""
    try:
        rclpy.init(args=arguments, context=context)
    except Exception as error:
        said = in_one_line(PLACE.sub("", str(error)).removeprefix("failed to initialize rcl: "))
        raise EdgeSegError(
            f"ROS does not start: {said}; parameters are given as -p NAME:=VALUE, and "
            "ROS_DOMAIN_ID and ROS_SECURITY_* must fit"
        ) from error


def _unknown(node: Node) -> list[str]:
    """Return a warning for each parameter that was given and that the node does not have."""
    known = [name for name in node.get_parameters_by_prefix("") if name not in OF_ROS]
    return [
        f"there is no parameter '{name}': {closest(name, known)}"
        for name in node._parameter_overrides  # ROS itself passes over what nobody declares
        if not node.has_parameter(name) and name.split(".")[0] not in OF_ROS
    ]


def spin(node: Node) -> None:
    """Run a node's callbacks until its context is shut down."""
    if not node.context.ok():  # an executor could not even be made
        return
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    try:
        while node.context.ok():
            try:
                executor.spin_once(timeout_sec=WAIT_S)
            except Exception as error:
                if node.context.ok():
                    node.get_logger().error(f"{type(error).__name__}: {error}")
    finally:
        executor.shutdown(timeout_sec=0.0)


def end(code: int) -> NoReturn:
    """End the process; a thread that is deep in a runtime (a bundle being opened) holds up nothing.

    Where one is left, the interpreter's own end would pull the runtime away under it.
    """
    # A node is in circles, and as long as it is there Fast DDS keeps its shared memory, which would
    # outlive the process.
    gc.collect()
    if active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _nothing(*_: int | FrameType | None) -> None:
    """Leave it to ROS."""
