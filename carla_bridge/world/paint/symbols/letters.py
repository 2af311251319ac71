"""Block letters and digits for the road: strokes on a grid, drawn out lengthwise.

    word = text("SLOW", height=2.4)

Letters are tall because a driver sees them from a low angle: 1.6 m in British towns and
2.8 m beyond 40 mph (Traffic Signs Manual, chapter 5), 6 ft and more in the USA (MUTCD 2009,
3B.20). Lines of a text are read from the nearest to the furthest, as MUTCD asks.
"""

from __future__ import annotations

import functools

from carla_bridge.world.paint.canvas import Shape, joined, stroke

GLYPHS = {
    "A": ("00 26 40", "13 33"),
    "B": ("00 06 36 45 44 33 03", "33 42 41 30 00"),
    "C": ("45 36 16 05 01 10 30 41",),
    "D": ("00 06 26 45 41 20 00",),
    "E": ("46 06 00 40", "03 33"),
    "F": ("46 06 00", "03 33"),
    "G": ("45 36 16 05 01 10 30 41 43 23",),
    "H": ("00 06", "40 46", "03 43"),
    "I": ("20 26",),
    "K": ("00 06", "46 03 40"),
    "L": ("06 00 40",),
    "M": ("00 06 23 46 40",),
    "N": ("00 06 40 46",),
    "O": ("10 30 41 45 36 16 05 01 10",),
    "P": ("00 06 36 45 44 33 03",),
    "R": ("00 06 36 45 44 33 03", "23 40"),
    "S": ("45 36 16 05 04 13 33 42 41 30 10 01",),
    "T": ("06 46", "26 20"),
    "U": ("06 01 10 30 41 46",),
    "V": ("06 20 46",),
    "W": ("06 10 23 30 46",),
    "X": ("00 46", "06 40"),
    "Y": ("06 23 46", "23 20"),
    "Z": ("06 46 00 40",),
    "0": ("10 30 41 45 36 16 05 01 10",),
    "1": ("14 26 20",),
    "2": ("05 16 36 45 44 00 40",),
    "3": ("05 16 36 45 44 33 42 41 30 10 01", "13 33"),
    "4": ("30 36 02 42",),
    "5": ("46 06 03 33 42 41 30 10 01",),
    "6": ("45 36 16 05 01 10 30 41 42 33 03",),
    "7": ("06 46 10",),
    "8": ("13 04 05 16 36 45 44 33 42 41 30 10 01 02 13 33",),
    "9": ("01 10 30 41 45 36 16 05 04 13 43",),
}
"""Strokes through points of a grid: column 0..4 from the left, row 0..6 from the near edge."""


@functools.cache
def text(words: str, height: float = 1.6, width: float = 0.5, half: float = 0.06) -> Shape:
    """Return a text; ``width`` metres a letter, ``half`` half a stroke's width.

    Words are put one ahead of the other, the first one nearest.
    """
    lines = []
    for i, word in enumerate(words.split()):
        pitch = width * 1.35
        first = -(len(word) - 1) * pitch / 2.0 - width / 2.0
        letters = [
            _glyph(letter, height, width, half).moved(first + k * pitch, i * height * 1.5)
            for k, letter in enumerate(word)
        ]
        lines.append(joined(*letters))
    return joined(*lines)


@functools.cache
def _glyph(letter: str, height: float, width: float, half: float) -> Shape:
    """Return one letter whose near left corner is the origin."""
    x, y = (width - 2 * half) / 4.0, (height - 2 * half) / 6.0
    paths = [
        [[half + int(point[0]) * x, half + int(point[1]) * y] for point in path.split()]
        for path in GLYPHS[letter]
    ]
    return joined(*(stroke(path, half) for path in paths))
