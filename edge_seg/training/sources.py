"""Where the frames of a training come from: a frame set, or a renderer that makes them.

    source = FrameSetSource(FrameSet.open("my-roads"))
    source = find("scene")(Request(seed=1, terms=("night=0",)))   # `edge-seg train --train scene`
    settings = source.identify(settings)
    with closing(source.open(settings, first=0, positions=range(8))) as feed:
        frame, mask = feed.frame(step=0, position=3)

Renderers are found through the entry-point group ``edge_seg.frame_sources``, so that the core
knows none; each is a function from `Request` to `Source`. Which frame a sample shows follows
from the settings, the step and the position in the batch, and from nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from edge_seg.classes import ClassMap
from edge_seg.errors import EdgeSegError, closest
from edge_seg.frames import FrameSet
from edge_seg.preprocess import Frame, Mask
from edge_seg.training.settings import SIZES, Settings

GROUP = "edge_seg.frame_sources"


class Feed(Protocol):
    """A source that is being read; `frame` may be called from several threads."""

    def frame(self, step: int, position: int) -> tuple[Frame, Mask]:
        """Return the frame (H, W, 3) uint8 BGR and mask (H, W) uint8 of one sample.

        Called once for each sample, for the steps in order or a few of them at a time.
        """

    def close(self) -> None:
        """Let go of everything; a `frame` that is waiting raises `EdgeSegError`."""


class Source(Protocol):
    """Frames to train on; nothing is read or started before `open`."""

    name: str
    classes: ClassMap

    def identify(self, settings: Settings) -> Settings:
        """Return the settings with what tells this source from any other."""

    def describe(self, settings: Settings) -> str:
        """Return what the model file says of this training: "20 frames of x, 40 steps, seed 1"."""

    def open(self, settings: Settings, first: int, positions: range) -> Feed:
        """Return the samples from step ``first`` on, of these positions in the batch."""


class Request(msgspec.Struct, frozen=True):
    """What the command line says of frames to be rendered; ``sizes`` are (height, width)."""

    seed: int = 0
    terms: tuple[str, ...] = ()
    maps: tuple[Path, ...] = ()
    sizes: tuple[tuple[int, int], ...] = SIZES
    frames_per_scene: int = 4
    reuse: int = 1
    workers: int = 1


class FrameSetSource:
    """A frame set with a mask for every frame; each epoch shows all of it, in another order."""

    def __init__(self, frames: FrameSet) -> None:
        if not frames.has_masks:
            raise EdgeSegError(
                f"the frame set {frames.name} has frames without masks: train needs all"
            )
        self._frames = frames
        self.name, self.classes = frames.name, frames.classes

    def identify(self, settings: Settings) -> Settings:
        """Return the settings with the set's digest; a zoom would change depths, and is none."""
        scales = settings.scales if self.classes.depth is None else (1.0, 1.0)
        return msgspec.structs.replace(
            settings, frames=self._frames.digest, scenes=None, scales=scales
        )

    def describe(self, settings: Settings) -> str:
        """Return how many frames of which set, how often seen, in which order."""
        frames = f"{len(self._frames):,} frames of {self.name}"
        return f"{frames}, {settings.steps:,} steps, seed {settings.seed}"

    def open(self, settings: Settings, first: int, positions: range) -> Feed:
        """Return the frames in the order of the settings' seed."""
        return _FrameSetFeed(self._frames, settings)


class _FrameSetFeed:
    def __init__(self, frames: FrameSet, settings: Settings) -> None:
        self._frames, self._settings = frames, settings

    def frame(self, step: int, position: int) -> tuple[Frame, Mask]:
        number = step * self._settings.batch + position
        index = frame_of(number, len(self._frames), self._settings.seed)
        return load(self._frames, index)

    def close(self) -> None:
        """Files are closed as soon as they are read."""


def frame_of(number: int, count: int, seed: int) -> int:
    """Return which frame the ``number``-th sample of a training shows."""
    epoch, position = divmod(number, count)
    return int(_order(count, seed, epoch)[position])


@functools.lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, epoch, 1)).permutation(count)


def load(frames: FrameSet, index: int) -> tuple[Frame, Mask]:
    """Return a frame and its mask; a frame without one raises `EdgeSegError`."""
    labelled = frames[index]
    if labelled.mask is None:
        raise EdgeSegError(f"frame {labelled.id} of {frames.name} has no mask: training needs all")
    return labelled.image, labelled.mask


def names() -> list[str]:
    """Return the names of the renderers that can be trained on, sorted."""
    return sorted(_points())


def find(name: str) -> Callable[[Request], Source]:
    """Return the renderer of that name, or raise `EdgeSegError` with the closest one."""
    points = _points()
    if name not in points:
        raise EdgeSegError(f"unknown source of frames '{name}': {closest(name, points)}")
    found: Callable[[Request], Source] = points[name].load()
    return found


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
