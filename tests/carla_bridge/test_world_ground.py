"""Land: whatever the road's grade and bends, no grass grows through asphalt."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.ground import CELL, REACH, Land, edges
from carla_bridge.world.opendrive import random_road
from carla_bridge.world.roads import read_roads


@pytest.mark.parametrize("seed", range(12))
def test_the_height_field_stays_below_every_lane(seed: int) -> None:
    roads = read_roads(random_road(np.random.default_rng(seed)))
    land = Land(roads, np.random.default_rng(seed))
    lane = roads.driving()[0]
    middle = lane.centre[len(lane.s) // 2]
    mesh = land.ground((float(middle[0]), float(middle[1])))
    n = len(np.arange(-REACH, REACH + CELL, CELL))
    field = mesh.vertices["vertex"][: n * n].reshape(n, n, 3).astype(float)
    points = np.concatenate([p for x in roads.lanes for p in (x.left, x.centre, x.right)])
    at = (points[:, :2] - field[0, 0, :2]) / CELL
    inside = np.all((at > 1) & (at < n - 3), axis=1)
    at, points = at[inside], points[inside]
    column, row = np.floor(at).astype(int).T
    u, v = (at - np.floor(at)).T
    # Bilinear between a cell's corners: what its two triangles draw, within millimetres.
    drawn = (
        field[row, column, 2] * (1 - u) * (1 - v)
        + field[row, column + 1, 2] * u * (1 - v)
        + field[row + 1, column, 2] * (1 - u) * v
        + field[row + 1, column + 1, 2] * u * v
    )
    assert len(points) > 100
    assert (drawn < points[:, 2] - 0.05).all()


def test_edges_point_away_from_the_road() -> None:
    roads = read_roads(random_road(np.random.default_rng(1)))
    land = Land(roads, np.random.default_rng(0))
    for points, outward, _ in edges(roads):
        distance, _ = land.nearest((points + 3.0 * outward)[5:-5, :2])
        assert (distance > 0.5).all()
