"""Every method that CARLA's client calls and this world answers, by topic.

rpc.start(CALLS.bound_to(world))
"""

from __future__ import annotations

from carla_bridge.world.server.call_table import CallTable
from carla_bridge.world.server.calls import (
    actors,
    batches,
    episodes,
    lights,
    maps,
    sensors,
    vehicles,
)

CALLS = CallTable()
for topic in (episodes, maps, actors, vehicles, sensors, lights, batches):
    CALLS.include(topic.calls)
