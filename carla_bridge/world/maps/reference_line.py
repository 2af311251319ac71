"""A road's reference line: where it runs in the plan, and the cubics that hang on it.

    line = ReferenceLine(road.find("planView"))
    x, y, heading = line.at(np.array([0.0, 12.5]))     # metres, metres, radians
    height = Cubics.of(road, "elevationProfile/elevation", "s").at(s)

Lines, arcs, spirals (clothoids), cubic polynomials and parametric ones, as in ASAM
OpenDRIVE 1.4 (https://www.asam.net/standards/detail/opendrive/), sections 5.3.4 and 5.3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.check import Element, number
from edge_seg.errors import EdgeSegError

Array = npt.NDArray[np.float64]

LONGEST = 100_000.0
"""Metres of one road."""
SHARPEST = 10.0
"""Curvature in 1/m: a circle of 10 cm."""


@dataclass(frozen=True)
class Cubics:
    """Piecewise cubics ``a + b d + c d^2 + d d^3`` of the distance from each piece's start."""

    start: Array
    coefficients: Array

    @staticmethod
    def of(parent: Element, path: str, start: str = "sOffset") -> Cubics:
        """Read the records at ``path``; their starts are in the attribute ``start``."""
        rows = [
            [number(e, start, 0.0), *(number(e, name, 0.0) for name in "abcd")]
            for e in parent.findall(path)
        ]
        return Cubics.make(rows)

    @staticmethod
    def make(rows: Sequence[Sequence[float]]) -> Cubics:
        """Return cubics of rows (start, a, b, c, d), in any order; none are zero everywhere."""
        table = np.array(rows or [[0.0] * 5], dtype=float)
        table = table[np.argsort(table[:, 0], kind="stable")]
        return Cubics(table[:, 0], table[:, 1:])

    def at(self, s: Array, inside: Array | None = None) -> Array:
        """Return values (n,) at distances (n,); ``inside`` (n,) chooses the pieces instead of s."""
        where = s if inside is None else inside
        piece = np.clip(np.searchsorted(self.start, where + 1e-9, side="right") - 1, 0, None)
        d = s - self.start[piece]
        a, b, c, e = self.coefficients[piece].T
        return np.asarray(a + d * (b + d * (c + d * e)))


class ReferenceLine:
    """The plan view of one road."""

    def __init__(self, plan: Element | None) -> None:
        found = [] if plan is None else plan.findall("geometry")
        pieces = [_Piece.of(element) for element in found]
        pieces = sorted((p for p in pieces if p.length > 0.0), key=lambda p: p.s)
        self._pieces = pieces
        self._start = np.array([p.s for p in pieces])
        self.length = pieces[-1].s + pieces[-1].length if pieces else 0.0
        """Metres; 0 where there is no geometry."""
        if self.length > LONGEST:
            raise EdgeSegError(f"a road of {self.length:.0f} m; {LONGEST:.0f} m are the most")

    def at(self, s: Array, inside: Array | None = None) -> tuple[Array, Array, Array]:
        """Return x, y (metres) and heading (radians, from x towards y) at rising s, each (n,).

        ``inside`` (n,) chooses the pieces instead of ``s``.
        """
        place = np.empty((3, len(s)))
        where = s if inside is None else inside
        piece = np.clip(np.searchsorted(self._start, where + 1e-9, side="right") - 1, 0, None)
        cuts = np.flatnonzero(np.diff(piece)) + 1  # s rises, and the pieces' numbers with it
        for rows in np.split(np.arange(len(s)), cuts):
            place[:, rows] = self._pieces[piece[rows[0]]].at(s[rows])
        return place[0], place[1], place[2]


