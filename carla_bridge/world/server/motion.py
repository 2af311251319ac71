"""One step of everything that moves, and what ran into what.

    hits = move(population, autopilots, 0.05)    # {(7, 9): (1200.0, 0.0, 0.0)}: by pair, N s

A long step is cut into parts of at most 50 ms, so that no car is faster than its own length a
part and goes through a wall unseen (45 m/s for the shortest).
"""

from __future__ import annotations

import math

from carla_bridge.world.server.actors import Actor
from carla_bridge.world.server.autopilots import Autopilots
from carla_bridge.world.server.cars import Car
from carla_bridge.world.server.collisions import Contact, Footprint, against, between, bounce
from carla_bridge.world.server.population import Population
from carla_bridge.world.server.poses import Vector
from carla_bridge.world.server.walkers import MASS_KG as WALKER_KG
from carla_bridge.world.server.walkers import Walker

LONGEST_PART_S = 0.05

Hits = dict[tuple[int, int], Vector]
"""The impulse on the first of each pair that touched; a negative second is a static obstacle."""


def move(population: Population, autopilots: Autopilots, delta_s: float) -> Hits:
    """Move all actors on by ``delta_s`` seconds and keep them out of each other."""
    hits: Hits = {}
    parts = max(1, math.ceil(delta_s / LONGEST_PART_S - 1e-9))
    for _ in range(parts):
        autopilots.step(delta_s / parts, _in_their_way(population))
        for actor in population:
            if isinstance(actor, Car | Walker):
                actor.step(delta_s / parts)
        boxes = population.boxes()
        for contact in (*between(boxes), *against(boxes, population.obstacles)):
            impulse = _part(population, contact)
            before = hits.get((contact.first, contact.second), (0.0, 0.0, 0.0))
            hits[contact.first, contact.second] = (
                before[0] + impulse[0],
                before[1] + impulse[1],
                0.0,
            )
    return hits


def _in_their_way(population: Population) -> list[Footprint]:
    """Return what autopilots keep clear of, besides each other."""
    driven = [car for car in population.of(Car) if car.follower is None]
    return [car.footprint() for car in driven] + [x.footprint() for x in population.of(Walker)]


def _part(population: Population, contact: Contact) -> Vector:
    """Move two bodies out of each other; return the impulse on the first."""
    first, second = population.get(contact.first), population.get(contact.second)
    assert first is not None
    ease, other_ease = _ease(first), 0.0 if second is None else _ease(second)
    if ease + other_ease == 0.0:  # neither can be moved
        return 0.0, 0.0, 0.0
    still = (0.0, 0.0, 0.0)
    theirs = still if second is None else second.velocity
    impulse = bounce(
        first.velocity[:2], theirs[:2], contact.normal, mass_kg=1.0 / (ease + other_ease)
    )
    share = contact.depth / (ease + other_ease)
    _shift(first, contact.normal, share * ease, impulse, ease)
    if second is not None:
        back = (-impulse[0], -impulse[1])
        _shift(second, contact.normal, -share * other_ease, back, other_ease)
    return impulse[0], impulse[1], 0.0


def _ease(actor: Actor) -> float:
    """Return how easily a hit moves an actor: one over its mass, 0 for what is on rails."""
    if isinstance(actor, Car):
        return 1.0 / actor.mass_kg if actor.free else 0.0
    return 1.0 / WALKER_KG


def _shift(
    actor: Actor,
    normal: tuple[float, float],
    by_m: float,
    impulse: tuple[float, float],
    ease: float,
) -> None:
    """Move an actor along a contact's normal, and change its velocity by an impulse."""
    place = actor.place._replace(
        x=actor.place.x + by_m * normal[0], y=actor.place.y + by_m * normal[1]
    )
    if isinstance(actor, Car):
        if not actor.free:
            actor.stop_at_hit()
            return
        vx, vy, vz = actor.velocity
        actor.put(place)
        actor.push((vx + impulse[0] * ease, vy + impulse[1] * ease, vz))
    else:
        actor.put(place)
