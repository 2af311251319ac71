"""Scenes as a source of training frames: rendered in other processes while the network learns.

    source = SOURCE(Request(seed=1, terms=("night=0",), workers=2))
    with closing(source.open(settings, first=0, positions=range(8))) as feed:
        frame, mask = feed.frame(step=0, position=3)

`edge-seg train --train scene` finds it through the entry-point group ``edge_seg.frame_sources``.
Nothing is written to the disk; `order` says which frame a sample shows, `feed` how
much memory that takes, and what happens to workers that die.
"""

from __future__ import annotations

from importlib.util import find_spec

import msgspec

from carla_bridge.world.randomization import parse_terms
from carla_bridge.world.stream.feed import SceneFeed
from carla_bridge.world.stream.order import Order
from carla_bridge.world.stream.worker import Job
from edge_seg.classes import LANE
from edge_seg.errors import EdgeSegError, MissingRuntimeError
from edge_seg.files import sha256
from edge_seg.training.settings import Scenes, Settings
from edge_seg.training.sources import Feed, Request


class SceneSource:
    """Frames of the built-in world; raises `EdgeSegError` for a term or a map that is none."""

    name = "scene"
    classes = LANE

    def __init__(self, request: Request) -> None:
        _require_extra()
        from carla_bridge.world.frame_sets import read_maps
        from carla_bridge.world.scene.cameras import check_size

        for height, width in request.sizes:
            check_size(width, height)
        if request.workers < 1:
            raise EdgeSegError(f"scenes need a worker at least, not {request.workers}")
        self._names = tuple(path.name for path in request.maps)
        self._workers = request.workers
        terms = parse_terms(list(request.terms))
        self.job = Job(
            seed=request.seed,
            terms=terms,
            maps=read_maps(request.maps),
            sizes=tuple((width, height) for height, width in request.sizes),
            frames_per_scene=request.frames_per_scene,
        )
        strengths = msgspec.to_builtins(terms)
        self.scenes = Scenes(
            seed=request.seed,
            terms={name: value for name, value in strengths.items() if value != 1.0},
            maps=tuple(sha256(text.encode()) for text in self.job.maps),
            sizes=request.sizes,
            frames_per_scene=request.frames_per_scene,
            reuse=request.reuse,
        )
        self.scenes.check()

    def identify(self, settings: Settings) -> Settings:
        """Return the settings with all that the frames follow from."""
        return msgspec.structs.replace(settings, frames="", scenes=self.scenes)

    def describe(self, settings: Settings) -> str:
        """Return the seed, how many frames, and what is not as it is by default."""
        count = -(-settings.steps * settings.batch // self.scenes.reuse)
        parts = [f"scene seed {self.scenes.seed}", f"{count:,} frames"]
        if self._names:
            parts.append(f"maps {' '.join(self._names)}")
        if self.scenes.terms:
            terms = (f"{name}={value:g}" for name, value in self.scenes.terms.items())
            parts.append(f"terms {' '.join(terms)}")
        return ", ".join([*parts, f"{settings.steps:,} steps"])

    def open(self, settings: Settings, first: int, positions: range) -> Feed:
        """Start the workers, and return the samples from step ``first`` on."""
        scenes = self.scenes
        order = Order(scenes.seed, settings.batch, scenes.frames_per_scene, scenes.reuse)
        return SceneFeed(order, self.job, self._workers, range(first, settings.steps), positions)


def open_source(request: Request) -> SceneSource:
    """Return the scenes that the command line asks for."""
    return SceneSource(request)


SOURCE = open_source


def _require_extra() -> None:
    for module, package in (("panda3d", "Panda3D"), ("carla", "carla")):
        try:
            found = find_spec(module)
        except ImportError:
            found = None
        if found is None:
            raise MissingRuntimeError(
                f"training on scenes needs {package}: pip install 'edge-seg[carla]'"
            )
