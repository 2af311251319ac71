"""Class maps for models: of a checkpoint's labels, of a number of outputs, of what the user says.

generic_classes(2, ("sky", "road")).palette   # ((0, 0, 0), (r, g, b))
"""

from __future__ import annotations

import colorsys
from pathlib import Path

from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError


def of_labels(labels: tuple[str, ...]) -> ClassMap:
    """Return the class map of a checkpoint's labels: ours where there are three nameless ones."""
    nameless = all(label.startswith("LABEL_") for label in labels)
    if nameless and len(labels) == len(LANE):
        return LANE
    return generic_classes(len(labels), labels)


def generic_classes(count: int, labels: tuple[str, ...] | None = None) -> ClassMap:
    """Return a class map of ``count`` classes with well-spaced colours.

    Hues step by the golden angle, which keeps any number of neighbours apart.
    """
    palette = [(0, 0, 0)]
    for index in range(1, count):
        red, green, blue = colorsys.hsv_to_rgb(index * 0.381966 % 1.0, 0.75, 0.95)
        palette.append((round(255 * red), round(255 * green), round(255 * blue)))
    given = labels or tuple(f"class_{index}" for index in range(count))
    unique = given if len(set(given)) == count else tuple(f"{i}_{n}" for i, n in enumerate(given))
    try:
        return ClassMap(unique, tuple(palette[:count]))
    except ValueError as error:
        raise EdgeSegError(f"cannot name the model's outputs: {error}") from error


def fitting(asked: ClassMap | None, own: ClassMap, source: Path | str) -> ClassMap:
    """Return the class map to use, or raise where the one asked for has another size."""
    if asked is None:
        return own
    if len(asked) != len(own):
        raise EdgeSegError(
            f"the class map has {len(asked)} classes ({', '.join(asked.names)}) but {source} "
            f"has {len(own)} outputs: give a class map that fits, or train the model for it"
        )
    return asked
