"""What stands beside the road and moves on it, all of it background to a lane segmentation.

    scenery = furnish(Land(roads, dice), dice)
    scenery.mesh          # every vertex has its semantic tag and its object's id

Seven terms of `DomainRandomization` scale it: buildings, trees, barriers, furniture, traffic,
parked and people. Each draws from its own stream, whatever the strengths of the others: where
buildings would be is planned even if none are built, and trees keep clear of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carla_bridge.world.land.ground import Land
from carla_bridge.world.meshes import Array, Mesh, merge
from carla_bridge.world.randomization import Dice
from carla_bridge.world.things.buildings.buildings import build, plan
from carla_bridge.world.things.copies import Ids
from carla_bridge.world.things.plants.vegetation import plants
from carla_bridge.world.things.roadside import Site
from carla_bridge.world.things.street.barriers import barriers
from carla_bridge.world.things.street.furniture import furniture
from carla_bridge.world.things.street.people import people
from carla_bridge.world.things.vehicles.vehicles import parked, traffic


@dataclass(frozen=True)
class Scenery:
    """All objects as one mesh, and what light and cameras need to know of them.

    ``vehicles`` (n, 2): where vehicles are on driving lanes; ``lamps`` (n, 3): street lamps'
    heads; ``headlights`` (n, 6): place and unit direction of vehicles' lights. Metres.
    """

    mesh: Mesh
    vehicles: Array
    lamps: Array
    headlights: Array


def furnish(land: Land, dice: Dice) -> Scenery:
    """Return all objects along all roads of the land."""
    site = Site(land, dice.stream("buildings"))
    planned = plan(site, dice.stream("buildings"))
    site.plots = planned.plots

    def term(name: str) -> tuple[Site, np.random.Generator, float, Ids]:
        return site, dice.stream(name), dice.strength(name), Ids(name)

    things, lamps = furniture(*term("furniture"))
    moving = traffic(*term("traffic"))
    meshes = [
        build(planned, *term("buildings")),
        plants(*term("trees")),
        barriers(*term("barriers")),
        things,
        moving.mesh,
        parked(*term("parked")),
        people(*term("people")),
    ]
    return Scenery(merge(meshes), moving.place, lamps, moving.headlights)
