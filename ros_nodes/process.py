"""A node's whole process: environment, signals, the executor's loop, and a clean end.

    def main() -> None:
        end(run(LaneCamera))

SIGINT and SIGTERM end it with exit 0; a user's mistake is one line and exit 2. What a callback
raises is logged, and the node goes on: on Jazzy an invalid request of a lifecycle transition
leaves the service that way, and would end the executor.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from threading import active_count
from types import FrameType
from typing import NoReturn, TypeVar

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from edge_seg.errors import EdgeSegError, in_one_line
from ros_nodes.environment import prepare

NodeT = TypeVar("NodeT", bound=Node)

WAIT_S = 0.5
"""How long the executor sleeps at most: whether the process shall end is asked in between."""
REFUSED = (EdgeSegError, InvalidParameterTypeException, InvalidParameterValueException)


def run(make: Callable[[], NodeT], begin: Callable[[NodeT], None] | None = None) -> int:
    """Spin what ``make`` makes until a signal ends the process; return the exit code.

    ``begin`` is called once with the node before. A node may have a ``close`` that frees what is
    not ROS's.
    """
    warnings = prepare()
    # ROS's own handlers shut the context down and then call these: no KeyboardInterrupt, also
    # not from the second signal that a Ctrl-C under launch sends.
    signal.signal(signal.SIGINT, _nothing)
    signal.signal(signal.SIGTERM, _nothing)
    rclpy.init()
    node: NodeT | None = None
    try:
        node = make()
        for warning in warnings:
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
