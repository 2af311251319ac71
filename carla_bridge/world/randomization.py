"""What of a scene is random, and how strongly: one number a term.

    terms = DomainRandomization(night=0.0, rain=2.0)   # never night, rain twice as often
    dice = Dice(terms, seed, number)
    if dice.happens("rain", 0.1): ...
    tilt = 1.5 * dice.normal("pose")

A term that happens or not has its probability multiplied by its strength; one that varies
has its spread about a neutral value multiplied. Strength 0 switches a term off, 1 is the
default, more is more. Each term draws from a stream of its own, so that changing one term
changes nothing else in the scene: an ablation compares the same frames.

Domain randomization: Tobin et al., IROS 2017 (arXiv:1703.06907).
"""

from __future__ import annotations

import math
import zlib

import msgspec
import numpy as np

from edge_seg.errors import EdgeSegError, closest


class DomainRandomization(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Strengths, 0 and above. Where no unit is given, a term happens or varies as its name says."""

    # The road's surface.
    asphalt: float = 1.0
    """Kinds of asphalt and concrete: colour, grain, tyre tracks."""
    cracks: float = 1.0
    patches: float = 1.0
    tar: float = 1.0
    """Sealed cracks and seams, along and across."""
    puddles: float = 1.0
    # Paint on it.
    marking_styles: float = 1.0
    """Dash lengths, widths and colours that the map leaves open."""
    marking_wear: float = 1.0
    marking_cover: float = 1.0
    """Leaves, sand and dirt over paint."""
    symbols: float = 1.0
    """Arrows, crossings, stop lines, hatchings, letters, bus lanes."""
    # What stands and moves.
    roads: float = 1.0
    """Shapes of random roads; 0 gives one straight street."""
    hills: float = 1.0
    buildings: float = 1.0
    trees: float = 1.0
    barriers: float = 1.0
    """Guard rails, walls, hedges, fences."""
    furniture: float = 1.0
    """Poles, lamps, signs, traffic lights, bollards."""
    traffic: float = 1.0
    parked: float = 1.0
    people: float = 1.0
    # Light and weather.
    sun: float = 1.0
    """Where the sun stands and how strong it is."""
    sky: float = 1.0
    """Clouds, overcast, the colours of the sky and of the horizon."""
    shadows: float = 1.0
    glare: float = 1.0
    night: float = 1.0
    rain: float = 1.0
    """Rain falls; the road is wet and mirrors."""
    fog: float = 1.0
    # The camera.
    pose: float = 1.0
    field: float = 1.0
    distortion: float = 1.0
    exposure: float = 1.0
    white_balance: float = 1.0
    motion_blur: float = 1.0
    noise: float = 1.0
    jpeg: float = 1.0
    dirt: float = 1.0
    """Spots and drops on the glass, a veil of stray light."""
    bonnet: float = 1.0
    """The car's own bonnet at the bottom of the frame."""
    mirrored: float = 1.0
    """Frames turned left to right: half the world drives on the left."""

    def check(self) -> None:
        """Refuse strengths that mean nothing, in one line."""
        for name in TERMS:
            value = getattr(self, name)
            if not (math.isfinite(value) and 0.0 <= value <= MOST):
                raise EdgeSegError(f"the strength of '{name}' is in 0..{MOST:g}, not {value}")

    def changed(self) -> list[str]:
        """Return the terms that are not at their default, as `parse_terms` reads them."""
        values = ((name, getattr(self, name)) for name in TERMS)
        return [f"{name}={value:g}" for name, value in values if value != 1.0]


MOST = 100.0
"""The largest strength: enough to make anything with a probability of 1 % certain."""
TERMS = DomainRandomization.__struct_fields__


def parse_terms(texts: list[str], base: DomainRandomization | None = None) -> DomainRandomization:
    """Return the strengths of ``night=0``, ``rain=2``; a name alone (``night``) means always.

    Raises `EdgeSegError`, naming the closest term, where one does not exist.
    """
    changes: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name not in TERMS:
            raise EdgeSegError(f"no term '{name}' in the scene: {closest(name, TERMS)}")
        try:
            changes[name] = float(value) if equals else MOST
        except ValueError as error:
            raise EdgeSegError(f"'{text}' is no strength: write NAME=NUMBER, night=0.5") from error
    terms = msgspec.structs.replace(base or DomainRandomization(), **changes)
    terms.check()
    return terms


class Dice:
    """Random draws for one scene or one frame, a stream a term; ``key`` are its seeds."""

    def __init__(self, terms: DomainRandomization, *key: int) -> None:
        self.terms = terms
        self.key = key
        self._streams: dict[str, np.random.Generator] = {}

    def stream(self, term: str) -> np.random.Generator:
        """Return the term's own generator; it goes on where it was left."""
        if term not in self._streams:
            if term not in TERMS:
                raise KeyError(term)
            seeds = (*self.key, zlib.crc32(term.encode()))
            self._streams[term] = np.random.default_rng(seeds)
        return self._streams[term]

    def strength(self, term: str) -> float:
        """Return the term's strength, 0 and above."""
        return float(getattr(self.terms, term))

    def happens(self, term: str, probability: float) -> bool:
        """Draw whether something of the term happens, at ``probability`` times its strength."""
        return bool(self.stream(term).random() < probability * self.strength(term))

    def normal(self, term: str, sigma: float = 1.0) -> float:
        """Draw from a normal distribution about 0 of ``sigma`` times the term's strength."""
        return float(self.stream(term).normal()) * sigma * self.strength(term)

    def uniform(self, term: str, low: float, high: float, neutral: float | None = None) -> float:
        """Draw from ``low``..``high``, drawn in towards ``neutral`` by a strength below 1.

        ``neutral`` is the middle without one; a strength above 1 counts as 1.
        """
        drawn = float(self.stream(term).uniform(low, high))
        middle = (low + high) / 2.0 if neutral is None else neutral
        return middle + (drawn - middle) * min(self.strength(term), 1.0)
