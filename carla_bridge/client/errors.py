"""What goes wrong with a simulator, told apart: the server itself, or one sensor of it.

try:
    picture = camera.at(session.tick())
except SensorError:      # the server goes on, this picture did not come
    ...
except SimulatorError:   # gone, hung or too slow: nothing more will come
    ...
"""

from __future__ import annotations

from edge_seg.errors import EdgeSegError


class SimulatorError(EdgeSegError):
    """The server is absent, gone, hung or too slow, or it was taken from us."""


class SensorError(EdgeSegError):
    """The server answers, but what a sensor should have sent did not come."""
