"""Nodes in processes of their own, and one in this process that looks at them.

with node_process("ros_nodes.camera.main", tmp_path, source=video, rate_hz=20.0) as camera:
    with looking() as here:                        # a plain rclpy node on the same domain
        images = []
        here.node.create_subscription(Image, "image", images.append, 1)
        here.until(lambda: len(images) > 3)
camera.code, camera.errors()                       # it was ended by SIGTERM, and 0 was asserted

Everything stays on the loopback, on a domain of this test process's own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from ros_nodes.environment import profile

ROOT = Path(__file__).parents[2]
WAIT_S = 60.0
ENVIRONMENT = {
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    "ROS_LOCALHOST_ONLY": "1",  # what Humble calls it
    "ROS_DOMAIN_ID": str(1 + os.getpid() % 101),
    "PYTHONUNBUFFERED": "1",
    **profile(),
}
"""Set for this process, too, as it has a participant of its own."""
os.environ.update(ENVIRONMENT)


class NodeProcess:
    """``python -m module arguments``; what it prints goes to files in ``folder``."""

    def __init__(self, module: str, folder: Path, arguments: Sequence[str]) -> None:
        self.module = module
        self._out, self._errors = folder / f"{module}.out", folder / f"{module}.errors"
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env={**os.environ, "ROS_LOG_DIR": str(folder / "ros-log")},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
            )
        self.end_s = 0.0
        """How long it took to end."""

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.process.poll()

    def out(self) -> str:
        return self._out.read_text()

    def errors(self) -> str:
        """What it said on stderr; a node's log is there, too."""
        return self._errors.read_text()

    def says(self, text: str, timeout_s: float = WAIT_S) -> None:
        """Wait until its stderr has ``text``."""
        until(lambda: text in self.errors() or self.code is not None, timeout_s)
        assert text in self.errors(), self.errors()

    def wait(self, timeout_s: float = WAIT_S) -> int:
        """Wait for its end; return the exit code."""
        start = monotonic()
        code = self.process.wait(timeout_s)
        self.end_s = monotonic() - start
        return code

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it, and wait for its end; return the exit code."""
        self.process.send_signal(number)
        return self.wait()


@contextmanager
def node_process(
    module: str,
    folder: Path,
    *arguments: str,
    expected: int = 0,
    **parameters: object,
) -> Iterator[NodeProcess]:
    """Run a node with these ROS arguments (``"-r", "image:=/front"``) and parameters.

    SIGTERM ends it with the block, where it has not ended by itself; its exit code must be
    ``expected``.
    """
    given = [part for item in parameters.items() for part in ("-p", _written(*item))]
    running = NodeProcess(module, folder, ["--ros-args", *arguments, *given])
    try:
        yield running
        code = running.end() if running.code is None else running.code
        assert code == expected, running.errors()
    finally:
        if running.code is None:
            running.process.kill()
            running.process.wait()


def refused(module: str, folder: Path, *arguments: str, **parameters: object) -> str:
    """Return the one line that a node says which ends at once with 2."""
    with node_process(module, folder, *arguments, expected=2, **parameters) as node:
        node.wait()
    assert "Traceback" not in node.errors()
    (line,) = [line for line in node.errors().splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


@dataclass
class Looking:
    """A node of this process; `until` and `spin` run its callbacks."""

    node: Node
    executor: SingleThreadedExecutor

    def until(self, condition: Callable[[], object], timeout_s: float = WAIT_S) -> None:
        """Spin until ``condition()``, which must come in time."""
        until(condition, timeout_s, self.spin)

    def spin(self, seconds: float = 0.05) -> None:
        """Run callbacks for about so long."""
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)


@contextmanager
def looking(name: str = "looking", arguments: Sequence[str] = ()) -> Iterator[Looking]:
    """Yield a node in a context of its own."""
    context = rclpy.Context()
    rclpy.init(args=list(arguments), context=context)
    node = rclpy.create_node(name, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield Looking(node, executor)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def until(
    condition: Callable[[], object],
    timeout_s: float = WAIT_S,
    meanwhile: Callable[[], None] = lambda: sleep(0.05),
) -> None:
    """Wait until ``condition()``, which must come in time."""
    end = monotonic() + timeout_s
    while not condition():
        assert monotonic() < end, f"not in {timeout_s} s"
        meanwhile()


def _written(name: str, value: object) -> str:
    """Return ``name:=value`` as ROS reads it: YAML, in which a path or word stays a string."""
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, (str, Path)):
        value = f"'{value}'"
    return f"{name}:={value}"
