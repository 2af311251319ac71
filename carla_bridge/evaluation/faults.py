"""Who failed, the simulator, a sensor or the agent: told apart where it happens.

with agent_at_work():
    mask = masks(frame)              # whatever this raises is the agent's failure
try:
    session.tick()
except SimulatorError as error:
    raise simulator_fault(error, host, port) from error
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from carla_bridge.client.connection import Address, knock
from carla_bridge.client.errors import SimulatorError
from carla_bridge.evaluation.record import Reason
from edge_seg.errors import in_one_line

KNOCK_S = 2.0


class Fault(Exception):
    """A route ended by a fault: ``reason`` as a record has it, and what was said."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


@contextlib.contextmanager
def agent_at_work() -> Iterator[None]:
    """Have every error in the block count as the agent's."""
    try:
        yield
    except Exception as error:
        raise Fault("agent failure", f"{type(error).__name__}: {in_one_line(error)}") from error


def what_failed(host: str, port: int) -> Reason:
    """Return what became of a server that stopped answering: it is gone, or it hangs.

    A process that died listens no more; one that hangs still does, the kernel accepts for it.
    """
    try:
        knock(Address(host, port), KNOCK_S)
    except SimulatorError:
        return "simulator crash"
    return "simulator hung"
