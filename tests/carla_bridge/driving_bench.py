"""A drawn road and a car on it: what the driver's tests drive on, without any simulator.

    road = DrawnRoad(segments=((100.0, 0.0), (80.0, 1 / 60)), lane_width_m=3.5)
    drive = run(road, view, seconds=15.0, target_mps=11.0)
    drive.cross_track_m, drive.speeds_mps

The road is geometry alone: its mask is projected through the camera with cv2.fillPoly, the car
is a kinematic bicycle (R. Rajamani, Vehicle Dynamics and Control, 2012, 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from carla_bridge.driving.driver import CarGeometry, Driver, Guide
from carla_bridge.driving.view import View

STEP_M = 0.5
DT_S = 0.05
WHEELBASE_M = 2.5
BITS = 4
FINER = 2
STEER_RPS = 0.4


@dataclass(frozen=True)
class Line:
    """A painted line ``offset_m`` to the left of the ego lane's middle; ``dash`` on and off."""

    offset_m: float
    width_m: float = 0.12
    dash: tuple[float, float] | None = None


@dataclass(frozen=True)
class DrawnRoad:
    """``segments`` are (length m, curvature 1/m) of the middle of the ego lane."""

    segments: Sequence[tuple[float, float]]
    lane_width_m: float = 3.5
    lines: Sequence[Line] | None = None
    unpainted_m: Sequence[tuple[float, float]] = ()
    right_edge_m: float | None = None
    left_edge_m: float | None = None

    @property
    def length_m(self) -> float:
        return sum(length for length, _ in self.segments)

    @property
    def painted(self) -> Sequence[Line]:
        half = self.lane_width_m / 2.0
        return (Line(half), Line(-half)) if self.lines is None else self.lines

    @cached_property
    def middle(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lengths (n,), points (n, 2), headings (n,), from 20 m before the start."""
        bends = [(20.0, 0.0), *self.segments, (80.0, 0.0)]
        curvatures = np.concatenate(
            [np.full(round(length / STEP_M), bend) for length, bend in bends]
        )
        headings = np.concatenate([[0.0], np.cumsum(curvatures * STEP_M)])
        between = (headings[1:] + headings[:-1]) / 2.0
        steps = STEP_M * np.stack([np.cos(between), np.sin(between)], axis=1)
        points = np.cumsum(np.concatenate([[[-20.0, 0.0]], steps]), axis=0)
        return np.arange(len(points)) * STEP_M - 20.0, points, headings

    def beside(self, low_m: float, high_m: float, offset_m: float) -> np.ndarray:
        """Points (n, 2) along the road at an offset to its left."""
        lengths, points, headings = self.middle
        at = np.arange(low_m, high_m + 1e-6, STEP_M)
        x, y = (np.interp(at, lengths, points[:, axis]) for axis in (0, 1))
        heading = np.interp(at, lengths, headings)
        return np.stack([x - offset_m * np.sin(heading), y + offset_m * np.cos(heading)], axis=1)

    def locate(self, point: np.ndarray, near_m: float) -> tuple[float, float]:
        """Length and offset to the left of a point, searched around ``near_m``."""
        lengths, points, headings = self.middle
        window = np.flatnonzero(np.abs(lengths - near_m) < 15.0)
        best = window[np.argmin(np.hypot(*(points[window] - point).T))]
        along = np.array([math.cos(headings[best]), math.sin(headings[best])])
        apart = point - points[best]
        return float(lengths[best] + apart @ along), float(
            along[0] * apart[1] - along[1] * apart[0]
        )


@dataclass
class Car:
    """A kinematic bicycle whose wheels turn no faster than real ones; x, y are its centre's."""

    x: float = 0.0
    y: float = 0.0
    heading: float = 0.0
    speed: float = 10.0
    yaw_rate: float = 0.0
    wheels: float = 0.0

    def step(self, throttle: float, steer: float, brake: float, geometry: CarGeometry) -> None:
        turn = -steer * geometry.max_steer_rad - self.wheels
        self.wheels += min(max(turn, -STEER_RPS * DT_S), STEER_RPS * DT_S)
        self.yaw_rate = self.speed * math.tan(self.wheels) / geometry.wheelbase_m
        behind = geometry.behind_m
        rear = np.array([self.x, self.y]) - behind * np.array(
            [math.cos(self.heading), math.sin(self.heading)]
        )
        middle = self.heading + self.yaw_rate * DT_S / 2.0
        rear += self.speed * DT_S * np.array([math.cos(middle), math.sin(middle)])
        self.heading += self.yaw_rate * DT_S
        self.x, self.y = rear + behind * np.array([math.cos(self.heading), math.sin(self.heading)])
        gain = 4.0 * throttle - 8.0 * brake - 0.1
        self.speed = max(self.speed + gain * DT_S, 0.0)

    def from_world(self, points: np.ndarray) -> np.ndarray:
        cosine, sine = math.cos(self.heading), math.sin(self.heading)
        return (points - [self.x, self.y]) @ np.array([[cosine, -sine], [sine, cosine]])


def draw(road: DrawnRoad, view: View, car: Car, near_m: float) -> np.ndarray:
    """The mask (H, W) that the car's camera sees, ``near_m`` along the road."""
    # Drawn finer than seen: fillPoly draws its outline, too, half a pixel too wide.
    mask = np.zeros((FINER * view.height, FINER * view.width), np.uint8)
    half = road.lane_width_m / 2.0
    right = -half - 0.3 if road.right_edge_m is None else -road.right_edge_m
    left = half + 3.5 + 0.3 if road.left_edge_m is None else road.left_edge_m
    low, high = near_m - 4.0, near_m + 60.0
    _fill(mask, view, car, road.beside(low, high, left), road.beside(low, high, right), 1)
    for line in road.painted:
        for start, end in _dashes(road, line, low, high):
            edges = [
                road.beside(start, end, line.offset_m + side * line.width_m / 2.0)
                for side in (1.0, -1.0)
            ]
            _fill(mask, view, car, *edges, 2)
    return np.ascontiguousarray(mask[FINER // 2 :: FINER, FINER // 2 :: FINER])


def _dashes(road: DrawnRoad, line: Line, low: float, high: float) -> list[tuple[float, float]]:
    if line.dash is None:
        pieces = [(low, high)]
    else:
        period = sum(line.dash)
        first = math.floor(low / period)
        count = math.ceil((high - low) / period) + 1
        pieces = [((first + i) * period, (first + i) * period + line.dash[0]) for i in range(count)]
    for gap in road.unpainted_m:
        pieces = [
            part
            for a, b in pieces
            for part in ((a, min(b, gap[0])), (max(a, gap[1]), b))
            if part[1] - part[0] > STEP_M
        ]
    return [(max(a, low), min(b, high)) for a, b in pieces if min(b, high) - max(a, low) > STEP_M]


def _fill(mask: Any, view: View, car: Car, left: np.ndarray, right: np.ndarray, value: int) -> None:
    outline = []
    for side in (left, right[::-1]):
        local = car.from_world(side)
        outline.append(local[local[:, 0] > view.forward_m + 0.8])
    if min(len(part) for part in outline) < 2:
        return
    # Pixel i is centred on i for OpenCV, on i + 0.5 for the view.
    pixels = view.pixels(np.concatenate(outline)) * FINER - 0.5
    pixels = np.clip(pixels, -20000, 20000)
    cv2.fillPoly(mask, [np.round(pixels * 2**BITS).astype(np.int32)], value, shift=BITS)


@dataclass
class Drive:
    """What happened, per tick."""

    cross_track_m: np.ndarray
    speeds_mps: np.ndarray
    steers: np.ndarray
    lengths_m: np.ndarray
    confidences: np.ndarray
    states: list[str]

    @property
    def p95_m(self) -> float:
        return float(np.percentile(np.abs(self.cross_track_m), 95))

    @property
    def worst_m(self) -> float:
        return float(np.abs(self.cross_track_m).max())


def run(
    road: DrawnRoad,
    view: View,
    seconds: float,
    target_mps: float = 11.0,
    delay_ticks: int = 0,
    noise: float = 0.0,
    start_aside_m: float = 0.0,
    map_width_m: float | None = None,
    guided_m: tuple[float, float] = (0.0, 0.0),
) -> Drive:
    """Drive; masks come ``delay_ticks`` late, with a share ``noise`` of their pixels wrong."""
    rng = np.random.default_rng(1)
    geometry = CarGeometry(wheelbase_m=WHEELBASE_M, max_steer_rad=1.2, delay_s=0.05)
    driver = Driver(view, geometry, target_mps, map_width_m)
    car = Car(y=start_aside_m, speed=target_mps)
    along, rows = 0.0, []
    late: list[tuple[float, np.ndarray]] = []
    for tick in range(round(seconds / DT_S)):
        time_s = tick * DT_S
        along, aside = road.locate(np.array([car.x, car.y]), along)
        if along > road.length_m:
            break
        mask = draw(road, view, car, along)
        if noise:
            wrong = rng.random(mask.shape) < noise
            mask[wrong] = rng.integers(0, 3, int(wrong.sum()))
        late.append((time_s, mask))
        if len(late) > delay_ticks:
            taken_at_s, old = late.pop(0)
            driver.see(old, taken_at_s)
        guide = None
        if guided_m[0] <= along < guided_m[1]:
            points = car.from_world(road.beside(along - 5.0, along + 40.0, 0.0))
            guide = Guide(points, max(abs(bend) for _, bend in road.segments))
        control = driver.act(time_s, car.speed, car.yaw_rate, guide)
        sure = driver.lane.confidence if driver.lane else 0.0
        rows.append((aside, car.speed, control.steer, along, sure, driver.state.value))
        car.step(*control, geometry)
    columns = list(zip(*rows, strict=True))
    return Drive(*(np.array(column) for column in columns[:5]), list(columns[5]))
