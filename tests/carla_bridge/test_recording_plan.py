"""What will be recorded: places by bend, a balanced plan, cars that stand apart; no server."""

from __future__ import annotations

import functools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip("carla", reason="needs the extra carla")

import carla

from carla_bridge.client.weathers import GRID, find, light
from carla_bridge.recording.places import (
    BENDS,
    Bend,
    Place,
    Pose,
    bend_of,
    find_places,
    pose_of,
    turn_deg,
)
from carla_bridge.recording.plan import (
    MOST_ASIDE_M,
    Request,
    ahead_of,
    beside,
    draw_shot,
    slots,
    weather_cycle,
)
from carla_bridge.recording.staging import APART_M, stage, underground
from carla_bridge.world.random_roads.road import random_road
from carla_bridge.world.randomization import Dice, DomainRandomization

ROAD = """<OpenDRIVE><header revMajor="1" revMinor="4" name="arc"/>
<road id="1" junction="-1" length="{length}"><planView>
<geometry s="0" x="0" y="0" hdg="0" length="{length}">{shape}</geometry></planView>
<lanes><laneSection s="0">
<left><lane id="1" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/>
<roadMark sOffset="0" type="solid" weight="standard" color="white" width="0.12"/></lane></left>
<center><lane id="0" type="none" level="false">
<roadMark sOffset="0" type="broken" weight="standard" color="white" width="0.12"/></lane></center>
<right><lane id="-1" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/>
<roadMark sOffset="0" type="solid" weight="standard" color="white" width="0.12"/></lane></right>
</laneSection></lanes></road></OpenDRIVE>"""


def arc(radius_m: float) -> Any:
    shape = "<line/>" if math.isinf(radius_m) else f'<arc curvature="{1.0 / radius_m}"/>'
    return carla.Map("arc", ROAD.format(length=150.0, shape=shape))


@functools.cache
def town() -> dict[Bend, list[Place]]:
    """Return the places of the first random road that has all kinds."""
    for seed in range(40):
        text = random_road(Dice(DomainRandomization(), seed))
        places = find_places(carla.Map("road", text))
        if len(places) >= 3 and "junction" in places:
            return places
    raise AssertionError("no random road with a junction and bends")


@pytest.mark.parametrize(
    ("radius_m", "bend"),
    [(math.inf, "straight"), (2000, "straight"), (200, "bend"), (-90, "bend"), (40, "sharp")],
)
def test_places_are_sorted_by_the_bend_ahead(radius_m: float, bend: str) -> None:
    places = find_places(arc(radius_m))
    assert list(places) == [bend]
    # Both lanes, every 5 m, but for the last 30 m of each, where the road ends.
    assert 2 * (150 - 30) / 5 - 2 <= len(places[bend]) <= 2 * (150 - 30) / 5 + 2


def test_places_come_in_one_order() -> None:
    first, again = find_places(arc(100)), find_places(arc(100))
    assert [p.pose for p in first["bend"]] == [p.pose for p in again["bend"]]


def test_the_bend_is_that_of_the_sharpest_part() -> None:
    # 10 m apart: 1.2 degrees are a radius of 477 m, 9.6 degrees one of 59.7 m.
    assert bend_of([0.0, 1.1, 2.2]) == "straight"
    assert bend_of([0.0, 0.0, 1.2]) == "bend"
    assert bend_of([0.0, 1.2, 1.2 + 9.6]) == "sharp"
    assert turn_deg(350.0, 10.0) == 20.0
    assert turn_deg(10.0, 350.0) == -20.0


def test_junctions_are_seen_ahead_of_time() -> None:
    places = town()["junction"]
    ahead = [place for place in places if not place.waypoint.is_junction]
    assert ahead
    assert all(place.waypoint.next(20.0) for place in ahead)


def spread(values: Any) -> int:
    """Return how much more often the most frequent value comes than the rarest."""
    counts = Counter(values).values()
    return max(counts) - min(counts)


def bends_of_town() -> dict[str, tuple[Bend, ...]]:
    return {"": tuple(town())}


def test_any_first_part_of_the_plan_is_balanced() -> None:
    bends = {"Ring": BENDS, "Town": BENDS}
    request = Request(frames=480, maps=tuple(bends), seed=3)
    for frames in (60, 121, 480):
        plan = slots(request, bends)[:frames]
        assert spread(slot.map for slot in plan) <= 1
        assert spread(slot.bend for slot in plan) <= 1
        for map in bends:
            lights = [light(find(slot.weather)) for slot in plan if slot.map == map]
            assert len(set(lights)) == 3 and spread(lights) <= 1
        for bend in BENDS:
            lights = [light(find(slot.weather)) for slot in plan if slot.bend == bend]
            assert len(set(lights)) == 3 and spread(lights) <= 1 + frames // 60


def test_maps_that_have_all_bends_make_up_for_one_that_has_not() -> None:
    bends = {"Straight": BENDS[:1], "SCurve": BENDS[:3], "Ring": BENDS[:2], "Town": BENDS}
    plan = slots(Request(frames=400, maps=tuple(bends)), bends)
    assert all(slot.bend in bends[slot.map] for slot in plan)
    assert spread(slot.bend for slot in plan) <= 10
    assert spread(slot.map for slot in plan) == 0


