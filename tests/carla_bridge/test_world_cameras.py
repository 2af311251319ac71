"""Cameras of one scene: depth against geometry, ids, labels on the pixels they label."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.meshes import Mesh, boxes, make, strip
from carla_bridge.world.randomization import TERMS, Dice, DomainRandomization
from carla_bridge.world.scene.display import open_display
from carla_bridge.world.scene.look import Look, sample_look
from carla_bridge.world.scene.scene import Scene
from carla_bridge.world.tags import Tag
from edge_seg.errors import EdgeSegError

pytestmark = pytest.mark.skipif(
    not open_display().shaders, reason="needs OpenGL (Mesa's EGL): the plain display has no depth"
)

NEUTRAL = DomainRandomization(**dict.fromkeys(TERMS, 0.0))
EYE = (0.0, 0.0, 1.5)


def neutral_look(*switches: str) -> Look:
    return replace(sample_look(Dice(NEUTRAL, 0)), switches=frozenset(switches))


def flat_road() -> Mesh:
    """A road along x, 8 m wide, at height 0, in strips of 1 m."""
    x = np.arange(-20.0, 200.0)
    left = np.stack([x, np.full_like(x, 4.0), np.zeros_like(x)], 1)
    across = np.stack([np.full_like(x, -1.0), x, np.zeros_like(x)], 1)
    return strip(left, left - [0.0, 8.0, 0.0], uvw=(across, across * [-1, 1, 1]), tag=Tag.ROAD)


def stroke(y: float, half_width: float, start: float = 2.0, end: float = 190.0) -> Mesh:
    """A line of paint along x; sideways is to the right, -y."""
    places = [[start, y + half_width, 0.012], [start, y - half_width, 0.012],
              [end, y - half_width, 0.012], [end, y + half_width, 0.012]]  # fmt: skip
    return make(
        places,
        [[0, 1, 2], [0, 2, 3]],
        normal=(0, -1, 0),
        uvw=[[-1, start, 1], [1, start, 1], [1, end, 1], [-1, end, 1]],
        tag=Tag.ROAD_LINE,
        instance=half_width,
    )


@pytest.fixture
def scene() -> Iterator[Scene]:
    with closing(Scene(open_display())) as made:
        yield made


def look_along(camera: Any, **changes: float) -> None:
    pose = {"heading": 0.0, "pitch": 0.0, "roll": 0.0, "field": 90.0, **changes}
    camera.place(EYE, **pose)


def test_depth_is_the_distance_along_the_axis(scene: Scene) -> None:
    wall = boxes([[20.0, 0.0, 1.5]], [[2.0, 8.0, 3.0]], [0.0], [200, 0, 0], tag=Tag.WALL)
    scene.fill({"asphalt": flat_road(), "solid": wall}, EYE)
    scene.light(neutral_look())
    camera = scene.camera(200, 200, depth=True)
    look_along(camera)
    scene.render([camera])
    depth, tags = camera.depth(), camera.tags()
    assert depth.dtype == np.float32
    # The wall's front is 19 m away, all over: depth is along the axis, not along the ray.
    assert tags[100, 100] == Tag.WALL
    assert depth[tags == Tag.WALL] == pytest.approx(19.0, abs=0.02)
    # A field of 90 degrees: row r of 200 looks down by (r + 0.5 - 100) / 100 per metre.
    for row in (130, 150, 190):
        assert tags[row, 100] == Tag.ROAD
        assert depth[row, 100] == pytest.approx(1.5 * 100 / (row + 0.5 - 100), rel=0.01)
    assert depth[10, 100] > 1000.0
    assert tags[10, 100] == Tag.SKY


def test_instances_come_back_as_they_went_in(scene: Scene) -> None:
    ids = np.array([1, 255, 256, 40_000])
    places = np.array([[20.0, y, 1.5] for y in (9.0, 3.0, -3.0, -9.0)])
    things = boxes(places, np.full((4, 3), 2.0), np.zeros(4), [90, 90, 90], tag=Tag.CAR,
                   instance=ids)  # fmt: skip
    scene.fill({"solid": things}, EYE)
    scene.light(neutral_look())
    camera = scene.camera(200, 200)
    look_along(camera)
    scene.render([camera])
    tags, instances = camera.tags(), camera.instances()
    assert instances.dtype == np.uint16
    assert sorted(np.unique(instances[tags == Tag.CAR])) == sorted(ids)
    assert (instances[tags == Tag.SKY] == 0).all()
    columns = [np.flatnonzero((instances == id).any(axis=0)).mean() for id in ids]
    assert columns == sorted(columns)  # the first box stands to the left


@pytest.mark.parametrize("half_width", [0.06, 0.15])
def test_paint_and_its_label_coincide_within_a_pixel(scene: Scene, half_width: float) -> None:
    scene.fill({"asphalt": flat_road(), "marking": stroke(-1.0, half_width)}, EYE)
    scene.light(neutral_look())
    camera = scene.camera(400, 300)
    look_along(camera, pitch=-12.0, field=70.0)
    scene.render([camera])
    bright = camera.picture()[:, :, 1].astype(int)
    labelled = camera.tags() == Tag.ROAD_LINE
    for row in range(160, 280, 10):
        where = np.flatnonzero(labelled[row])
        road = np.median(bright[row][camera.tags()[row] == Tag.ROAD])
        painted = np.flatnonzero(bright[row] > road + 0.5 * (bright[row].max() - road))
        assert len(where) > 0
        assert abs(where[0] - painted[0]) <= 1
        assert abs(where[-1] - painted[-1]) <= 1


def test_a_far_line_fades_instead_of_breaking_up(scene: Scene) -> None:
    scene.fill({"asphalt": flat_road(), "marking": stroke(-1.0, 0.05)}, EYE)
    scene.light(neutral_look())
    camera = scene.camera(400, 300)
    look_along(camera, field=60.0)
    scene.render([camera])
    green = camera.picture()[:, :, 1].astype(int)
    rows = range(162, 290)  # from 90 m to 4 m ahead
    peaks = [green[row, 200:].max() - np.median(green[row, 190:210]) for row in rows]
    assert min(peaks) > 8
    near, far = np.mean(peaks[-20:]), np.mean(peaks[:10])
    assert far < near


def test_several_cameras_see_one_world(scene: Scene) -> None:
    wall = boxes([[20.0, 0.0, 1.5]], [[2.0, 8.0, 3.0]], [0.0], [200, 0, 0], tag=Tag.WALL)
    scene.fill({"asphalt": flat_road(), "solid": wall}, EYE)
    scene.light(neutral_look())
    front, back, small = scene.camera(160, 120), scene.camera(160, 120), scene.camera(80, 60)
    look_along(front)
    look_along(back, heading=180.0)
    look_along(small)
    scene.render([front, back, small])
    together = front.picture(), small.tags()
    assert (front.tags() == Tag.WALL).any()
    assert not (back.tags() == Tag.WALL).any()
    scene.render([front])
    assert (front.picture() == together[0]).all()
    half = front.tags()[::2, ::2]
    assert (half == together[1]).mean() > 0.97


def test_no_switch_changes_a_label(scene: Scene) -> None:
    wall = boxes([[20.0, 3.0, 1.5]], [[2.0, 4.0, 3.0]], [0.0], [200, 0, 0], tag=Tag.WALL)
    meshes = {"asphalt": flat_road(), "marking": stroke(-1.0, 0.1), "solid": wall}
    scene.fill(meshes, EYE)
    camera = scene.camera(160, 120)
    look_along(camera)
    labels, pictures = set(), set()
    for count in range(4):
        for switches in itertools.combinations(("NIGHT", "WET", "DAPPLE"), count):
            look = neutral_look(*switches)
            look.inputs.update(beamLight=(60.0, 60.0, 60.0), wet=(1.0, 0.5), air=(3e-4, 0.7, 0.9))
            scene.light(look)
            scene.render([camera])
            labels.add(camera.tags().tobytes())
            pictures.add(camera.picture().tobytes())
    assert len(labels) == 1
    assert len(pictures) == 8


def test_things_throw_shadows_away_from_the_sun(scene: Scene) -> None:
    look = neutral_look()
    look.inputs["shadowStrength"] = (1.0,)
    look = replace(look, sun=np.array([0.0, 0.6, 0.8]))  # from the left: shadows to the right
    look.inputs["sun"] = (0.0, 0.6, 0.8)
    box = boxes([[12.0, 0.0, 1.0]], [[2.0, 1.0, 2.0]], [0.0], [200, 0, 0], tag=Tag.CAR)
    camera = scene.camera(200, 200)
    look_along(camera, pitch=-5.0)
    pictures = []
    for meshes in ({"asphalt": flat_road()}, {"asphalt": flat_road(), "solid": box}):
        scene.fill(meshes, EYE)
        scene.light(look)
        scene.render([camera])
        pictures.append(camera.picture().astype(int).sum(axis=2))
    road = camera.tags() == Tag.ROAD
    darker = road & (pictures[1] < pictures[0] - 60)
    columns = np.flatnonzero(darker.any(axis=0))
    assert len(columns) > 3
    assert columns.mean() > 103  # right of the box's middle
    # Height 2 m and a sun of 0.6 in 0.8: the shadow's far edge is 1.5 m right of the box.
    assert columns.max() <= 100 + 100 * 2.2 / 11.0


def test_a_wet_road_mirrors_what_stands_on_it(scene: Scene) -> None:
    look = neutral_look("WET")
    look.inputs["wet"] = (1.0, 1.0)
    look.inputs["shadowStrength"] = (0.0,)
    red = boxes([[25.0, 0.0, 2.0]], [[2.0, 3.0, 4.0]], [0.0], [255, 0, 0], tag=Tag.TRUCK)
    scene.fill({"asphalt": flat_road(), "solid": red}, EYE)
    scene.light(look)
    camera = scene.camera(200, 200)
    look_along(camera, pitch=-4.0, field=60.0)
    scene.render([camera])
    picture, road = camera.picture().astype(int), camera.tags() == Tag.ROAD
    redness = picture[:, :, 2] - picture[:, :, 0]
    under, beside = redness[:, 90:110][road[:, 90:110]], redness[:, 20:60][road[:, 20:60]]
    assert np.percentile(under, 90) > np.percentile(beside, 99) + 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"field": 0.0}, "field"), ({"heading": np.nan}, "finite"), ({"field": 175.0}, "1..170")],
)
def test_what_is_no_place_is_refused(scene: Scene, changes: dict[str, float], said: str) -> None:
    camera = scene.camera(64, 48)
    with pytest.raises(EdgeSegError, match=said):
        look_along(camera, **changes)


@pytest.mark.parametrize(("width", "height"), [(0, 100), (15, 100), (100, 4097), (-1, 100)])
def test_sizes_that_cannot_be(scene: Scene, width: int, height: int) -> None:
    with pytest.raises(EdgeSegError, match="16 to 4096"):
        scene.camera(width, height)


def test_what_was_not_asked_for_cannot_be_read(scene: Scene) -> None:
    camera = scene.camera(64, 48, labels=False)
    with pytest.raises(EdgeSegError, match="without that output"):
        camera.tags()
    with pytest.raises(EdgeSegError, match="not been rendered"):
        camera.picture()
