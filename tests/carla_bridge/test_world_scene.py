"""A scene's buffers: an engine draws all that it holds, so each must be given back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.render import render_frames
from carla_bridge.world.scene import shadow_map
from carla_bridge.world.scene.display import Display, make_buffer, open_display
from carla_bridge.world.scene.scene import open_scene
from edge_seg.errors import EdgeSegError


def buffers() -> int:
    return int(open_display().engine.getNumWindows())


def test_frames_leave_no_buffer_behind() -> None:
    before = buffers()
    for seed in range(3):
        assert len(list(render_frames(1, seed, 64, 48))) == 1
        assert buffers() == before


def test_stopping_early_leaves_no_buffer_behind() -> None:
    before = buffers()
    frames = render_frames(8, seed=1, width=64, height=48)
    next(frames)
    assert buffers() > before
    frames.close()
    assert buffers() == before


def test_a_map_that_cannot_be_read_leaves_no_buffer_behind() -> None:
    before = buffers()
    with pytest.raises(EdgeSegError, match="not whole"):
        next(render_frames(1, seed=1, width=64, height=48, maps=["no map"]))
    assert buffers() == before


def test_a_scene_may_be_closed_twice() -> None:
    before = buffers()
    scene = open_scene()
    scene.camera(64, 48)
    assert buffers() > before
    scene.close()
    scene.close()
    assert buffers() == before


def test_a_driver_without_room_for_shadows_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if not open_display().shaders:
        pytest.skip("without shaders there are no shadows")

    def small(display: Display, width: int, height: int) -> Any:
        if width == shadow_map.SIZE:
            raise EdgeSegError(f"{display} makes no off-screen buffer of {width}x{height}")
        return make_buffer(display, width, height)

    before = buffers()
    monkeypatch.setattr(shadow_map, "make_buffer", small)
    with pytest.raises(EdgeSegError, match="768x768"):
        open_scene()
    assert buffers() == before


def test_the_documented_example_runs() -> None:
    if not open_display().shaders:
        pytest.skip("without shaders there is no depth")
    text = (Path(__file__).parents[2] / "docs/scene.md").read_text()
    names: dict[str, Any] = {}
    exec(text.split("```python")[1].split("```")[0], names)
    shapes = [names[name].shape for name in ("picture", "tags", "ids", "depth")]
    assert shapes == [(600, 800, 3), (600, 800), (600, 800), (600, 800)]
    assert names["picture"].std() > 10
