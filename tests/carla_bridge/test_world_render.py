"""Frames and masks: same seed same bytes, labels on the pixels they label, both displays."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.display import open_display
from carla_bridge.world.look import Pose, sample_look
from carla_bridge.world.opendrive import random_road
from carla_bridge.world.paint import HEIGHT
from carla_bridge.world.render import render_frames
from carla_bridge.world.roads import Line, Roads, read_roads
from carla_bridge.world.scene import Stage
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


POSE = Pose(aside=0.0, height=1.5, yaw=0.0, pitch=-8.0, roll=0.0, field=60.0)


def bare_shot(line_y: float, width: int, height: int) -> tuple[np.ndarray, Mask]:
    """Look along +x over a straight road with one solid line ``line_y`` metres to the left."""
    read = read_roads(one_lane(300))
    along = np.arange(0.0, 300.0, 2.0)
    points = np.column_stack([along, np.full_like(along, -4.0 + line_y), np.zeros_like(along)])
    roads = Roads(read.lanes, [Line(points, "Solid", "White", 0.3)])
    look = sample_look(np.random.default_rng(0))
    plain = {"grain": (0.0,) * 4, "wear": (0.0,) * 4, "glare": (0.0,), "dirt": (0.0,),
             "asphalt": (0.03,) * 3, "shadowStrength": (0.0,), "skyLight": (1.0,) * 3,
             "sunLight": (0.0,) * 3, "camera": (1.0, 0.45, 0.0, 0.0),
             "whiteBalance": (1.0,) * 3}  # fmt: skip
    look = dataclasses.replace(look, inputs={**look.inputs, **plain})
    place = np.array([20.0, -4.0, 0.0])
    with contextlib.closing(Stage(open_display(), width, height)) as stage:
        # A seed whose roadside is empty enough and whose paint is young.
        stage.build(roads, place, np.random.default_rng(5))
        return stage.shoot(place, 0.0, 0.0, POSE, look)


def test_marking_lies_where_the_camera_equations_put_it() -> None:
    width, height, line_y = 640, 480, 1.5
    _, mask = bare_shot(line_y, width, height)
    focal = width / 2.0 / np.tan(np.radians(POSE.field / 2.0))
    pitch = np.radians(-POSE.pitch)
    above = POSE.height - HEIGHT
    for row in (300, 340, 400):
        slope = (row + 0.5 - height / 2.0) / focal  # pixel centres lie at one half
        x = above * (np.cos(pitch) - slope * np.sin(pitch))
        x /= slope * np.cos(pitch) + np.sin(pitch)
        depth = x * np.cos(pitch) + above * np.sin(pitch)
        column = width / 2.0 - focal * line_y / depth - 0.5
        marked = np.flatnonzero(mask[row] == 2)
        assert abs(marked.mean() - column) < 0.6
        assert abs(marked.size - focal * 0.3 / depth) < 1.1


def test_paint_in_frame_and_mask_coincide() -> None:
    if not open_display().shaders:
        pytest.skip("without shaders the frame has no such look to test")
    frame, mask = bare_shot(1.0, 640, 480)
    on_road = mask > 0
    bright = (frame.min(axis=2) > 120) & on_road
    marked = mask == 2
    grow = np.ones((3, 3), np.uint8)
    near_mark = cv2.dilate(marked.astype(np.uint8), grow) > 0
    near_bright = cv2.dilate(bright.astype(np.uint8), grow) > 0
    assert marked.sum() > 1000
    assert (bright & ~near_mark).sum() < 0.01 * bright.sum()
    assert (marked & ~near_bright).sum() < 0.1 * marked.sum()


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
    text = random_road(np.random.default_rng(8))
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
