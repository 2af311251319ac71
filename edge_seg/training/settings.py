"""What a training is asked to do. Two trainings with equal settings are the same training.

Settings(model="lane-unet", steps=2000, batch=8)
Settings(scenes=Scenes(seed=1, terms={"night": 0.0}))  # frames rendered while it trains
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from edge_seg.errors import EdgeSegError, closest

SIZES = ((480, 640), (448, 800), (288, 960))
"""(height, width) of rendered frames: cameras are 4:3, 16:9, and as wide as 10:3."""


class Scenes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The frames of a training that renders its own; none of them is ever stored.

    ``terms`` are the strengths of the scene's random terms that differ from 1, ``maps`` the
    SHA-256 of each OpenDRIVE file. Every frame has one of ``sizes`` (height, width) and is
    augmented into ``reuse`` samples.
    """

    seed: int = 0
    terms: dict[str, float] = {}
    maps: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = SIZES
    frames_per_scene: int = 4
    reuse: int = 1

    def check(self) -> None:
        """Refuse numbers that make no frames, in one line."""
        if not 1 <= self.frames_per_scene <= 64:
            raise EdgeSegError(f"--frames-per-scene is in 1..64, not {self.frames_per_scene}")
        if not 1 <= self.reuse <= 64:
            raise EdgeSegError(f"--reuse is in 1..64, not {self.reuse}")
        if self.seed < 0 or not self.sizes:
            raise EdgeSegError("scenes need a seed of 0 or above and a frame size")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of a training; sizes in pixels, ``lr`` is the highest of the schedule.

    ``height`` and ``width`` are the network's input, ``crop_height`` and ``crop_width`` what it
    is trained on: at the same scale, smaller and so faster. ``options`` go to the network's
    configuration (base=32). ``scales`` is the range of zoom of the crops. ``ema`` is the decay of
    the averaged weights, per step.
    """

    model: str = "lane-unet"
    options: dict[str, Any] = {}
    loss: str = "ce+dice"
    class_weights: tuple[float, ...] = ()
    steps: int = 2000
    batch: int = 8
    lr: float = 2e-3
    weight_decay: float = 1e-2
    warmup: int = 100
    ema: float = 0.998
    seed: int = 0
    height: int = 256
    width: int = 512
    crop_height: int = 192
    crop_width: int = 384
    augment: bool = True
    altered: float = 1.0
    """The share of samples whose light and colour change; all of them move and flip."""
    bf16: bool = False
    scales: tuple[float, float] = (0.7, 1.6)
    start: str = ""
    """SHA-256 of the weights the training starts from; empty: random weights."""
    start_trained_on: str = ""
    """What those weights were trained on, as their file says."""
    prune: tuple[float, ...] = ()
    """The shares of the start's channels that go before the first step: see `pruning`."""
    frames: str = ""
    """Digest of the frame set; empty until the training knows it, and where it renders."""
    scenes: Scenes | None = None
    """What is rendered; None for a frame set."""

    def check(self) -> None:
        """Refuse numbers that make no training, in one line."""
        from edge_seg.training.losses import DEPTH_LOSSES, LOSSES

        known = [*LOSSES, *DEPTH_LOSSES]
        if self.loss not in known:
            raise EdgeSegError(f"unknown loss '{self.loss}': {closest(self.loss, known)}")
        for name in ("steps", "batch", "lr", "height", "width", "crop_height", "crop_width"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise EdgeSegError(f"{name.replace('_', ' ')} must be above 0, not {value}")
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.class_weights):
            raise EdgeSegError(f"class weights are 0 or above, not {_words(self.class_weights)}")
        if self.class_weights and not any(self.class_weights):
            raise EdgeSegError("class weights of nothing but 0 teach nothing: raise one")
        if not all(0 <= share < 1 for share in self.prune):
            raise EdgeSegError(
                f"--prune takes shares of 0 or above, below 1, not {_words(self.prune)}"
            )
        if not 0 <= self.altered <= 1:
            raise EdgeSegError(f"--altered is a share in 0..1, not {self.altered}")
        if not 0.1 <= self.scales[0] <= self.scales[1] <= 10:
            raise EdgeSegError(
                f"--scales are two in 0.1..10, the small one first, not {_words(self.scales)}"
            )
        if not 0 <= self.ema < 1:
            raise EdgeSegError(f"the decay of the averaged weights is in 0..1, not {self.ema}")
        if self.scenes is not None:
            self.scenes.check()


def first_difference(asked: Settings, stored: Settings) -> str:
    """Return the first setting in which a resumed training differs, empty where none does.

    The learning rate may differ: it is how one goes on after a loss that became NaN.
    """
    if asked.prune != stored.prune:  # the options and the start follow from it
        return f"it was {_pruning(stored)}, and is now {_pruning(asked)}"
    pairs: list[tuple[str, Any, Any]] = []
    if asked.scenes is not None and stored.scenes is not None:
        pairs = [(name, asked.scenes, stored.scenes) for name in Scenes.__struct_fields__]
    pairs += [(name, asked, stored) for name in Settings.__struct_fields__ if name != "lr"]
    for name, mine, theirs in pairs:
        now, then = getattr(mine, name), getattr(theirs, name)
        if now == then:
            continue
        if name == "options":
            return _options_difference(now, then)
        if name == "start":
            return _start_difference(now, then)
        return f"{name} was {then!r} and is now {now!r}"
    return ""


def _options_difference(now: dict[str, Any], then: dict[str, Any]) -> str:
    name = next(name for name in (then | now) if then.get(name) != now.get(name))
    before, after = (str(options.get(name, "not given")) for options in (then, now))
    return f"--option {name} was {before} and is now {after}"


def _start_difference(now: str, then: str) -> str:
    if now and then:
        return "--start was another file"
    return "--start was given and is not now" if then else "--start was not given and is now"


def _pruning(settings: Settings) -> str:
    """Return how much a network is pruned, in the command's words."""
    if not settings.prune:
        return "not pruned"
    widths = settings.options.get("widths", ())
    return f"pruned to {_words(widths)} (--prune {_words(settings.prune)})"


def _words(numbers: Iterable[float]) -> str:
    """Return numbers as on the command line: ``0,0.5``."""
    return ",".join(f"{number:g}" for number in numbers)
