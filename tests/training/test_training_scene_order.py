"""Which frame a sample shows: every frame in its turn, batches of many scenes, no state."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from carla_bridge.world.stream.order import SCENES, Order


@pytest.mark.parametrize("reuse", [1, 3])
def test_a_group_shows_every_frame_of_its_scenes_as_often_as_asked(reuse: int) -> None:
    order = Order(seed=3, batch=1, frames_per_scene=4, reuse=reuse)
    shown = Counter(order.place(step, 0) for step in range(order.period))
    assert order.period == SCENES * 4 * reuse
    assert shown == {(scene, frame): reuse for scene in range(SCENES) for frame in range(4)}


def test_a_batch_never_shows_one_scene_twice() -> None:
    order = Order(seed=3, batch=6)
    for step in range(200):
        scenes = [order.place(step, position)[0] for position in range(6)]
        assert len(set(scenes)) == 6
        assert [scene % 6 for scene in scenes] == list(range(6))


def test_frames_of_a_scene_do_not_follow_each_other_in_their_order() -> None:
    order = Order(seed=3, batch=1)
    scenes = [order.place(step, 0)[0] for step in range(order.period)]
    assert scenes != sorted(scenes)
    other = Order(seed=4, batch=1)
    assert scenes != [other.place(step, 0)[0] for step in range(order.period)]


def test_new_scenes_are_needed_evenly() -> None:
    order = Order(seed=3, batch=8)
    first = {}
    for step in range(40 * order.period):
        for position in range(8):
            first.setdefault(order.place(step, position)[0], step)
    settled = [step for step in first.values() if step >= order.period]
    each = np.bincount(np.array(settled) // 4)[order.period // 4 :]
    # 8 samples a step and 16 samples of a group of 4 scenes: 8 new scenes in 4 steps.
    assert each.mean() == pytest.approx(8, abs=0.2)
    assert each.max() <= 14


def test_uses_are_what_is_left_from_a_step_on() -> None:
    order = Order(seed=5, batch=3, frames_per_scene=3, reuse=2)
    first, steps = 17, 61
    left = Counter(
        order.place(step, position) for step in range(first, steps) for position in range(3)
    )
    for scene in {scene for scene, _ in left}:
        wanted = [left[scene, frame] for frame in range(3)]
        assert order.uses(scene, first, steps).tolist() == wanted
