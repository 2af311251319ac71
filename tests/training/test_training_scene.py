"""Training on rendered frames: found by name, refused in one line, resumed bit for bit."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from drawn import road_set

from edge_seg.cli.main import app
from edge_seg.errors import EdgeSegError, MissingRuntimeError
from edge_seg.frames import FrameSet
from edge_seg.models import weights_file
from edge_seg.training import sources
from edge_seg.training.loop import Pace, train
from edge_seg.training.settings import Scenes, Settings
from edge_seg.training.sources import Request

HERE = Path(__file__).parent
SETTINGS = Settings(
    options={"depth": 2},
    steps=24,
    batch=2,
    warmup=4,
    seed=1,
    height=96,
    width=128,
    crop_height=64,
    crop_width=96,
)


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> FrameSet:
    return road_set(tmp_path_factory.mktemp("sets") / "val", 2, 1000)


def fake(monkeypatch: pytest.MonkeyPatch, **asked: object) -> sources.Source:
    """Scenes as asked for, from a renderer that is quick."""
    pytest.importorskip("carla", reason="needs the extra carla")
    pytest.importorskip("panda3d", reason="needs the extra carla")
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE.parents[1]}")
    request = msgspec.structs.replace(Request(seed=1, sizes=((48, 64), (32, 96))), **asked)
    source = sources.find("scene")(request)
    source.job = msgspec.structs.replace(source.job, renderer="fake_renderer:Renderer")
    return source


def test_resumed_after_a_stop_and_a_death_it_is_the_uninterrupted_training(
    validation: FrameSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fake(monkeypatch, terms=("night=0", "rain=2"), reuse=2)
    pace = Pace(checkpoint_seconds=0)
    whole = train(SETTINGS, source, validation, tmp_path / "whole.safetensors")

    def stop(record: object) -> None:
        raise KeyboardInterrupt

    output = tmp_path / "cut.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, source, validation, output, pace=pace, report=stop)
    dies = tmp_path / "dies"
    dies.write_text("3")
    monkeypatch.setenv("FAKE_RENDERER_DIES", str(dies))
    other = fake(monkeypatch, terms=("night=0", "rain=2"))
    with pytest.raises(EdgeSegError, match="reuse was 2 and is now 1"):
        train(SETTINGS, other, validation, output, resume=True)
    resumed = train(SETTINGS, source, validation, output, resume=True)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name
    header = weights_file.read(output).header
    assert header is not None
    assert header.trained_on == "scene seed 1, 24 frames, terms night=0 rain=2, 24 steps"


def test_settings_say_all_that_the_frames_follow_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("carla", reason="needs the extra carla")
    from carla_bridge.world.random_roads.road import random_road
    from carla_bridge.world.randomization import Dice, DomainRandomization

    town = tmp_path / "town.xodr"
    town.write_text(random_road(Dice(DomainRandomization(), 8)))
    source = fake(monkeypatch, terms=("night=0.5", "rain=1"), maps=(town,), frames_per_scene=2)
    scenes = source.identify(SETTINGS).scenes
    assert scenes == Scenes(
        seed=1,
        terms={"night": 0.5},
        maps=(hashlib.sha256(town.read_bytes()).hexdigest(),),
        sizes=((48, 64), (32, 96)),
        frames_per_scene=2,
    )
    assert "maps town.xodr, terms night=0.5" in source.describe(SETTINGS)


def test_a_map_that_is_none_is_named_before_any_worker_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bomb.xodr").write_text('<!DOCTYPE a [<!ENTITY b "c">]><OpenDRIVE>&b;</OpenDRIVE>')
    with pytest.raises(EdgeSegError, match=r"bomb.xodr.* has a DOCTYPE"):
        fake(monkeypatch, maps=(tmp_path / "bomb.xodr",))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"terms": ("nights=0",)}, "no term 'nights' in the scene: did you mean 'night'"),
        ({"terms": ("night=-1",)}, "strength of 'night'"),
        ({"maps": (Path("nowhere.xodr"),)}, "cannot read the map nowhere.xodr"),
        ({"sizes": ((0, 64),)}, "cannot be rendered"),
        ({"frames_per_scene": 0}, "--frames-per-scene is in 1..64"),
        ({"reuse": 65}, "--reuse is in 1..64"),
        ({"workers": 0}, "a worker at least"),
    ],
)
def test_what_cannot_be_rendered_is_one_line(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, object], says: str
) -> None:
    with pytest.raises(EdgeSegError, match=says):
        fake(monkeypatch, **asked)


def test_an_unknown_source_names_the_closest() -> None:
    with pytest.raises(EdgeSegError, match="did you mean 'scene'"):
        sources.find("scenes")


@pytest.mark.parametrize("module", ["panda3d", "carla"])
def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingRuntimeError, match=r"pip install 'edge-seg\[carla\]'"):
        sources.find("scene")(Request())


def test_options_of_scenes_are_refused_for_a_frame_set(
    validation: FrameSet, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    path = str(validation.path)
    words = ["train", "--train", path, "--val", path, "-o", str(tmp_path / "x.safetensors")]
    done = CliRunner().invoke(app, [*words, "--term", "night=0"])
    assert isinstance(done.exception, EdgeSegError)
    assert "--train scene" in str(done.exception)


def test_the_real_renderer_streams_the_frames_that_it_draws() -> None:
    pytest.importorskip("carla", reason="needs the extra carla")
    pytest.importorskip("panda3d", reason="needs the extra carla")
    from carla_bridge.world.render import Renderer

    request = Request(seed=7, terms=("night=0",), sizes=((96, 128), (64, 192)), frames_per_scene=2)
    source = sources.find("scene")(request)
    settings = Settings(batch=2, steps=40)
    with (
        closing(source.open(settings, 0, range(2))) as feed,
        closing(
            Renderer(7, source.job.terms, sizes=source.job.sizes, frames_per_scene=2)
        ) as renderer,
    ):
        from carla_bridge.world.stream.order import Order

        order = Order(seed=7, batch=2, frames_per_scene=2)
        for position in range(2):
            frame, mask = feed.frame(0, position)
            number, index = order.place(0, position)
            _, wanted, truth = renderer.scene(number)[index]
            assert np.array_equal(frame, wanted)
            assert np.array_equal(mask, truth)
