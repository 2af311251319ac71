"""A stage's buffers: an engine draws all that it holds, so each must be given back."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world import scene
from carla_bridge.world.display import make_buffer, open_display
from carla_bridge.world.render import render_frames
from carla_bridge.world.scene import SHADOW_SIZE, Stage
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


def test_a_stage_may_be_closed_twice() -> None:
    before = buffers()
    stage = Stage(open_display(), 64, 48)
    stage.close()
    stage.close()
    assert buffers() == before


def test_a_driver_without_room_for_shadows_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if not open_display().shaders:
        pytest.skip("without shaders there are no shadows")

    def small(*arguments: Any) -> Any:
        return None if SHADOW_SIZE in arguments else make_buffer(*arguments)

    before = buffers()
    monkeypatch.setattr(scene, "make_buffer", small)
    with pytest.raises(EdgeSegError, match=f"{SHADOW_SIZE}x{SHADOW_SIZE}"):
        Stage(open_display(), 64, 48)
    assert buffers() == before
