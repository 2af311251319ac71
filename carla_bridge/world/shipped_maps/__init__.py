"""Maps that come with the project, written in code: the same text every time.

    names()               # ("Straight", "SCurve", "Ring", "Town")
    text("Ring")          # OpenDRIVE, for carla.Map or for the built-in world

A name may have folders before it, as CARLA's own maps do ("Carla/Maps/Ring").
"""

from __future__ import annotations

from functools import cache

from carla_bridge.world.shipped_maps import ring, s_curve, straight, town
from edge_seg.errors import EdgeSegError, closest

_MAPS = {"Straight": straight.text, "SCurve": s_curve.text, "Ring": ring.text, "Town": town.text}


def names() -> tuple[str, ...]:
    """Return the maps' names, simplest first."""
    return tuple(_MAPS)


def text(name: str) -> str:
    """Return a map's OpenDRIVE text; `EdgeSegError` names the closest for one that is not here."""
    return _text(name.rpartition("/")[2])


@cache
def _text(name: str) -> str:
    if name not in _MAPS:
        raise EdgeSegError(f"there is no map '{name[:60]}': {closest(name, _MAPS)}")
    return _MAPS[name]()
