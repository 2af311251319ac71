"""CARLA's semantic tags, and the project's class of each.

    Tag.ROAD_LINE                 # 24
    CLASS_OF_TAG[tags]            # tags (H, W) uint8 -> mask (H, W) uint8

The table is that of CARLA 0.9.16 (`carla.CityObjectLabel`; a test holds the two together).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Tag(IntEnum):
    """What a pixel shows."""

    NONE = 0
    ROAD = 1
    SIDEWALK = 2
    BUILDING = 3
    WALL = 4
    FENCE = 5
    POLE = 6
    TRAFFIC_LIGHT = 7
    TRAFFIC_SIGN = 8
    VEGETATION = 9
    TERRAIN = 10
    SKY = 11
    PEDESTRIAN = 12
    RIDER = 13
    CAR = 14
    TRUCK = 15
    BUS = 16
    TRAIN = 17
    MOTORCYCLE = 18
    BICYCLE = 19
    STATIC = 20
    DYNAMIC = 21
    OTHER = 22
    WATER = 23
    ROAD_LINE = 24
    GROUND = 25
    BRIDGE = 26
    RAIL_TRACK = 27
    GUARD_RAIL = 28


CLASSES = {"background": 0, "road": 1, "lane_marking": 2}


def _table() -> npt.NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    table[Tag.ROAD] = CLASSES["road"]
    table[Tag.ROAD_LINE] = CLASSES["lane_marking"]
    return table


CLASS_OF_TAG = _table()
"""(256,) uint8: the class of each tag; whatever is neither road nor its marking is background."""
