"""``edge-seg frames render``: the frame set it writes, and what it says of a user's mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.random_roads.road import random_road
from carla_bridge.world.randomization import Dice, DomainRandomization, parse_terms
from carla_bridge.world.render import Renderer, render_frames
from carla_bridge.world.scene.display import open_display
from edge_seg.frames import FrameSet


def render(
    folder: Path, *arguments: str | Path, display: str = ""
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_seg.cli", "frames", "render", folder, "--frames=3"]
    return subprocess.run(
        [*map(str, command), "--seed=6", "--width=96", "--height=64", *map(str, arguments)],
        env={**os.environ, **({"EDGE_SEG_DISPLAY": display} if display else {})},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_writes_what_the_world_draws(tmp_path: Path) -> None:
    done = render(tmp_path / "made", "--json")
    assert done.returncode == 0, done.stderr
    frames = FrameSet.open(tmp_path / "made")
    frames.verify()
    assert json.loads(done.stdout) == json.loads(json.dumps(frames.describe()))
    assert frames.name == "made"
    assert frames.licence == "Apache-2.0"
    expected = list(render_frames(3, seed=6, width=96, height=64))
    assert [entry.id for entry in frames.entries] == [id for id, _, _ in expected]
    for found, (_, _, mask) in zip(frames, expected, strict=True):
        assert found.mask is not None
        assert (found.mask == mask).all()


def test_the_set_says_who_drew_it(tmp_path: Path) -> None:
    assert render(tmp_path / "made", "--name=mine").returncode == 0
    made = FrameSet.open(tmp_path / "made")
    assert made.name == "mine"
    assert made.source == (
        f"rendered by carla_bridge.world: random roads, seed 6, 4 a scene, {open_display()}"
    )


def test_roads_come_from_a_map(tmp_path: Path) -> None:
    town = tmp_path / "town.xodr"
    town.write_text(random_road(Dice(DomainRandomization(), 8)))
    done = render(tmp_path / "made", "--map", town, "--quality=50")
    assert done.returncode == 0, done.stderr
    assert FrameSet.open(tmp_path / "made").source.startswith(
        "rendered by carla_bridge.world: town.xodr, seed 6, 4 a scene, "
    )


def test_a_scene_may_give_one_frame_and_the_source_says_what_was_asked_for(tmp_path: Path) -> None:
    done = render(tmp_path / "made", "--frames-per-scene=1", "--term=night=0", "--term=rain=2")
    assert done.returncode == 0, done.stderr
    frames = FrameSet.open(tmp_path / "made")
    assert "seed 6, 1 a scene, night=0, rain=2, p3" in frames.source
    terms = parse_terms(["night=0", "rain=2"])
    with closing(Renderer(6, terms, sizes=((96, 64),), frames_per_scene=1)) as renderer:
        for index in range(len(frames)):
            (shot,) = renderer.scene(index)
            np.testing.assert_array_equal(frames.mask(index), shot.mask)


@pytest.mark.parametrize(
    ("arguments", "display", "message"),
    [
        ((), "p3tinydisply", "did you mean 'p3tinydisplay'"),
        (("--map=gone.xodr",), "", "gone.xodr"),
        (("--map=.",), "", "cannot read the map .: Is a directory; give a .xodr file"),
        (("--seed=-1",), "", "must not be negative"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], display: str, message: str
) -> None:
    done = render(tmp_path / "made", *arguments, display=display)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "edge_seg.cli", "frames", "render", tmp_path / "made"]
    options = ["--frames=9999", "--width=96", "--height=64"]
    begun = time.monotonic()
    with subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL) as running:
        while not list(tmp_path.glob(".*/frames/*")) and running.poll() is None:
            assert time.monotonic() - begun < 120
            time.sleep(0.1)
        running.send_signal(number)
        assert running.wait(60) == (-number if number == signal.SIGTERM else 130)
    assert list(tmp_path.iterdir()) == []
