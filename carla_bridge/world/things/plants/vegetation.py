"""Where plants grow: trees along pavements and in gardens, woods, bushes, grass on the verge.

    mesh = plants(site, dice.stream("trees"), strength=1.0, ids=Ids("trees"))

A scene has one season; a stretch of roadside has its layers, from the verge to the woods behind.
Candidates are drawn whatever the strength is; it decides how many of them grow.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from carla_bridge.world.meshes import Array, Mesh
from carla_bridge.world.things.copies import Batch, Ids
from carla_bridge.world.things.plants.layers import BACKDROP, LAYERS, PAVEMENT, Layer
from carla_bridge.world.things.plants.shapes import VARIANTS, shapes
from carla_bridge.world.things.roadside import Bools, Rows, Side, Site, children

SEASONS = {  # leaves, sRGB
    "summer": [[62, 92, 36], [46, 76, 32], [84, 104, 44], [56, 84, 48], [40, 64, 34]],
    "spring": [[104, 134, 52], [86, 120, 46], [122, 140, 70], [70, 100, 40]],
    "autumn": [[150, 106, 40], [166, 84, 36], [122, 104, 48], [96, 92, 40], [140, 62, 36]],
    "dry": [[96, 98, 56], [110, 104, 66], [80, 84, 50], [124, 116, 74]],
    "winter": [[50, 66, 40], [60, 70, 46], [42, 56, 38]],
}
LIKELY = {"summer": 0.42, "spring": 0.16, "autumn": 0.16, "dry": 0.12, "winter": 0.14}
GRASSES = np.array([[92, 112, 50], [132, 124, 70], [168, 150, 96], [74, 98, 44], [150, 140, 86]])
BARKS = np.array([[84, 70, 56], [66, 58, 50], [110, 100, 88], [58, 48, 40]])
LEAFY = {"round", "wide", "tall", "street"}

LOW = {"round": 0.24, "wide": 0.22, "tall": 0.3, "street": 0.44, "pine": 0.5, "palm": 0.7,
       "bare": 0.3}  # fmt: skip
"""Where a crown begins, as a share of the tree's height; 0 for all others."""
REACH = {"round": 0.42, "wide": 0.5, "tall": 0.3, "street": 0.3, "poplar": 0.13, "conifer": 0.22,
         "pine": 0.32, "palm": 0.32, "bare": 0.33, "bush": 0.8, "clump": 0.6, "tuft": 0.35,
         "far": 0.3, "far conifer": 0.2}  # fmt: skip
"""How far a plant reaches out, as a share of its height."""
HEADROOM = 4.4
"""Metres under crowns over a lane: lorries clear it."""
BACKGROUND = 15.0
"""Metres from the edge beyond which trees are drawn simply."""
SIMPLE = {"round": "far", "wide": "far", "tall": "far", "pine": "far", "conifer": "far conifer"}


def plants(site: Site, rng: np.random.Generator, strength: float, ids: Ids) -> Mesh:
    """Return all plants along all roads."""
    season = str(rng.choice(list(LIKELY), p=list(LIKELY.values())))
    leaves = np.array(SEASONS[season], float)
    bark = BARKS[int(rng.integers(len(BARKS)))]
    palms = bool(rng.random() < 0.12)
    batch = Batch(site.land.height)
    for side, child in children(site.sides, rng):
        mix, row = _species(child, season, palms)
        layers = list(LAYERS[side.setting])
        if side.place == "street":
            layers.append(BACKDROP)
            lined = child.random() < 0.45
            if lined and side.pavement > 2.4 and not side.parked:
                kerb = 0.9 - side.pavement
                every = PAVEMENT.every * float(child.uniform(0.8, 2.0))
                layers.append(replace(PAVEMENT, every=every, away=(kerb, kerb + 0.1)))
        for layer in layers:
            kinds = {"mix": mix, "row": [row]}.get(layer.kind, [layer.kind])
            if layer.kind == "far" and "conifer" in mix:
                kinds = ["far", "far conifer"]
            _grow(site, side, layer, kinds, leaves, bark, strength, child, ids, batch)
    return batch.mesh()


