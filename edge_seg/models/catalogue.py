"""What ``edge-seg models`` lists.

for entry in catalogue():
    entry.name, entry.parameters, entry.gmac
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_seg.cache import Cache
from edge_seg.files import sha256_file
from edge_seg.models import registry
from edge_seg.models.architectures import names


class Entry(msgspec.Struct, frozen=True):
    """One model; ``weights_bytes`` is 0 where the installation has no weights for it."""

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
    return [_entry(name) for name in names()]


def _entry(name: str) -> Entry:
    """Return what is known of a model, or load and count it: that takes torch and seconds."""
    path = registry.WEIGHTS / f"{name}.safetensors"
    cache, key = Cache(), ("catalogue", name, sha256_file(path) if path.exists() else "")
    known = cache.get(*key)
    if known is not None:
        return msgspec.json.decode(known, type=Entry)
    made = _counted(name, path)
    cache.put(msgspec.json.encode(made), *key)
    return made


def _counted(name: str, path: Path) -> Entry:
    from edge_seg.models.count import count

    shipped = path.exists()
    model = registry.load(name, weights=None if shipped else registry.RANDOM)
    size = count(model)
    return Entry(
        name=name,
        parameters=size.parameters,
        gmac=round(size.gmac or 0.0, 3),
        input_height=model.input.height,
        input_width=model.input.width,
        classes=model.classes.names,
        weights_bytes=path.stat().st_size if shipped else 0,
        trained_on=model.source,
    )
