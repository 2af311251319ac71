"""Frames and masks: same seed same bytes, labels on the pixels they label, both displays."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.camera.mounts import CameraModel, Pose
from carla_bridge.world.maps.roads import Line, Roads, read_roads
from carla_bridge.world.paint.paint import HEIGHT
from carla_bridge.world.random_roads.road import random_road
from carla_bridge.world.randomization import TERMS, Dice, DomainRandomization
from carla_bridge.world.render import Renderer, render_frames, stand
from carla_bridge.world.scene.display import open_display
from carla_bridge.world.scene.look import sample_look
from carla_bridge.world.scene.scene import open_scene
from carla_bridge.world.tags import CLASS_OF_TAG, Tag
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Mask

DIGEST = """
import hashlib, sys
from carla_bridge.world.render import render_frames
digest = hashlib.sha256()
for name, frame, mask in render_frames(5, seed=11, width=160, height=120):
    digest.update(name.encode() + frame.tobytes() + mask.tobytes())
print(digest.hexdigest())
"""


def digest(display: str = "") -> str:
    environment = {**os.environ, **({"EDGE_SEG_DISPLAY": display} if display else {})}
    command = [sys.executable, "-c", DIGEST]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_same_seed_same_bytes_in_every_process() -> None:
    assert digest() == digest()


def test_frames_and_masks_are_what_they_say() -> None:
    found = list(render_frames(6, seed=3, width=320, height=240))
    assert [name for name, _, _ in found] == [f"0003-{i:05d}" for i in range(6)]
    for _, frame, mask in found:
        assert frame.shape == (240, 320, 3)
        assert frame.dtype == np.uint8
        assert mask.shape == (240, 320)
        assert set(np.unique(mask)) <= {0, 1, 2}
    shares = np.mean([[(m == c).mean() for c in range(3)] for _, _, m in found], axis=0)
    assert 0.1 < shares[1] < 0.7
    assert 0.0005 < shares[2] < 0.1
    frames = np.stack([frame for _, frame, _ in found])
    assert len({frame.tobytes() for frame in frames}) == 6


def test_other_seeds_make_other_roads() -> None:
    first = next(iter(render_frames(1, seed=1, width=64, height=48)))
    second = next(iter(render_frames(1, seed=2, width=64, height=48)))
    assert (first[2] != second[2]).any()


def one_lane(length: float) -> str:
    """Return a straight one-way road along +x, 8 metres wide to the right of y = 0."""
    return (
        '<OpenDRIVE><header revMajor="1" revMinor="4"><geoReference>+lat_0=0 +lon_0=0'
        f'</geoReference></header><road name="" length="{length}" id="1" junction="-1"><planView>'
        f'<geometry s="0" x="0" y="0" hdg="0" length="{length}"><line/></geometry></planView>'
        '<lanes><laneSection s="0"><center><lane id="0" type="none" level="false"/></center><right>'
        '<lane id="-1" type="driving" level="false"><width sOffset="0" a="8" b="0" c="0" d="0"/>'
        "</lane></right></laneSection></lanes></road></OpenDRIVE>"
    )


def bridge() -> str:
    """Return `one_lane` of 200 metres and another, 7 metres higher, across its middle."""
    over = one_lane(200).split("<road ")[1].split("</OpenDRIVE>")[0]
    over = over.replace('id="1" ', 'id="2" ').replace(
        'x="0" y="0" hdg="0"', 'x="96" y="-100" hdg="1.5708"'
    )
    over = over.replace(
        "<lanes>",
        '<elevationProfile><elevation s="0" a="7" b="0" c="0" d="0"/></elevationProfile><lanes>',
    )
    return one_lane(200).replace("</OpenDRIVE>", f"<road {over}</OpenDRIVE>")


BARE = DomainRandomization(**dict.fromkeys(TERMS, 0.0))
MODEL = CameraModel(width=640, height=480, place=Pose(height=1.5, pitch=-8.0))


def bare_shot(line_y: float) -> tuple[np.ndarray, Mask]:
    """Look along +x over a straight road with one solid line ``line_y`` metres to the left."""
    read = read_roads(one_lane(300))
    along = np.arange(0.0, 300.0, 2.0)
    points = np.column_stack([along, np.full_like(along, -4.0 + line_y), np.zeros_like(along)])
    roads = Roads(read.lanes, [Line(points, "Solid", "White", 0.3)])
    place = np.array([20.0, -4.0, 0.0])
    with contextlib.closing(open_scene()) as scene:
        scene.build(roads, place, Dice(BARE, 5))
        scene.light(sample_look(Dice(BARE, 5)))
        camera = scene.camera(MODEL.width, MODEL.height)
        stand(camera, MODEL, place, 0.0, 0.0)
        scene.render([camera])
        return camera.picture(), CLASS_OF_TAG[camera.tags()]


def test_a_bridge_is_no_road_from_below() -> None:
    roads = read_roads(bridge())
    place = np.array([100.0, -4.0, 0.0])
    with contextlib.closing(open_scene()) as scene:
        scene.build(roads, place, Dice(BARE, 5))
        scene.light(sample_look(Dice(BARE, 5)))
        camera = scene.camera(160, 120)
        for heading in (0.0, 90.0, 180.0, 270.0):
            eye = place + np.array([0.0, 0.0, 1.5])
            camera.place(eye, heading=heading, pitch=60.0, roll=0.0, field=90.0)
            scene.render([camera])
            tags = camera.tags()
            assert (tags == Tag.BRIDGE).mean() > 0.2
            assert not CLASS_OF_TAG[tags].any()


def test_marking_lies_where_the_camera_equations_put_it() -> None:
    line_y = 1.5
    _, mask = bare_shot(line_y)
    focal = MODEL.width / 2.0 / np.tan(np.radians(MODEL.field / 2.0))
    pitch = np.radians(-MODEL.place.pitch)
    above = MODEL.place.height - HEIGHT
    for row in (300, 340, 400):
        slope = (row + 0.5 - MODEL.height / 2.0) / focal  # pixel centres lie at one half
        x = above * (np.cos(pitch) - slope * np.sin(pitch))
        x /= slope * np.cos(pitch) + np.sin(pitch)
        depth = x * np.cos(pitch) + above * np.sin(pitch)
        column = MODEL.width / 2.0 - focal * line_y / depth - 0.5
        marked = np.flatnonzero(mask[row] == 2)
        assert abs(marked.mean() - column) < 0.6
        assert abs(marked.size - focal * 0.3 / depth) < 1.1


def test_paint_in_frame_and_mask_coincide() -> None:
    if not open_display().shaders:
        pytest.skip("without shaders the frame has no such look to test")
    frame, mask = bare_shot(1.0)
    on_road = mask > 0
    bright = (frame.min(axis=2) > np.median(frame[mask == 1]) + 60) & on_road
    marked = mask == 2
    grow = np.ones((3, 3), np.uint8)
    near_mark = cv2.dilate(marked.astype(np.uint8), grow) > 0
    near_bright = cv2.dilate(bright.astype(np.uint8), grow) > 0
    assert marked.sum() > 1000
    assert (bright & ~near_mark).sum() < 0.01 * bright.sum()
    assert (marked & ~near_bright).sum() < 0.1 * marked.sum()


def test_a_scene_does_not_depend_on_what_was_drawn_before() -> None:
    sizes = [(160, 120), (160, 90), (160, 48)]
    with contextlib.closing(Renderer(4, sizes=sizes, frames_per_scene=3)) as renderer:
        in_order = [renderer.scene(number) for number in range(3)]
        again = renderer.scene(1)
    with contextlib.closing(Renderer(4, sizes=sizes, frames_per_scene=3)) as renderer:
        alone = renderer.scene(1)
    for first, second, third in zip(in_order[1], again, alone, strict=True):
        assert first.id == second.id == third.id
        assert (first.frame == second.frame).all()
        assert (first.frame == third.frame).all()
        assert (first.mask == third.mask).all()
    shots = [shot for scene in in_order for shot in scene]
    assert {shot.mask.shape[::-1] for shot in shots} <= set(sizes)
    assert len({shot.mask.shape for shot in shots}) > 1
    assert len({shot.id for shot in shots}) == 9


def test_a_term_of_the_camera_leaves_the_world_as_it_was() -> None:
    """Noise, blur and tone change no label; neither do light and weather."""
    off = DomainRandomization(
        noise=0.0, jpeg=0.0, motion_blur=0.0, exposure=0.0, white_balance=0.0, dirt=0.0,
        rain=0.0, night=0.0, fog=0.0, sky=0.0, shadows=0.0, puddles=0.0, cracks=0.0,
    )  # fmt: skip
    full = [shot.mask for shot in render_frames(8, seed=2, width=160, height=120)]
    bare = [shot.mask for shot in render_frames(8, seed=2, width=160, height=120, terms=off)]
    for first, second in zip(full, bare, strict=True):
        assert (first == second).all()


def test_the_plain_display_draws_the_same_classes(tmp_path: Path) -> None:
    script = (
        "import numpy as np, sys\n"
        "from carla_bridge.world.render import render_frames\n"
        "masks = [m for _, _, m in render_frames(4, seed=5, width=160, height=120)]\n"
        "np.save(sys.argv[1], np.stack(masks))\n"
    )
    masks = {}
    for name in ("p3tinydisplay", "p3headlessgl"):
        if name == "p3headlessgl" and not open_display().shaders:
            pytest.skip("no EGL here to compare with")
        path = tmp_path / f"{name}.npy"
        subprocess.run(
            [sys.executable, "-c", script, str(path)],
            env={**os.environ, "EDGE_SEG_DISPLAY": name},
            check=True,
            capture_output=True,
            timeout=120,
        )
        masks[name] = np.load(path)
    plain, rich = masks.values()
    assert (plain == rich).mean() > 0.97


def test_a_user_map_renders() -> None:
    text = random_road(Dice(DomainRandomization(), 8))
    (name, _, mask), *_ = render_frames(1, seed=0, width=160, height=120, maps=[text])
    assert name == "0000-00000"
    assert (mask == 1).mean() > 0.04


def test_a_carla_town_renders() -> None:
    data = Path(os.environ.get("EDGE_SEG_ROAD_DATA", "../shared/data/road"))
    town = data / "permissive/xodr/Town01.xodr"
    if not town.exists():
        pytest.skip(f"{town} is not there (EDGE_SEG_ROAD_DATA names the folder)")
    shares = [
        (mask == 1).mean()
        for _, _, mask in render_frames(3, seed=2, width=160, height=120, maps=[town.read_text()])
    ]
    assert max(shares) > 0.1


@pytest.mark.parametrize(("width", "height"), [(0, 480), (640, -1), (100_000, 10)])
def test_sizes_that_cannot_be(width: int, height: int) -> None:
    with pytest.raises(EdgeSegError, match="cannot be rendered"):
        next(render_frames(1, seed=0, width=width, height=height))


@pytest.mark.parametrize(("length", "seed"), [(110, 39), (115, 39), (119, 161)])
def test_a_camera_stands_where_the_anchor_is_far_from_every_place(length: int, seed: int) -> None:
    # These seeds anchor the scene at the lane's far end; cameras stay 70 m from it.
    (_, _, mask), *_ = render_frames(1, seed, 96, 64, maps=[one_lane(length)])
    assert (mask == 1).mean() > 0.04
