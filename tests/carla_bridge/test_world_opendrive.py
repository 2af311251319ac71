"""Random OpenDRIVE: seeded, continuous, and read by CARLA's parser as it was meant."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

carla = pytest.importorskip("carla", reason="needs the extra carla")

from carla_bridge.world.opendrive import random_road  # noqa: E402


def road(seed: int) -> str:
    return random_road(np.random.default_rng(seed))


def test_same_seed_same_text() -> None:
    assert road(3) == road(3)
    assert road(3) != road(4)


@pytest.mark.parametrize("seed", range(8))
def test_geometries_join_where_carla_says_the_previous_one_ends(seed: int) -> None:
    text = road(seed)
    carla_map = carla.Map("road", text)
    first = ElementTree.fromstring(text).find("road")
    assert first is not None
    lane_id = -1
    for geometry in first.findall("planView/geometry")[1:]:
        s, heading = float(geometry.get("s", 0)), float(geometry.get("hdg", 0))
        before = carla_map.get_waypoint_xodr(1, lane_id, s - 0.02)
        after = carla_map.get_waypoint_xodr(1, lane_id, s + 0.02)
        assert before.transform.location.distance(after.transform.location) < 0.06
        # CARLA's y axis is mirrored, and its yaw with it.
        turn = np.radians(-before.transform.rotation.yaw) - heading
        assert abs((turn + np.pi) % (2 * np.pi) - np.pi) < 0.01


def test_roads_differ_in_kind() -> None:
    kinds = {
        ElementTree.fromstring(road(s)).find("header").get("name")  # type: ignore[union-attr]
        for s in range(20)
    }
    assert kinds == {"street", "rural", "motorway"}
