"""A simulated car's camera as a source of frames: the real `carla` client, the built-in world."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from live_world import connect

from carla_bridge.camera import source as sources
from carla_bridge.camera.source import SimulatedCamera, open_carla, open_world
from carla_bridge.world.server.start import WorldProcess
from edge_seg.errors import EdgeSegError
from edge_seg.frames.sources import open_source

SMALL = "size=160x120&fps=20"
STEP_M = 30.0 / 3.6 / 20.0


def worlds() -> list[int]:
    """Return the worlds that this process has started and that run."""
    children = psutil.Process().children()
    return [child.pid for child in children if "carla_bridge.world" in child.cmdline()]


@pytest.fixture(scope="module")
def server() -> Iterator[WorldProcess]:
    with WorldProcess("Ring") as process:
        yield process


def address(server: WorldProcess) -> str:
    return f"{server.host}:{server.port}"


def test_the_world_gives_frames_and_ends_with_them() -> None:
    source = open_source(f"world:Straight?{SMALL}")
    assert isinstance(source, SimulatedCamera)
    assert (source.name, source.count, source.fps, source.is_stream) == (
        "world-Straight",
        None,
        20.0,
        True,
    )
    before = worlds()
    frames = iter(source)
    with closing(frames):
        shown = list(islice(frames, 3))
        assert len(worlds()) == len(before) + 1
    assert worlds() == before
    assert [name for name, _ in shown] == [f"world-Straight-{i:06d}" for i in range(3)]
    pictures = [frame for _, frame in shown]
    assert {(p.shape, p.dtype) for p in pictures} == {((120, 160, 3), np.dtype(np.uint8))}
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])


def test_the_car_goes_along_its_lane_at_its_speed(server: WorldProcess) -> None:
    world = connect(server).get_world()
    frames = iter(open_carla(f"{address(server)}?{SMALL}&seed=4"))
    places = []
    for _ in islice(frames, 30):
        (car,) = world.get_actors().filter("vehicle.*")
        places.append(car.get_transform())
        lane = world.get_map().get_waypoint(places[-1].location).transform
        assert lane.location.distance(places[-1].location) < 0.1
    steps = [a.location.distance(b.location) for a, b in pairwise(places)]
    assert steps == pytest.approx([STEP_M] * 29, abs=0.02)
    frames.close()
    world.wait_for_tick()
    assert not world.get_actors().filter("vehicle.*")
    assert not world.get_settings().synchronous_mode


def test_a_map_and_a_weather_may_be_asked_of_a_server(server: WorldProcess) -> None:
    frames = iter(open_carla(f"{address(server)}?{SMALL}&map=Straight&weather=night"))
    with closing(frames):
        _, dark = next(frames)
        assert connect(server).get_world().get_map().name.endswith("Straight")
    with closing(iter(open_carla(f"{address(server)}?{SMALL}"))) as frames:
        _, light = next(frames)
    assert dark.mean() < light.mean() / 2


def test_where_a_lane_ends_another_ride_begins(server: WorldProcess) -> None:
    fast = "size=32x24&fps=10&speed=130&map=Straight&seed=1"  # begins near the end
    frames = iter(open_carla(f"{address(server)}?{fast}"))
    with closing(frames):
        next(frames)
        world = connect(server).get_world()
        next(frames)  # with it, that client hears of the actors
        (car,) = world.get_actors().filter("vehicle.*")
        places = [car.get_location() for _ in islice(frames, 60)]
    steps = [a.distance(b) for a, b in pairwise(places)]
    assert max(steps) > 20.0
    assert np.median(steps) == pytest.approx(130 / 3.6 / 10, abs=0.01)


def test_a_world_that_dies_is_a_camera_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "TIMEOUT_S", 2.0)
    source = open_world(f"Straight?{SMALL}")
    before = worlds()
    frames = iter(source)
    next(frames)
    (world,) = set(worlds()) - set(before)
    psutil.Process(world).kill()
    assert list(islice(frames, 3)) == []
    (said,) = source.unreadable
    assert said.startswith("world-Straight was lost after 1 frames: the CARLA server at ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("world:Twon", "did you mean 'Town'?"),
        ("world:none.xodr", "cannot read the map none.xodr"),
        ("world:Town?fsp=20", "did you mean 'fps'?"),
        ("world:Town?fps=5", "choose 10 to 200"),
        ("world:Town?fps=fast", "fps=fast is no number"),
        ("world:Town?size=640", "write it as 640x480"),
        ("world:Town?size=1x1", "choose 16 to 8192"),
        ("world:Town?speed=900", "choose 0 to 130"),
        ("world:Town?weather=rian", "did you mean 'rain'?"),
        ("world:?map=Town", "world:Town"),
        ("carla:127.0.0.1:1", "no CARLA server at 127.0.0.1:1"),
        ("carla:here:there", "carla:127.0.0.1:2000"),
    ],
)
def test_a_mistake_is_told_before_a_world_is_started(text: str, said: str) -> None:
    with pytest.raises(EdgeSegError) as caught:
        open_source(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_package_may_bring_a_source(tmp_path: Path) -> None:
    info = tmp_path / "tape-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tape\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[edge_seg.sources]\ntape = tape:open_tape\nlost = no_such_module:open_it\n"
    )
    (tmp_path / "tape.py").write_text("def open_tape(text):\n    return ['tape', text]\n")
    code = (
        "from edge_seg.frames.sources import open_source\n"
        "print(open_source('tape:a:b'), open_source('tape'))\n"
        "try:\n    open_source('lost:x')\nexcept Exception as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.splitlines() == [
        "['tape', 'a:b'] ['tape', '']",
        "sources 'lost:' cannot be used here (No module named 'no_such_module'): "
        "install what is missing, or name another source",
    ]