@dataclass(frozen=True)
class _Piece:
    """One geometry; ``local`` gives (u, v, turn) along its own start direction."""

    s: float
    x: float
    y: float
    heading: float
    length: float
    local: Callable[[Array], tuple[Array, Array, Array]]

    @staticmethod
    def of(element: Element) -> _Piece:
        shape = next(iter(element), None)
        length = number(element, "length", 0.0)
        return _Piece(
            number(element, "s", 0.0),
            number(element, "x", 0.0),
            number(element, "y", 0.0),
            number(element, "hdg", 0.0),
            length,
            _line if shape is None else _shape(shape, length),
        )

    def at(self, s: Array) -> Array:
        u, v, turn = self.local(s - self.s)
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        return np.stack(
            [self.x + cos * u - sin * v, self.y + sin * u + cos * v, self.heading + turn]
        )


def _shape(element: Element, length: float) -> Callable[[Array], tuple[Array, Array, Array]]:
    if element.tag == "line":
        return _line
    if element.tag == "arc":
        curvature = _curvature(element, "curvature")
        return lambda d: spiral(d, curvature, 0.0)
    if element.tag == "spiral":
        first, last = _curvature(element, "curvStart"), _curvature(element, "curvEnd")
        return lambda d: spiral(d, first, (last - first) / max(length, 1e-9))
    if element.tag == "poly3":
        v = [number(element, name, 0.0) for name in "abcd"]
        return lambda d: _curve(_along(v, d, length), [0.0, 1.0, 0.0, 0.0], v)
    if element.tag == "paramPoly3":
        u = [number(element, name + "U", 0.0) for name in "abcd"]
        v = [number(element, name + "V", 0.0) for name in "abcd"]
        by_length = element.get("pRange") == "arcLength"
        scale = 1.0 if by_length else 1.0 / max(length, 1e-9)
        return lambda d: _curve(d * scale, u, v)
    raise EdgeSegError(f"geometry <{element.tag[:40]}> is not known")


def _curvature(element: Element, attribute: str) -> float:
    value = number(element, attribute, 0.0)
    if abs(value) > SHARPEST:
        raise EdgeSegError(f"{attribute} of <{element.tag}> is {value}: sharper than a lamp post")
    return value


def _line(d: Array) -> tuple[Array, Array, Array]:
    return d, np.zeros_like(d), np.zeros_like(d)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_PANELS = 6


def spiral(d: Array, curvature: float, rate: float) -> tuple[Array, Array, Array]:
    """Return u, v, turn where curvature is ``curvature + rate d``; an arc where rate is 0.

    The integrals of cos and sin of a quadratic (Fresnel's) by Gauss-Legendre quadrature.
    """
    turn = d * (curvature + rate * d / 2.0)
    if rate == 0.0 and curvature == 0.0:
        return _line(d)
    if rate == 0.0:
        half = turn / 2.0
        chord = d * np.sinc(half / np.pi)  # 2 sin(half) / curvature, exact for any curvature
        return chord * np.cos(half), chord * np.sin(half), turn
    panel = np.arange(_PANELS)[:, None]
    part = ((panel + (_NODES + 1.0) / 2.0) / _PANELS).ravel()
    t = d[:, None] * part
    weights = np.tile(_WEIGHTS, _PANELS) / (2.0 * _PANELS)
    angle = t * (curvature + rate * t / 2.0)
    return d * (np.cos(angle) @ weights), d * (np.sin(angle) @ weights), turn


def _curve(p: Array, u: Sequence[float], v: Sequence[float]) -> tuple[Array, Array, Array]:
    """Return a parametric cubic's points and the turn of its tangent."""

    def value(c: Sequence[float]) -> Array:
        return np.asarray(c[0] + p * (c[1] + p * (c[2] + p * c[3])))

    def slope(c: Sequence[float]) -> Array:
        return np.asarray(c[1] + p * (2.0 * c[2] + p * 3.0 * c[3]))

    return value(u), value(v), np.arctan2(slope(v), slope(u))


def _along(v: Sequence[float], d: Array, length: float) -> Array:
    """Return where on the axis u the arc lengths ``d`` of the polynomial v(u) are reached."""
    axis = np.linspace(0.0, length, 257)
    slope = v[1] + axis * (2.0 * v[2] + axis * 3.0 * v[3])
    speed = np.hypot(1.0, slope)
    reached = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2.0 * np.diff(axis))])
    return np.interp(d, reached, axis)
