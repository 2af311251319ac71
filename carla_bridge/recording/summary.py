"""What was recorded, counted: by map, light, weather, bend and cars around.

summary = summarize(entries)
summary["bend"]                # {"straight": 130, "bend": 128, ...}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from carla_bridge.recording.journal import Entry
from carla_bridge.recording.places import BENDS

LIGHTS = ("day", "low-sun", "night")


def summarize(entries: Sequence[Entry]) -> dict[str, dict[str, int]]:
    """Return how many frames are of each kind; bends and lights are named where none is, too.

    "left_out" counts slots without a frame, "skipped" the tries that were not kept, by reason.
    """
    kept = [entry for entry in entries if entry.kept]
    bends = Counter(entry.bend for entry in kept)
    lights = Counter(entry.light for entry in kept)
    return {
        "bend": {bend: bends[bend] for bend in BENDS},
        "light": {light: lights[light] for light in LIGHTS},
        "map": _sorted(entry.map for entry in kept),
        "weather": _sorted(entry.weather for entry in kept),
        "cars_around": {
            "none": sum(entry.cars_around == 0 for entry in kept),
            "some": sum(entry.cars_around > 0 for entry in kept),
        },
        "skipped": _sorted(why for entry in entries for why in entry.skipped),
        "frames": {"kept": len(kept), "left_out": len(entries) - len(kept)},
    }


def _sorted(names: object) -> dict[str, int]:
    counts = Counter(names)  # type: ignore[call-overload]
    return {name: counts[name] for name in sorted(counts)}
