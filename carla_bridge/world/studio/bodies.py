"""Which body an actor has: CARLA's blueprints, and the shapes that the scene knows.

    mesh = dressed(Mover(7, "vehicle.audi.tt", 0.0, 0.0, 0.0))

A vehicle that is not listed looks like a saloon, and whatever else walks like a person or stands
there as a box: an actor is never invisible.
"""

from __future__ import annotations

import zlib

import numpy as np

from carla_bridge.world.meshes import Array, Mesh
from carla_bridge.world.studio.parts import Mover
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.copies import place_copies
from carla_bridge.world.things.figures import dress, figure
from carla_bridge.world.things.shapes import block
from carla_bridge.world.things.vehicles.bodies import CARS, Body
from carla_bridge.world.things.vehicles.cycles import bicycle, motorcycle
from carla_bridge.world.things.vehicles.lorries import BUSES, LORRIES, Large
from carla_bridge.world.things.vehicles.vehicles import CARGO, LIKELY, PAINTS

BODIES = {
    "audi.a2": "hatch",
    "audi.etron": "suv",
    "audi.tt": "coupe",
    "bmw.grandtourer": "minivan",
    "carlamotors.carlacola": "box",
    "carlamotors.european_hgv": "articulated",
    "carlamotors.firetruck": "tanker",
    "chevrolet.impala": "limousine",
    "citroen.c3": "golf",
    "dodge.charger_2020": "limousine",
    "dodge.charger_police": "limousine",
    "dodge.charger_police_2020": "limousine",
    "ford.ambulance": "parcels",
    "ford.crown": "limousine",
    "ford.mustang": "coupe",
    "jeep.wrangler_rubicon": "jeep",
    "lincoln.mkz_2017": "limousine",
    "lincoln.mkz_2020": "limousine",
    "mercedes.coupe": "coupe",
    "mercedes.coupe_2020": "saloon",
    "mercedes.sprinter": "van",
    "micro.microlino": "city",
    "mini.cooper_s": "city",
    "mini.cooper_s_2021": "city",
    "mitsubishi.fusorosa": "short",
    "nissan.micra": "city",
    "nissan.patrol": "jeep",
    "nissan.patrol_2021": "suv",
    "seat.leon": "golf",
    "tesla.cybertruck": "pickup",
    "tesla.model3": "saloon",
    "toyota.prius": "estate",
    "volkswagen.t2": "van",
    "volkswagen.t2_2021": "van",
}
"""Blueprint without "vehicle.": its body in `CARS`, `LORRIES` or `BUSES`."""
MOTORCYCLES = {"harley-davidson.low_rider", "kawasaki.ninja", "vespa.zx125", "yamaha.yzf"}
BICYCLES = {"bh.crossbike", "diamondback.century", "gazelle.omafiets"}
USUAL = "saloon"
SHAPES: dict[str, Body | Large] = {**CARS, **LORRIES, **BUSES}


def dressed(mover: Mover) -> Mesh:
    """Return the mesh of an actor about its own origin, painted, with its number on it."""
    mesh, own, colours = _prototype(mover)
    return place_copies(
        mesh,
        np.zeros((1, 3)),
        np.pi / 2.0,  # Panda3D's angles are about y as the way ahead
        (size(mover) / own)[None],
        colours[None],
        np.array([mover.id & 0xFFFF]),
    )


def size(mover: Mover) -> Array:
    """Return an actor's length, width (without its mirrors) and height (3,), metres."""
    return _prototype(mover)[1] if mover.size_m is None else np.array(mover.size_m)


def _prototype(mover: Mover) -> tuple[Mesh, Array, Array]:
    """Return the shape of an actor, its size (3,), and the colours (k, 3) of its slots."""
    rng = np.random.default_rng([zlib.crc32(mover.kind.encode()), mover.id & 0xFFFF])
    group, _, name = mover.kind.partition(".")
    paint = PAINTS[rng.choice(len(PAINTS), p=LIKELY)] if mover.colour is None else mover.colour
    cloth = dress(rng.random((1, 8)))[0]
    cargo = CARGO[rng.integers(len(CARGO))]
    if group == "walker":
        return _sized(figure(0.3), cloth)
    if group != "vehicle":
        box = block((-0.3, -0.3, 0.0), (0.3, 0.3, 0.8), tag=Tag.DYNAMIC, slot=1)
        return _sized(box, np.array([paint], float))
    if name in MOTORCYCLES:
        return _sized(motorcycle(), np.vstack([cloth, paint]))
    if name in BICYCLES:
        return _sized(bicycle(), np.vstack([cloth, paint]))
    body = SHAPES[BODIES.get(name, USUAL)]
    mesh, (_, _, height), colours = _sized(body.mesh, np.array([paint, cargo], float))
    return mesh, np.array([body.length, body.width, height]), colours


def _sized(mesh: Mesh, colours: Array) -> tuple[Mesh, Array, Array]:
    place = mesh.vertices["vertex"].astype(float)
    return mesh, np.append(np.ptp(place[:, :2], axis=0), place[:, 2].max()), colours
