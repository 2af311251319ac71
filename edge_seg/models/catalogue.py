"""What ``edge-seg models`` lists.

for entry in catalogue():
    entry.name, entry.parameters, entry.gmac
entry("lane-unet").trained_on
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from edge_seg.cache import Cache
from edge_seg.classes import LANE
from edge_seg.files import sha256_file
from edge_seg.models import registry
from edge_seg.models.architectures import architecture, names


class Entry(msgspec.Struct, frozen=True):
    """One model; ``weights_bytes`` is 0 where no weights of it ship, ``trained_on`` then empty.

    Its size is that of the weights that ship, else of the network's own defaults and our classes.
    """

    name: str
    parameters: int
    gmac: float
    input_height: int
    input_width: int
    classes: tuple[str, ...]
    weights_bytes: int
    trained_on: str


def catalogue() -> list[Entry]:
    """Return an entry for each model of `names`."""
    return [entry(name) for name in names()]


def entry(name: str) -> Entry:
    """Return what is known of a model, or build and count it: that takes torch and seconds."""
    path = registry.weights_of(name)
    shipped = path.exists()
    cache, key = Cache(), ("catalogue", name, sha256_file(path) if shipped else _sources())
    known = cache.get(*key)
    if known is not None:
        return msgspec.json.decode(known, type=Entry)
    made = _of_weights(name, path.stat().st_size) if shipped else _of_defaults(name)
    cache.put(msgspec.json.encode(made), *key)
    return made


def _sources() -> str:
    """Return a digest of the networks' own code: a network that changes is counted again."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _of_weights(name: str, weights_bytes: int) -> Entry:
    from edge_seg.models.count import count

    model = registry.load(name)
    size = count(model)
    return Entry(
        name=name,
        parameters=size.parameters,
        gmac=round(size.gmac or 0.0, 3),
        input_height=model.input.height,
        input_width=model.input.width,
        classes=model.classes.names,
        weights_bytes=weights_bytes,
        trained_on=model.source,
    )


def _of_defaults(name: str) -> Entry:
    """Count without weights: large networks take seconds to draw and to run."""
    import torch

    from edge_seg.models.count import count_shadow

    known = architecture(name)
    config = known.config(classes=len(LANE))
    with torch.device("meta"):
        network = known.build(config).eval()
    size = count_shadow(network, config.height, config.width)
    return Entry(
        name=name,
        parameters=size.parameters,
        gmac=round(size.gmac or 0.0, 3),
        input_height=config.height,
        input_width=config.width,
        classes=LANE.names,
        weights_bytes=0,
        trained_on="",
    )
