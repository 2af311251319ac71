"""Which scene and frame a training's sample shows: a law, so that any step can be gone on from.

    order = Order(seed=1, batch=8)
    order.place(step=100, position=3)    # (scene 203, its frame 2)

Each position in the batch has scenes of its own, so a batch never shows one scene twice, and
processes that share a batch share the rendering. A position goes through groups of `SCENES`
scenes, every frame of a group ``reuse`` times, in a random order that follows from the seed. The
positions' groups begin at different steps, so that new scenes are needed evenly.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SCENES = 4
"""Scenes in a group: with 4 frames each, a scene is seen again after 4 steps on average."""


@dataclass(frozen=True)
class Order:
    """The order of the samples of one training."""

    seed: int
    batch: int
    frames_per_scene: int = 4
    reuse: int = 1

    @property
    def period(self) -> int:
        """Steps that a group lasts."""
        return SCENES * self.frames_per_scene * self.reuse

    def place(self, step: int, position: int) -> tuple[int, int]:
        """Return the number of the scene, and which of its frames."""
        group, within = divmod(step + self._lead(position), self.period)
        scene, frame = self._slots(position, group)[within]
        return (group * SCENES + int(scene)) * self.batch + position, int(frame)

    def uses(self, scene: int, first: int, steps: int) -> npt.NDArray[np.int64]:
        """Return how often each frame of a scene is shown in the steps ``first`` to ``steps``."""
        index, position = divmod(scene, self.batch)
        group, inside = divmod(index, SCENES)
        begin = group * self.period - self._lead(position)
        slots = self._slots(position, group)[max(0, first - begin) : max(0, steps - begin)]
        frames = slots[slots[:, 0] == inside, 1]
        return np.bincount(frames, minlength=self.frames_per_scene)

    def _lead(self, position: int) -> int:
        return position * self.period // self.batch

    def _slots(self, position: int, group: int) -> npt.NDArray[np.int64]:
        return _shuffled(self.seed, position, group, self.frames_per_scene, self.reuse)


@functools.lru_cache(maxsize=1024)
def _shuffled(
    seed: int, position: int, group: int, frames: int, reuse: int
) -> npt.NDArray[np.int64]:
    """Return (period, 2): the scene in the group and its frame, for each step of the group."""
    every = np.random.default_rng((seed, position, group, 2)).permutation(SCENES * frames * reuse)
    return np.column_stack(np.divmod(every % (SCENES * frames), frames))
