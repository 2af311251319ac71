"""What the symbols of one scene share: where they are drawn, what is taken, and the dice.

plan = Plan(paint, under, places, style, rng, level=1.0, city=True)
if plan.chance(0.3) and plan.take(section, 0.0, 5.0): ...
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from carla_bridge.world.paint.canvas import Canvas, Shape
from carla_bridge.world.paint.lines import Style
from carla_bridge.world.paint.symbols.places import Places, Section
from carla_bridge.world.paint.tracks import Array, Index

Choice = TypeVar("Choice")
Weights = Sequence[float] | Array


@dataclass
class Plan:
    """Two canvases, the places, the style, and the symbols' own generator.

    ``level`` multiplies probabilities: how many symbols the scene has. ``taken`` holds the
    stretches of lanes, in metres, that have symbols on them already.
    """

    paint: Canvas
    under: Canvas
    places: Places
    style: Style
    rng: np.random.Generator
    level: float
    city: bool
    taken: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def chance(self, probability: float) -> bool:
        """Draw whether something happens, at ``probability`` times the level."""
        return bool(self.rng.random() < probability * self.level)

    def one(
        self, choices: Sequence[Choice], weights: Sequence[float] | Array | None = None
    ) -> Choice:
        """Draw one of several things."""
        if weights is None:
            return choices[int(self.rng.integers(len(choices)))]
        ends = np.cumsum(weights)
        return choices[int(np.searchsorted(ends, self.rng.random() * ends[-1], side="right"))]

    def between(self, low: float, high: float) -> float:
        """Draw a number from a range."""
        return float(self.rng.uniform(low, high))

    def track(self, lane: int) -> int:
        """Return a lane's track."""
        return self.paint.tracks.first_lane + lane

    def width(self, lane: int, along: float) -> float:
        """Return a lane's width in metres."""
        return 2.0 * self.paint.tracks.spot(self.track(lane), along)[2]

    def draw(
        self,
        shape: Shape,
        lane: int,
        along: float,
        across: float = 0.0,
        yellow: bool = False,
        colour: npt.ArrayLike | None = None,
    ) -> None:
        """Draw a shape on a lane, white without a colour; each has an age of its own."""
        if colour is None:
            colour = self.style.yellow if yellow else self.style.white
        age = self.between(0.4, 1.5)
        self.paint.shape(shape, self.track(lane), along, across, colour, age)

    def shade(self, colours: Sequence[Array]) -> Array:
        """Draw one of several colours (3,), and make it a bit lighter or darker."""
        return self.one(colours) * self.between(0.85, 1.15)

    def ribbon(self, lane: int, begin: float, end: float, low: float, high: float,
               colour: Array, age: float = 0.6) -> None:  # fmt: skip
        """Lay a coloured surface on a stretch of a lane.

        ``low`` and ``high`` are its edges in half widths of the lane, -1 left to 1 right.
        """
        track = self.track(lane)
        step = float(self.under.tracks.step[track])
        cuts = np.linspace(begin, end, max(int(np.ceil((end - begin) / step)), 1) + 1)
        half = self.under.tracks.half_width(track, cuts)
        left, right = low * half, high * half
        ends = [np.stack([x, cuts], axis=1) for x in (left, right)]
        corners = np.stack([ends[0][:-1], ends[1][:-1], ends[1][1:], ends[0][1:]], axis=1)
        self.under.quads(
            track,
            corners,
            (right - left)[:-1] / 2.0,
            corners[:, :, 1],
            colour,
            age,
        )

    def take(self, lane: int, begin: float, end: float) -> bool:
        """Reserve a stretch of a lane; False, and nothing reserved, where some of it is taken."""
        if begin < 0.3 or end > self.places.length[lane] - 0.3:
            return False
        if any(begin < high and low < end for low, high in self.taken[lane]):
            return False
        self.taken[lane].append((begin, end))
        return True

    def take_rows(self, section: Section, rows: Index, begin: float, end: float) -> bool:
        """Reserve a stretch of several lanes, ``begin`` to ``end`` metres from the section.

        The section's own lane must have room; of the others whatever lies on them is reserved.
        """
        stretches = []
        for row in rows:
            lane, along = int(section.lane[row]), float(section.along[row])
            low, high = (begin, end) if section.same[row] else (-end, -begin)
            stretches.append((lane, along + low, along + high))
            if any(along + low < t and s < along + high for s, t in self.taken[lane]):
                return False
        own = stretches[int(np.flatnonzero(rows == section.own)[0])]
        if own[1] < 0.3 or own[2] > self.places.length[own[0]] - 0.3:
            return False
        for lane, low, high in stretches:
            self.taken[lane].append((low, high))
        return True
