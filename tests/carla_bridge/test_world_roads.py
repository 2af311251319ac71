"""Reading OpenDRIVE: a road worked out by hand, and texts that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("carla", reason="needs the extra carla")

from carla_bridge.world.roads import read_roads
from edge_seg.errors import EdgeSegError

STRAIGHT = """<?xml version="1.0"?>
<OpenDRIVE><header revMajor="1" revMinor="4" name="straight"><geoReference>+lat_0=0 +lon_0=0
</geoReference></header>
<road name="" length="100" id="1" junction="-1">
<planView><geometry s="0" x="0" y="0" hdg="0" length="100"><line/></geometry></planView>
<elevationProfile><elevation s="0" a="1" b="0.02" c="0" d="0"/></elevationProfile>
<lanes><laneSection s="0">
<left><lane id="1" type="{kind}" level="false">
<width sOffset="0" a="3" b="0" c="0" d="0"/>
<roadMark sOffset="0" type="solid" color="white" width="0.2"/></lane></left>
<center><lane id="0" type="none" level="false">
<roadMark sOffset="0" type="broken" color="yellow" width="0.1"/></lane></center>
<right><lane id="-1" type="{kind}" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/>
<roadMark sOffset="0" type="solid solid" color="white" width="0.12"/></lane>
<lane id="-2" type="sidewalk" level="false"><width sOffset="0" a="2" b="0" c="0" d="0"/>
</lane></right>
</laneSection></lanes></road></OpenDRIVE>"""


def test_a_straight_road_by_hand() -> None:
    roads = read_roads(STRAIGHT.format(kind="driving"))
    kinds = sorted(lane.kind for lane in roads.lanes)
    assert kinds == ["Driving", "Driving", "Sidewalk"]
    right = next(lane for lane in roads.driving() if lane.centre[0, 1] < 0)
    assert np.allclose(right.left[:, 1], 0.0, atol=1e-3)
    assert np.allclose(right.right[:, 1], -3.5, atol=1e-3)
    assert np.allclose(right.centre[:-1, 2], 1.0 + 0.02 * right.s[:-1], atol=1e-3)
    assert right.centre[0, 0] < 0.1
    assert right.centre[-1, 0] > 99.8
    walk = next(lane for lane in roads.lanes if lane.kind == "Sidewalk")
    assert np.allclose(walk.right[:, 1], -5.5, atol=1e-3)
    assert walk.outer_right
    assert not right.outer_right


def test_lines_carry_their_marks() -> None:
    roads = read_roads(STRAIGHT.format(kind="driving"))
    found = {
        (line.kind, line.colour, round(line.width, 2), round(float(line.points[5, 1]), 1))
        for line in roads.lines
    }
    assert found == {
        ("Broken", "Yellow", 0.1, 0.0),
        ("Solid", "White", 0.2, 3.0),
        ("SolidSolid", "White", 0.12, -3.5),
    }


def test_each_side_of_a_one_way_road_ends_at_its_outermost_strip() -> None:
    # Without the left lane nothing lies left of the driving lane, and the pavement right of it.
    text = STRAIGHT.format(kind="driving")
    one_way = text[: text.index("<left>")] + text[text.index("</left>") + len("</left>") :]
    sides = {lane.kind: (lane.outer_left, lane.outer_right) for lane in read_roads(one_way).lanes}
    assert sides == {"Driving": (True, False), "Sidewalk": (False, True)}


def test_a_lane_on_its_own_ends_on_both_sides() -> None:
    text = STRAIGHT.format(kind="driving").replace('type="sidewalk"', 'type="none"')
    one_way = text[: text.index("<left>")] + text[text.index("</left>") + len("</left>") :]
    (lane,) = read_roads(one_way).lanes
    assert lane.outer_left
    assert lane.outer_right


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not whole"),
        ("<OpenDRIVE>", "not whole"),
        (STRAIGHT[: len(STRAIGHT) // 2], "not whole"),
        (STRAIGHT.format(kind="sidewalk"), "no driving lane"),
        ("<OpenDRIVE></OpenDRIVE>", "no driving lane|cannot be read"),
    ],
)
def test_what_cannot_be_read_says_so(text: str, message: str) -> None:
    with pytest.raises(EdgeSegError, match=message):
        read_roads(text)


def test_a_carla_town() -> None:
    data = Path(os.environ.get("EDGE_SEG_ROAD_DATA", "../shared/data/road"))
    town = data / "permissive/xodr/Town01.xodr"
    if not town.exists():
        pytest.skip(f"{town} is not there (EDGE_SEG_ROAD_DATA names the folder)")
    roads = read_roads(town.read_text(), "Town01")
    assert len(roads.driving()) > 40
    assert {line.kind for line in roads.lines} == {"Broken"}
    assert any(lane.kind == "Sidewalk" for lane in roads.lanes)