def _species(rng: np.random.Generator, season: str, palms: bool) -> tuple[list[str], str]:
    """Return the kinds that a stretch's trees are of, and the kind that stands in rows."""
    broad = ["round", "wide", "tall", "round"]
    choice = rng.random()
    mix = broad if choice < 0.5 else [*broad, "conifer", "pine"] if choice < 0.75 else [
        "conifer", "conifer", "pine"] if choice < 0.9 else ["poplar", "pine", "round"]  # fmt: skip
    row = str(rng.choice(["street", "poplar", "conifer"], p=[0.78, 0.14, 0.08]))
    if palms:
        mix, row = ["palm", "pine", "round"], "palm"
    if season == "winter":
        mix = ["bare" if kind in LEAFY else kind for kind in mix]
        row = "bare" if row in LEAFY else row
    return mix, row


@dataclass(frozen=True)
class Plants:
    """Candidates of a layer: ``xy`` (n, 2) metres, all others (n,) or (n, 3)."""

    xy: Array
    kind: Rows
    variant: Rows
    tall: Array
    wide: Array
    turn: Array
    tint: Array

    def where(self, keep: Bools) -> Plants:
        """Return some of them."""
        return Plants(*(getattr(self, field.name)[keep] for field in fields(self)))


def _draw(
    side: Side, layer: Layer, kinds: list[str], leaves: Array, share: float,
    rng: np.random.Generator,
) -> Plants:  # fmt: skip
    """Draw a layer's candidates, the same whatever the ``share`` of them that grows is."""
    count = int(side.length / layer.every)
    jitter = rng.uniform(-0.5, 0.5, count) * (0.15 if layer.row else 1.0)
    s = (np.arange(count) + 0.5 + jitter) * layer.every
    # More of them near the road: what is far away hides behind itself.
    away = layer.away[0] + (layer.away[1] - layer.away[0]) * rng.random(count) ** 1.3
    tall = rng.uniform(layer.tall[0], layer.tall[1], count)
    if layer.row and count:
        tall = tall.mean() * rng.uniform(0.88, 1.12, count)
    kind = rng.integers(len(kinds), size=count)
    variant, turn = rng.integers(VARIANTS, size=count), rng.uniform(0.0, 6.28, count)
    colours = leaves if layer.kind != "tuft" else GRASSES[[int(rng.integers(len(GRASSES)))]]
    tint = colours[rng.integers(len(colours), size=count)] * rng.uniform(0.8, 1.2, (count, 1))
    wide = rng.uniform(0.85, 1.2, count)
    keep = rng.random(count) < share
    names = np.array(kinds)[kind]
    simple = np.array([SIMPLE.get(name, name) for name in kinds])[kind]
    names = np.where(away > BACKGROUND, simple, names)
    xy = side.at(s[keep], away[keep])[0][:, :2]
    return Plants(xy, names[keep], variant[keep], tall[keep], wide[keep], turn[keep], tint[keep])


def _grow(
    site: Site, side: Side, layer: Layer, kinds: list[str], leaves: Array, bark: Array,
    strength: float, rng: np.random.Generator, ids: Ids, batch: Batch,
) -> None:  # fmt: skip
    """Add those of a layer's candidates that grow and have room."""
    some = _draw(side, layer, kinds, leaves, layer.share * strength * side.detail, rng)
    if not len(some.xy):
        return
    on_pavement = layer.away[0] < 0.0
    gap = site.off_paved(some.xy) if on_pavement else site.off_road(some.xy)
    reach = np.array([REACH[name] for name in some.kind]) * some.wide
    low = np.array([LOW.get(name, 0.0) for name in some.kind])
    # Crowns that hang low end before the road does; others hang over it.
    tall = np.where(low * some.tall > HEADROOM, some.tall, np.minimum(some.tall, gap / reach))
    margin = 0.3 if layer.kind == "bush" else 0.35 * float(np.mean(reach * tall))
    keep = (tall > 0.4 * some.tall) & (gap > (0.6 if on_pavement else 0.3))
    keep &= ~site.plots.hold(some.xy, margin)
    some, tall = some.where(keep), tall[keep]
    number = ids.take(len(tall))
    colours = np.stack([some.tint, np.tile(bark * 1.0, (len(tall), 1))], axis=1)
    scale = np.stack([tall * some.wide, tall * some.wide, tall], axis=1)
    for name in dict.fromkeys([*kinds, *(SIMPLE.get(kind, kind) for kind in kinds)]):
        for i, mesh in enumerate(shapes(name)):
            one = (some.kind == name) & (some.variant == i)
            batch.add(mesh, some.xy[one], some.turn[one], scale[one], colours[one], number[one])
