"""Reading OpenDRIVE: roads worked out by hand, and texts that cannot be read."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

import numpy as np
import pytest

from carla_bridge.world.maps import check as opendrive_check
from carla_bridge.world.maps import lane_sections, roads
from carla_bridge.world.maps.roads import Lane, Roads, read_roads
from carla_bridge.world.random_roads.road import random_road
from carla_bridge.world.randomization import Dice, DomainRandomization
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

LINE = '<geometry s="0" x="0" y="0" hdg="0" length="100"><line/></geometry>'


UP = "<elevationProfile>"


def lane(id: int, width: float = 3.5, kind: str = "driving", inside: str = "") -> str:
    widths = f'<width sOffset="0" a="{width}" b="0" c="0" d="0"/>'
    return f'<lane id="{id}" type="{kind}">{widths}{inside}</lane>'


def road(
    geometry: str = LINE,
    profile: str = "",
    lanes: str = "",
    left: str = "",
    right: str = lane(-1),
    **attributes: str,
) -> str:
    attributes = {"id": "1", "junction": "-1", "length": "100", **attributes}
    words = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    section = f'<laneSection s="0"><left>{left}</left><right>{right}</right></laneSection>'
    return (
        f"<road {words}><planView>{geometry}</planView>{profile}"
        f"<lanes>{lanes or section}</lanes></road>"
    )


def document(*parts: str) -> str:
    return '<OpenDRIVE><header revMajor="1" revMinor="4"/>' + "".join(parts) + "</OpenDRIVE>"


def only(found: Roads, kind: str = "Driving") -> Lane:
    (one,) = [x for x in found.lanes if x.kind == kind]
    return one


def test_a_straight_road_by_hand() -> None:
    found = read_roads(STRAIGHT.format(kind="driving"))
    kinds = sorted(lane.kind for lane in found.lanes)
    assert kinds == ["Driving", "Driving", "Sidewalk"]
    right = next(lane for lane in found.driving() if lane.centre[0, 1] < 0)
    assert np.allclose(right.left[:, 1], 0.0)
    assert np.allclose(right.right[:, 1], -3.5)
    assert np.allclose(right.centre[:, 2], 1.0 + 0.02 * right.s)
    assert right.centre[0, 0] == 0.0
    assert right.centre[-1, 0] == pytest.approx(100.0)
    walk = only(found, "Sidewalk")
    assert np.allclose(walk.right[:, 1], -5.5)
    assert walk.outer_right
    assert not right.outer_right
    assert (right.beside_left, right.beside_right) == ("Driving", "Sidewalk")


def test_left_lanes_run_the_other_way_with_their_left_on_the_left() -> None:
    found = read_roads(STRAIGHT.format(kind="driving"))
    left = next(lane for lane in found.driving() if lane.centre[0, 1] > 0)
    assert left.centre[0, 0] > left.centre[-1, 0]
    assert np.allclose(left.left[:, 1], 0.0)
    assert np.allclose(left.right[:, 1], 3.0)
    assert (left.outer_left, left.outer_right) == (False, True)


def test_where_people_drive_on_the_left_right_lanes_run_against_the_road() -> None:
    found = only(read_roads(document(road(rule="LHT"))))
    assert found.centre[0, 0] > found.centre[-1, 0]
    assert np.allclose(found.right[:, 1], 0.0)
    assert np.allclose(found.left[:, 1], -3.5)


def test_lines_carry_their_marks() -> None:
    found = {
        (line.kind, line.colour, round(line.width, 2), round(float(line.points[5, 1]), 1))
        for line in read_roads(STRAIGHT.format(kind="driving")).lines
    }
    assert found == {
        ("Broken", "Yellow", 0.1, 0.0),
        ("Solid", "White", 0.2, 3.0),
        ("SolidSolid", "White", 0.12, -3.5),
    }


def test_marks_change_where_the_map_says_so() -> None:
    marks = "".join(
        f'<roadMark sOffset="{s}" type="{kind}"><type name="x" width="0.1">'
        f'<line length="4" space="8" tOffset="0" sOffset="0"/></type></roadMark>'
        for s, kind in ((0, "solid"), (30.25, "none"), (60.5, "broken"))
    )
    found = read_roads(document(road(right=lane(-1, inside=marks)))).lines
    ends = {line.kind: line.points[[0, -1], 0].round(6).tolist() for line in found}
    assert ends == {"Solid": [0.0, 30.25], "Broken": [60.5, 100.0]}
    assert all(line.dash == (4.0, 8.0) for line in found)


def test_a_map_without_marks_has_no_paint() -> None:
    assert read_roads(document(road())).lines == []


def test_an_arc_by_hand() -> None:
    # To the left with a radius of 50 m: the middle of the circle is (0, 50).
    arc = '<geometry s="0" x="0" y="0" hdg="0" length="100"><arc curvature="0.02"/></geometry>'
    found = only(read_roads(document(road(arc))))
    middle = np.array([0.0, 50.0])
    assert np.allclose(np.linalg.norm(found.left[:, :2] - middle, axis=1), 50.0)
    assert np.allclose(np.linalg.norm(found.right[:, :2] - middle, axis=1), 53.5)
    assert np.allclose(found.left[-1, :2], [50.0 * np.sin(2.0), 50.0 - 50.0 * np.cos(2.0)])


def test_a_spiral_against_small_steps() -> None:
    spiral = '<spiral curvStart="-0.01" curvEnd="0.05"/>'
    text = road(f'<geometry s="0" x="3" y="-2" hdg="0.4" length="100">{spiral}</geometry>')
    found = only(read_roads(document(text)))
    s = (np.arange(1_000_000) + 0.5) * 1e-4
    heading = 0.4 - 0.01 * s + 0.06 / 200.0 * s * s
    end = np.array([3.0, -2.0]) + 1e-4 * np.array([np.cos(heading).sum(), np.sin(heading).sum()])
    assert np.allclose(found.left[-1, :2], end, atol=1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        '<poly3 a="0" b="0" c="0.002" d="0"/>',
        '<paramPoly3 pRange="arcLength" aU="0" bU="1" cU="0" dU="0" aV="0" bV="0" cV="0.002"/>',
        '<paramPoly3 pRange="normalized" aU="0" bU="100" cU="0" dU="0" aV="0" bV="0" cV="20"/>',
    ],
)
def test_polynomials_run_along_their_parabola(shape: str) -> None:
    text = road(f'<geometry s="0" x="0" y="0" hdg="0" length="100">{shape}</geometry>')
    edge = only(read_roads(document(text))).left
    assert np.allclose(edge[:, 1], 0.002 * edge[:, 0] ** 2, atol=1e-6)
    assert edge[-1, 0] > 95.0


def test_superelevation_lifts_the_left_side() -> None:
    lean = '<lateralProfile><superelevation s="0" a="0.05" b="0" c="0" d="0"/></lateralProfile>'
    found = read_roads(document(road(profile=lean, left=lane(1, 3.0))))
    right, left = found.lanes[1], found.lanes[0]
    assert np.allclose(right.right[:, 2], -3.5 * np.sin(0.05))
    assert np.allclose(right.right[:, 1], -3.5 * np.cos(0.05))
    assert np.allclose(left.right[:, 2], 3.0 * np.sin(0.05))
    assert np.allclose(right.left[:, 2], 0.0)


def test_a_level_lane_does_not_lean_and_crossfall_lowers_the_outside() -> None:
    lean = '<lateralProfile><superelevation s="0" a="0.05" b="0" c="0" d="0"/></lateralProfile>'
    level = lane(-2, 2.0, "sidewalk").replace("type=", 'level="true" type=')
    walk = only(read_roads(document(road(profile=lean, right=lane(-1) + level))), "Sidewalk")
    assert np.allclose(walk.left[:, 2], -3.5 * np.sin(0.05))
    assert np.allclose(walk.right[:, 2], walk.left[:, 2])
    fall = '<crossfall side="right" s="0" a="0.04" b="0" c="0" d="0"/>'
    text = road(profile=f"<lateralProfile>{fall}</lateralProfile>", left=lane(1))
    found = read_roads(document(text))
    assert np.allclose(found.lanes[1].right[:, 2], -3.5 * np.tan(0.04))
    assert np.allclose(found.lanes[0].right[:, 2], 0.0)


def test_borders_and_offsets_place_lanes_too() -> None:
    border = '<lane id="-1" type="driving"><border sOffset="0" a="-3.2" b="0" c="0" d="0"/></lane>'
    assert np.allclose(only(read_roads(document(road(right=border)))).right[:, 1], -3.2)
    offset = '<laneOffset s="0" a="1.5" b="0" c="0" d="0"/>'
    section = f'<laneSection s="0"><right>{lane(-1)}</right></laneSection>'
    found = only(read_roads(document(road(lanes=offset + section))))
    assert np.allclose(found.left[:, 1], 1.5)
    assert np.allclose(found.right[:, 1], -2.0)


def section(s: float, right: str) -> str:
    return f'<laneSection s="{s}"><right>{right}</right></laneSection>'


def test_lanes_and_lines_go_on_through_sections_without_a_gap() -> None:
    mark = '<roadMark sOffset="0" type="broken" width="0.1"/>'
    taper = (
        f'<lane id="-2" type="driving"><width sOffset="0" a="0" b="0" c="0.0175" d="-0.000583333"/>'
        f"{mark}</lane>"
    )
    first = lane(-1, inside=mark)
    lanes = (
        section(0, first) + section(40.3, first + taper) + section(60.3, first + lane(-2, 2.333))
    )
    found = read_roads(document(road(lanes=lanes)))
    inner = [x for x in found.lanes if np.allclose(x.left[:, 1], 0.0)]
    # What lies beside it changes at 40.3 m, and nothing for it at 60.3 m.
    assert sorted((x.s[0], x.s[-1]) for x in inner) == [(0.0, 40.3), (40.3, 100.0)]
    whole = sorted(inner, key=lambda x: x.s[0])
    assert np.abs(whole[0].right[-1] - whole[1].right[0]).max() < 1e-9
    ends = [line.points[[0, -1], 0].tolist() for line in found.lines if line.points[0, 1] == -3.5]
    assert [0.0, 100.0] in ends
    slip = [x for x in found.lanes if x.right[-1, 1] < -5.8]
    assert all(np.diff(x.s).max() <= 1.0 for x in found.lanes)
    assert np.abs(slip[0].right[-1, 1] + 5.833) < 0.01


def test_where_widths_and_offsets_jump_each_section_keeps_its_own() -> None:
    offsets = (
        '<laneOffset s="0" a="0" b="0" c="0" d="0"/><laneOffset s="50" a="3.5" b="0" c="0" d="0"/>'
    )
    lanes = offsets + section(0, lane(-1)) + section(50, lane(-1, kind="none") + lane(-2))
    found = only(read_roads(document(road(lanes=lanes))))
    # The lane goes straight on although it counts from another place.
    assert np.allclose(found.left[:, 1], 0.0)
    assert found.s[-1] == 100.0


def test_each_side_of_a_one_way_road_ends_at_its_outermost_strip() -> None:
    # Without the left lane nothing lies left of the driving lane, and the pavement right of it.
    text = STRAIGHT.format(kind="driving")
    one_way = text[: text.index("<left>")] + text[text.index("</left>") + len("</left>") :]
    sides = {lane.kind: (lane.outer_left, lane.outer_right) for lane in read_roads(one_way).lanes}
    assert sides == {"Driving": (True, False), "Sidewalk": (False, True)}


def test_a_carriageway_drawn_against_its_traffic_has_its_shoulder_on_the_right() -> None:
    # As motorways of CARLA's towns are: left lanes only.
    left = lane(3, 2.5, "shoulder") + lane(2) + lane(1)
    found = read_roads(document(road(left=left, right="")))
    outer: dict[str, list[tuple[bool, bool, str]]] = {x.kind: [] for x in found.lanes}
    for x in found.lanes:
        outer[x.kind].append((x.outer_left, x.outer_right, x.beside_right))
    assert sorted(outer["Driving"]) == [(False, False, "Shoulder"), (True, False, "Driving")]
    assert outer["Shoulder"] == [(False, True, "")]


def test_a_lane_on_its_own_ends_on_both_sides() -> None:
    text = STRAIGHT.format(kind="driving").replace('type="sidewalk"', 'type="none"')
    one_way = text[: text.index("<left>")] + text[text.index("</left>") + len("</left>") :]
    (found,) = read_roads(one_way).lanes
    assert found.outer_left
    assert found.outer_right
    assert found.free_left is not None
    assert found.free_left.all()


def test_a_lane_of_no_type_is_paved_between_others_and_nothing_at_the_side() -> None:
    between = lane(-1) + lane(-2, kind="none") + lane(-3)
    assert sorted(x.kind for x in read_roads(document(road(right=between))).lanes) == [
        "Driving",
        "Driving",
        "NONE",
    ]
    offset = lane(-1, kind="none", inside='<roadMark sOffset="0" type="solid"/>') + lane(-2)
    found = read_roads(document(road(right=offset)))
    assert [x.kind for x in found.lanes] == ["Driving"]
    assert found.lanes[0].outer_left
    # The mark on its outer edge is the driving lane's left line.
    assert [float(line.points[0, 1]) for line in found.lines] == [-3.5]


def test_kerbs_and_surfaces_are_known() -> None:
    kerb = '<roadMark sOffset="0" type="curb"/>'
    grass = '<material sOffset="0" surface="grass"/>'
    right = lane(-1, inside=kerb) + lane(-2, 2.0, "border", grass) + lane(-3, 2.0, "sidewalk")
    found = {x.kind: x for x in read_roads(document(road(right=right))).lanes}
    assert found["Driving"].kerb_right
    assert not found["Driving"].kerb_left
    assert found["Driving"].paved
    assert not found["Driving"].raised
    assert found["Grass"].raised
    assert not found["Grass"].paved
    assert found["Sidewalk"].raised


def crossing(profile: str = "") -> str:
    """Two roads that cross without any junction, at one height or with a ``profile``."""
    other = LINE.replace('x="0" y="0" hdg="0"', 'x="50" y="-50" hdg="1.5707963267948966"')
    walk = lane(-2, 2.0, "sidewalk")
    return document(road(right=lane(-1) + walk), road(other, id="2", left=lane(1), profile=profile))


def test_where_roads_cross_asphalt_is_shared_and_pavement_stops() -> None:
    found = read_roads(crossing())
    across = next(x for x in found.driving() if abs(x.centre[0, 0] - x.centre[-1, 0]) < 1e-6)
    assert across.shared is not None
    y = across.centre[across.shared, 1]
    assert -4.5 < y.min() < -2.5
    assert -1.0 < y.max() < 1.0
    walks = [x for x in found.lanes if x.kind == "Sidewalk"]
    assert len(walks) == 2
    ends = sorted(x.centre[k, 0] for x in walks for k in (0, -1))
    # The crossing road spans x = 46.5 to 53.5.
    assert ends[0] == 0.0
    assert 45.0 < ends[1] < 46.6
    assert 53.4 < ends[2] < 55.0
    assert ends[3] == 100.0
    north = next(x for x in found.driving() if np.allclose(x.left[:, 1], 0))
    assert north.free_left is not None
    assert not north.free_left[(north.left[:, 0] > 47.0) & (north.left[:, 0] < 53.0)].any()
    assert north.free_left[(north.left[:, 0] < 46.0) | (north.left[:, 0] > 54.0)].all()


def test_a_bridge_shares_nothing_with_the_road_below() -> None:
    found = read_roads(
        crossing(f'{UP}<elevation s="0" a="6" b="0" c="0" d="0"/></elevationProfile>')
    )
    assert max(x.centre[:, 2].max() for x in found.lanes) == 6.0
    assert all(x.shared is None for x in found.lanes)
    assert len([x for x in found.lanes if x.kind == "Sidewalk"]) == 1


def test_a_road_may_cross_itself() -> None:
    # Three quarters of a circle, and on across its own beginning.
    loop = (
        '<geometry s="0" x="0" y="0" hdg="0" length="60"><line/></geometry>'
        '<geometry s="60" x="60" y="0" hdg="0" length="141.3716694">'
        '<arc curvature="0.0333333333"/></geometry>'
        '<geometry s="201.3716694" x="30" y="30" hdg="-1.5707963" length="60"><line/></geometry>'
    )
    found = only(read_roads(document(road(loop, length="261.3716694"))))
    assert found.shared is not None
    assert 0 < np.count_nonzero(found.shared) < 30


def test_roads_around_a_place_are_cut_to_its_surroundings() -> None:
    found = read_roads(STRAIGHT.format(kind="driving"))
    near = found.around((30.0, 0.0), 12.0)
    assert len(near.lanes) == len(found.lanes)
    for part in near.lanes:
        assert part.centre[:, 0].min() > 17.9
        assert part.centre[:, 0].max() < 42.1
        assert len(part.s) == len(part.left) == len(part.right)
    assert all(line.points[:, 0].max() < 42.1 for line in near.lines)
    assert found.around((500.0, 0.0), 12.0).lanes == []
    everything = found.around((30.0, 0.0), 500.0)
    assert all(a is b for a, b in zip(everything.lanes, found.lanes, strict=True))


def test_a_map_in_far_coordinates_comes_near() -> None:
    far = LINE.replace('x="0" y="0"', 'x="512345" y="5398765"')
    found = only(read_roads(document(road(far))))
    assert np.abs(found.left[:, :2]).max() < 1001.0
    assert found.left[0, 0] % 1000.0 == pytest.approx(345.0)


def test_a_large_map_is_read_once() -> None:
    text = STRAIGHT.format(kind="driving").replace("</lanes>", "</lanes>" + " " * roads.SMALL)
    assert read_roads(text, "a") is read_roads(text, "a")


def test_zero_lengths_are_passed_over() -> None:
    nothing = '<geometry s="0" x="0" y="0" hdg="0" length="0"><line/></geometry>'
    found = read_roads(document(road(nothing, id="7", length="0"), road(nothing + LINE)))
    assert len(found.lanes) == 1


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><OpenDRIVE>&b;</OpenDRIVE>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not whole"),
        ("<OpenDRIVE>", "not whole"),
        (STRAIGHT[: len(STRAIGHT) // 2], "not whole"),
        (STRAIGHT.format(kind="sidewalk"), "no driving lane"),
        ("<OpenDRIVE></OpenDRIVE>", "no driving lane"),
        ("<OpenDRIVE><a></OpenDRIVE>", "well-formed"),
        ("<OpenDRIVE>\x00</OpenDRIVE>", "well-formed"),
        ("<OpenDRIVE>\ud800</OpenDRIVE>", "well-formed"),
        ("<a><OpenDRIVE></OpenDRIVE></a><!--</OpenDRIVE>-->", "is no OpenDRIVE but <a>"),
        (BOMB, "DOCTYPE"),
        (STRAIGHT.replace('revMajor="1"', 'revMajor="2"').format(kind="driving"), "version '2'"),
        (document("<a>" * 200 + "</a>" * 200), "deeper than 100"),
        (document(road(length="x", geometry=LINE.replace('"100"', '"nan"'))), "'nan', no usable"),
        (document(road(LINE.replace('x="0"', 'x="inf"'))), "'inf', no usable"),
        (document(road(LINE.replace('hdg="0"', 'hdg="1e300"'))), "'1e300', no usable"),
        (document(road(LINE.replace('length="100"', 'length="200000"'))), "100000 m are the most"),
        (document(road(LINE.replace("<line/>", "<loop/>"))), "geometry <loop> is not known"),
        (document(road(LINE.replace("<line/>", '<arc curvature="50"/>'))), "lamp post"),
        (document(road(right=lane(-1, 900.0))), "900 m wide"),
        (document(road(right=lane(-1).replace('"-1"', '"x"'))), "no whole number"),
        (document(road(right="".join(lane(-n) for n in range(1, 200)))), "lanes side by side"),
        (document(road(id="a\n&#10;b", right=lane(-1, 900.0))), "900 m wide"),
        (document(road(), road(LINE.replace('x="0"', 'x="3e6"'), id="2")), "km across"),
        (document(*[road(id=str(n)) for n in range(900)]), "over each other"),
        (
            document(road(profile=f'{UP}<elevation s="0" a="0" b="1e6"/></elevationProfile>')),
            "jumps by",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_so(text: str, message: str) -> None:
    with pytest.raises(EdgeSegError, match=re.escape(message)) as error:
        read_roads(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("module", "bound", "value", "message"),
    [
        (opendrive_check, "MOST_CHARACTERS", 1000, "million characters"),
        (opendrive_check, "MOST_ELEMENTS", 10, "more than 10 elements"),
        (lane_sections, "MOST_METRES", 50.0, "km of lanes"),
        (roads, "MOST_METRES", 250.0, "km of lanes"),
        (roads, "MOST_SECTIONS", 0, "lane sections"),
        (lane_sections, "MOST_MARKS", 0, "road marks"),
    ],
)
def test_gigantic_maps_are_refused(
    monkeypatch: pytest.MonkeyPatch, module: object, bound: str, value: float, message: str
) -> None:
    monkeypatch.setattr(module, bound, value)
    with pytest.raises(EdgeSegError, match=message):
        read_roads(STRAIGHT.format(kind="driving"))


def mutations(seed: int, texts: list[str]) -> Iterable[str]:
    """Yield texts with a few wrong numbers, missing pieces and doubled ones."""
    dice = random.Random(seed)
    numbers = ["nan", "-inf", "1e308", "1e9", "-1", "0", "1e5", "-5", "100", "1e-9"]
    values = [*numbers, "", "abc", "none", "sidewalk", "median", "curb", "grass", "LHT"]
    while True:
        text = dice.choice(texts)
        for _ in range(dice.choice([1, 2, 6])):
            at = dice.randrange(len(text))
            kind = dice.random()
            if kind < 0.7:
                found = re.compile(r'="([^"]*)"').search(text, at)
                if found:
                    value = dice.choice(values)
                    text = text[: found.start(1)] + value + text[found.end(1) :]
            elif kind < 0.8:
                text = text[:at] + text[at + dice.randrange(1, 300) :]
            elif kind < 0.9:
                text = text[:at] + chr(dice.choice([0, 60, 34, 0xD800, 255])) + text[at + 1 :]
            else:
                found = re.compile(r"<(lane|geometry|laneSection) .*?</\1>").search(text, at)
                if found:
                    text = text[: found.end()] + found[0] * 3 + text[found.end() :]
        yield text


def test_mutated_maps_are_read_or_refused_in_one_line() -> None:
    texts = [random_road(Dice(DomainRandomization(), seed), 120.0) for seed in (1, 3, 7, 10)]
    refused: list[str] = []
    for _, text in zip(range(250), mutations(5, [*texts, crossing()]), strict=False):
        try:
            found = read_roads(text)
        except EdgeSegError as error:
            refused.append(str(error))
            continue
        edges = [edge for x in found.lanes for edge in (x.left, x.right)]
        assert all(np.isfinite(edge).all() for edge in edges)
    assert 50 < len(refused) < 240
    assert not any("\n" in message or len(message) > 400 for message in refused)
