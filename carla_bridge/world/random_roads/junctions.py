"""Junctions of random roads: where arms end, and the roads that connect them.

    reach = distances([(main, 0.0), (side, 1.6)], radius=6.0)   # metres from the middle to each
    for turn in turns(arms): ...                                # from every arm to every other

Connecting roads carry the asphalt on; of those that leave an arm, the sharpest right turn
carries gutter and pavement around the corner. Where there is no arm to the right, the road
straight on does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carla_bridge.world.random_roads.alignment import Piece, Pose, biarc
from carla_bridge.world.random_roads.kinds import KERB, NONE, CrossSection, LaneSpec

SIDEWAYS = np.radians(150.0)
"""Radians between arms from which they face each other: no corner lies between them."""


@dataclass(frozen=True)
class Arm:
    """A road that ends at a junction: its pose there, heading outwards from it.

    ``starts`` says that the road begins there, so that its right side leads away.
    """

    road: int
    starts: bool
    pose: Pose
    section: CrossSection

    @property
    def leaving(self) -> tuple[LaneSpec, ...]:
        """The side on which traffic leaves the junction."""
        return self.section.right if self.starts else self.section.left

    @property
    def coming(self) -> tuple[LaneSpec, ...]:
        """The side on which traffic comes to it."""
        return self.section.left if self.starts else self.section.right


@dataclass(frozen=True)
class Turn:
    """A connecting road: its plan, its right side, and the lanes (from, to) that it joins."""

    origin: Arm
    goal: Arm
    pieces: list[Piece]
    lanes: tuple[LaneSpec, ...]
    links: list[tuple[int, int]]


def asphalt(side: tuple[LaneSpec, ...]) -> float:
    """Return metres from the reference line to where a side's asphalt ends."""
    beyond = ("strip", "pavement")
    return sum(lane.width for lane in side if lane.slot not in beyond)


def walk(side: tuple[LaneSpec, ...]) -> float:
    """Return metres of pavement and green strip at a side's edge."""
    return sum(lane.width for lane in side if lane.slot in ("strip", "pavement"))


def distances(arms: list[tuple[CrossSection, float]], radius: float) -> list[float]:
    """Return how far from the middle each arm must end for corners of ``radius`` metres.

    Arms are given with their headings; roads begin at the junction.
    """
    found = []
    for section, heading in arms:
        least = 6.0
        for other, direction in arms:
            angle = (direction - heading + np.pi) % (2.0 * np.pi) - np.pi
            if (other is section and angle == 0.0) or abs(angle) > SIDEWAYS:
                continue
            # To the left lies the other's right side, and the other way round.
            mine, its = (section.left, other.right) if angle > 0 else (section.right, other.left)
            corner = max(radius, walk(mine) + 0.8, walk(its) + 0.8)
            sharp = abs(angle)
            meet = (asphalt(its) + asphalt(mine) * np.cos(sharp)) / np.sin(sharp)
            least = max(least, float(meet + corner / np.tan(sharp / 2.0)))
        found.append(least)
    return found


def turns(arms: list[Arm]) -> list[Turn]:
    """Return the connecting roads from every arm to every other one."""
    found = []
    for origin in arms:
        others = [arm for arm in arms if arm is not origin]
        bends = [_bend(origin, goal) for goal in others]
        rightmost = int(np.argmin(bends))
        for i, goal in enumerate(others):
            turn = _turn(origin, goal, bends[i], i == rightmost)
            if turn is not None:
                found.append(turn)
    return found


def _bend(origin: Arm, goal: Arm) -> float:
    """Return how far (radians) traffic turns left on its way."""
    turn = goal.pose[2] - (origin.pose[2] + np.pi)
    return float((turn + np.pi) % (2.0 * np.pi) - np.pi)


def _driving(side: tuple[LaneSpec, ...]) -> list[tuple[int, float, LaneSpec]]:
    """Return (number, metres to its inner edge, lane) of the driving lanes of a side."""
    found = []
    number, away = 0, 0.0
    for lane in side:
        if lane.width > 0.0:
            number += 1
            if lane.kind == "driving":
                found.append((number, away, lane))
            away += lane.width
    return found


def _turn(origin: Arm, goal: Arm, bend: float, outline: bool) -> Turn | None:
    coming, leaving = _driving(origin.coming), _driving(goal.leaving)
    if not coming or not leaving:
        return None
    count = min(len(coming), len(leaving))
    if bend < -0.6:
        coming, leaving = coming[-1:], leaving[-1:]
    elif bend > 0.6:
        coming, leaving = coming[:1], leaving[:1]
    else:
        coming, leaving = coming[:count], leaving[:count]
    start = _shifted(origin.pose, np.pi, coming[0][1])
    end = _shifted(goal.pose, 0.0, leaving[0][1])
    lanes = [
        LaneSpec("driving", a.width, NONE, end=b.width)
        for (_, _, a), (_, _, b) in zip(coming, leaving, strict=True)
    ]
    if outline:
        lanes += _outline(origin.coming, goal.leaving)
    links = [
        (-a if not origin.starts else a, -b if goal.starts else b)
        for (a, _, _), (b, _, _) in zip(coming, leaving, strict=True)
    ]
    return Turn(origin, goal, biarc(start, end), tuple(lanes), links)


def _shifted(pose: Pose, turn: float, right: float) -> Pose:
    """Return a pose turned around, and moved to its right."""
    heading = pose[2] + turn
    return pose[0] + right * np.sin(heading), pose[1] - right * np.cos(heading), heading


def _outline(coming: tuple[LaneSpec, ...], leaving: tuple[LaneSpec, ...]) -> list[LaneSpec]:
    """Return gutter and pavement beyond the driving lanes, from one arm's to the other's."""

    def widths(side: tuple[LaneSpec, ...]) -> tuple[float, float]:
        last = _driving(side)[-1]
        return asphalt(side) - last[1] - last[2].width, walk(side)

    first, second = widths(coming), widths(leaving)
    lanes = [LaneSpec("shoulder", first[0], KERB if first[1] + second[1] else NONE, end=second[0])]
    if first[1] + second[1] > 0.0:
        lanes.append(LaneSpec("sidewalk", first[1], end=second[1]))
    return lanes