def test_a_short_plan_sees_many_weathers() -> None:
    bends = dict.fromkeys(("A", "B", "C", "D"), BENDS)
    plan = slots(Request(frames=15, maps=tuple(bends)), bends)
    assert len({slot.weather for slot in plan}) >= 14


def test_each_weather_meets_each_bend() -> None:
    plan = slots(Request(frames=len(GRID) * len(BENDS) * 2), {"": BENDS})
    pairs = Counter((slot.weather, slot.bend) for slot in plan)
    assert len(pairs) == len(GRID) * len(BENDS)
    assert set(pairs.values()) <= {1, 2, 3}


def test_lights_take_turns_whatever_is_asked_for() -> None:
    names = ["clear-noon", "cloudy-noon", "rain-noon", "night"]
    cycle = weather_cycle(names, seed=1)
    assert len(cycle) == 6
    assert cycle[1::2] == ["night"] * 3
    assert sorted(cycle[::2]) == sorted(names[:3])


def test_the_plan_is_the_seeds() -> None:
    places = town()
    plans = [
        [draw_shot(request, slot, places, attempt=0) for slot in slots(request, bends_of_town())]
        for request in (Request(frames=20, seed=seed) for seed in (5, 5, 6))
    ]
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


def test_another_attempt_is_another_place_of_the_same_bend() -> None:
    request = Request(frames=8)
    for slot in slots(request, bends_of_town()):
        shots = [draw_shot(request, slot, town(), attempt) for attempt in range(4)]
        assert all(shot.place in town()[slot.bend] for shot in shots)
        assert len({shot.car for shot in shots}) == 4


def test_a_shot_is_a_camera_on_a_car_in_a_lane() -> None:
    request = Request(frames=60, camera_height_m=1.6, camera_pitch_deg=-4.0, traffic=0)
    pitches = []
    for slot in slots(request, bends_of_town()):
        shot = draw_shot(request, slot, town(), attempt=0)
        lane = shot.place.pose
        assert math.dist(shot.car[:2], lane[:2]) <= MOST_ASIDE_M + 1e-9
        assert abs(turn_deg(lane.yaw, shot.car.yaw)) < 15.0
        assert math.dist(shot.camera[:3], shot.car[:3]) == pytest.approx(
            math.hypot(request.camera_forward_m, 1.6), abs=0.2
        )
        assert shot.around == ()
        assert shot.lights_on == ("night" in slot.weather or "rain" in slot.weather)
        pitches.append(shot.camera.pitch - shot.car.pitch)
    assert np.mean(pitches) == pytest.approx(-4.0, abs=0.5)
    assert 0.5 < np.std(pitches) < 1.5


def test_poses_are_moved_as_carla_does() -> None:
    pose = Pose(3.0, -2.0, 1.0, pitch=20.0, yaw=130.0, roll=0.0)
    transform = carla.Transform(
        carla.Location(3.0, -2.0, 1.0), carla.Rotation(pitch=20.0, yaw=130.0)
    )
    there = transform.transform(carla.Location(x=2.0, z=1.5))
    assert ahead_of(pose, 2.0, 1.5)[:3] == pytest.approx((there.x, there.y, there.z), abs=1e-4)
    level = carla.Transform(transform.location, carla.Rotation(yaw=130.0))
    aside = level.transform(carla.Location(y=0.7))
    assert beside(pose, 0.7)[:3] == pytest.approx((aside.x, aside.y, aside.z), abs=1e-4)


def test_cars_around_stand_on_lanes_and_apart() -> None:
    road = arc(math.inf)
    here = road.get_waypoint(carla.Location(40.0, 1.75, 0.0))
    place = Place(pose_of(here.transform), here)
    seen = Counter[float]()
    for seed in range(20):
        poses = stage(place, 5, np.random.default_rng(seed))
        assert 3 <= len(poses) <= 5
        everybody = [place.pose, *poses]
        for k, pose in enumerate(everybody):
            assert all(math.dist(pose[:3], other[:3]) >= APART_M for other in everybody[:k])
            lane = road.get_waypoint(carla.Location(*pose[:3]))
            assert math.dist(pose_of(lane.transform)[:3], pose[:3]) < 0.01
            # They look where their lane leads: ours to x, the other one back.
            assert turn_deg(pose.yaw, 0.0 if pose.y > 0 else 180.0) == pytest.approx(0.0, abs=0.1)
            assert -20.0 < pose.x - place.pose.x < 75.0
            seen[pose.y > 0] += 1
        own_lane = [p.x - place.pose.x for p in poses if p.y > 0]
        assert min(own_lane, default=99.0) >= 11.0
    assert len(seen) == 2


def test_who_waits_is_out_of_sight_and_apart() -> None:
    here = Pose(0.0, 0.0, 5.0, 0.0, 0.0, 0.0)
    waiting = [underground(here, index) for index in range(3)]
    assert all(pose.z < -100.0 for pose in waiting)
    assert math.dist(waiting[0][:3], waiting[1][:3]) > APART_M
