"""One candidate's way through the tournament: lowered, run through its own runtime, judged.

Everything is measured on the lowered file, in a process of its own. What was finished
once comes from the cache. A candidate that fails is a row with the reason, never an end.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_seg import bench
from edge_seg.cache import Cache
from edge_seg.engines import Engine
from edge_seg.engines.lowering import Source
from edge_seg.engines.session import Options
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.files import scratch_folder, sha256, write_bytes
from edge_seg.frames.images import decode_mask
from edge_seg.machine import this_machine
from edge_seg.pipeline import Timings
from edge_seg.progress import Track, silent
from edge_seg.quantize import recipe as recipes
from edge_seg.worker import Job, Worker, WorkerError

if TYPE_CHECKING:
    from edge_seg.frames import FrameSet
    from edge_seg.metrics import Evaluation
    from edge_seg.preprocess import Mask
    from edge_seg.target import Inspect, Inspection

VARIANT_FRAMES = 20
"""Frames that two ways of running one file are compared on; they differ by much or not at all.
A mix with layers in float is held against the budget on as many."""
LATENCY_FRAMES = 40
"""Frames behind a candidate's p50 and p99."""
FOREIGN_FRAMES = 16
"""The same where the target has another processor: the times then only order the candidates."""


@dataclass(frozen=True)
class Contestant:
    """A lowered file with the way it is run, and what it was lowered from."""

    engine: Engine
    precision: str
    options: Options
    model: bytes
    source: Source

    @property
    def label(self) -> str:
        """``engine/precision``, as in the manifest."""
        return f"{self.engine.name}/{self.precision}"

    @property
    def float_layers(self) -> tuple[str, ...]:
        """The layers that an int8 file keeps in float."""
        return self.source.recipe.float_layers if self.precision == "int8" else ()

    @property
    def method(self) -> str:
        """What was done to its weights and ranges; nothing to those of another precision."""
        return self.source.recipe.method if self.precision == "int8" else ""

    @property
    def runner(self) -> Engine:
        """What runs the file on this machine: the engine, or its stand-in."""
        return self.engine.here()

    @cached_property
    def run_file(self) -> bytes:
        """What the runner is given: the file, or the same in its stand-in's form."""
        return self.engine.file_here(self.model)


@dataclass(frozen=True)
class Arena:
    """What all contestants share: the source, the evaluation set, the cache, the threads."""

    source: Source
    evaluation: FrameSet
    cache: Cache
    threads: int | None = None
    track: Track = field(default=silent)
    inspector: Inspect | None = None

    def inspect(self, contestant: Contestant) -> Inspection | None:
        """Have the target's own compiler look at a quantized file; raises `EdgeSegError`."""
        if self.inspector is None or contestant.precision == "float32":
            return None
        return self.inspector(contestant.engine.name, contestant.model, self.track)

    def lower(self, engine: Engine, precision: str, options: Options) -> Contestant:
        """Make an engine's file, or take it from the cache; raises `EdgeSegError`."""
        recipe = b"" if precision == "float32" else recipes.encode(self.source.recipe)
        key = (
            "lowered",
            engine.name,
            engine.here().runtime_version(),
            _code_digest(engine),
            precision,
            repr(sorted(options.items())),
            self.source.model.digest,
            sha256(self.source.graph.SerializeToString(deterministic=True)),
            sha256(recipe),
        )
        model = self.cache.get(*key)
        if model is None:
            model = self.cache.put(engine.lowering()(self.source, precision, options), *key)
        return Contestant(engine, precision, options, model, self.source)

    def fastest_variant(self, engine: Engine, precision: str) -> Contestant:
        """Return the file with the way of running it that takes least time on this machine."""
        # Which way is faster there is for the device to find out.
        ways = ({},) if engine.stand_in else engine.variants[precision]
        variants = [self.lower(engine, precision, way) for way in ways]
        if len(variants) == 1:
            return variants[0]
        key = (
            "fastest",
            engine.name,
            engine.runtime_version(),
            *(
                sha256(variant.model) + repr(sorted(variant.options.items()))
                for variant in variants
            ),
            repr(self.source.model.input),
            self.evaluation.digest,
            str(self.threads),
            repr(this_machine()),
        )
        known = self.cache.get(*key)
        if known is not None:
            return variants[int(known)]
        timings, failed = self.time_all(
            {str(index): variant for index, variant in enumerate(variants)}, VARIANT_FRAMES
        )
        if not timings:
            raise WorkerError(next(iter(failed.values())))
        medians = {key: bench.quantiles(rows)["total"].p50_ms for key, rows in timings.items()}
        fastest = min(medians, key=medians.__getitem__)
        return variants[int(self.cache.put(fastest.encode(), *key))]

    def evaluate(self, contestant: Contestant) -> tuple[Evaluation, int]:
        """Return the scores and the peak memory in bytes of a contestant's own process."""
        key = ("evaluated", *self._run_key(contestant))
        known = self.cache.get(*key)
        if known is None:
            with self._worker(contestant) as worker:
                evaluation, memory = worker.evaluate(self.evaluation, self.track)
            known = self.cache.put(msgspec.json.encode((evaluation, memory)), *key)
        from edge_seg.metrics import Evaluation

        return msgspec.json.decode(known, type=tuple[Evaluation, int])

    def masks(self, contestant: Contestant, frames: tuple[int, ...]) -> list[Mask]:
        """Return the masks (H, W) that the contestant's own runtime gives for these frames."""
        key = ("masks", repr(frames), *self._run_key(contestant))
        known = self.cache.get(*key)
        if known is None:
            with scratch_folder() as folder, self._worker(contestant) as worker:
                worker.masks(self.evaluation.path, frames, folder)
                files = [(folder / f"{index}.png").read_bytes() for index in frames]
            known = self.cache.put(msgspec.msgpack.encode(files), *key)
        files = msgspec.msgpack.decode(known, type=list[bytes])
        return [decode_mask(file, contestant.label) for file in files]

    def _run_key(self, contestant: Contestant) -> tuple[str, ...]:
        """Return what a contestant's masks follow from."""
        return (
            sha256(contestant.run_file),
            repr(self.source.model.input),  # TorchScript files do not hold the size
            repr(sorted(contestant.options.items())),
            contestant.runner.name,
            contestant.runner.runtime_version(),
            _code_digest(contestant.runner),
            self.evaluation.digest,
            str(self.threads),
            repr(this_machine()),
        )

    def time(
        self, contestants: dict[str, Contestant], frames: int, track: Track = silent
    ) -> dict[str, tuple[list[Timings], int]]:
        """Time contestants side by side: timings and peak memory in bytes by name."""
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(self._worker(contestant))
                for name, contestant in contestants.items()
            }
            return bench.interleave(workers, self.evaluation.path, frames, track)

    def median_ms(self, contestant: Contestant) -> float:
        """Time a contestant alone, and briefly; return the median of whole frames."""
        (timings, _), *_ = self.time({contestant.label: contestant}, VARIANT_FRAMES).values()
        return bench.quantiles(timings)["total"].p50_ms

    def time_all(
        self, contestants: dict[str, Contestant], frames: int, track: Track = silent
    ) -> tuple[dict[str, list[Timings]], dict[str, str]]:
        """Time contestants side by side; return the timings, and why some could not be timed.

        Where all at once are too much for the machine, each is timed alone.
        """
        try:
            timed = self.time(contestants, frames, track)
            return {name: rows for name, (rows, _) in timed.items()}, {}
        except WorkerError:
            alone, failed = self._time_alone(contestants, frames)
        if not failed:
            return alone, {}
        rest = {name: contestants[name] for name in alone}
        side_by_side, more = self.time_all(rest, frames, track)
        return side_by_side, {**failed, **more}

    def _time_alone(
        self, contestants: dict[str, Contestant], frames: int
    ) -> tuple[dict[str, list[Timings]], dict[str, str]]:
        timings, failed = {}, {}
        for name, contestant in contestants.items():
            try:
                timings[name], _ = self.time({name: contestant}, frames)[name]
            except WorkerError as error:
                failed[name] = str(error)
        return timings, failed

    def with_recipe(self, recipe: recipes.Recipe) -> Arena:
        """Return the same arena for another recipe of the same model."""
        return replace(self, source=replace(self.source, recipe=recipe))

    @contextmanager
    def _worker(self, contestant: Contestant) -> Iterator[Worker]:
        with scratch_folder() as folder:
            model = folder / f"model.{contestant.engine.suffix}"
            write_bytes(model, contestant.run_file)
            job = Job(
                engine=contestant.runner.name,
                model=str(model),
                input=self.source.model.input,
                options=dict(contestant.options),
                threads=self.threads,
            )
            with closing(Worker(job)) as worker:
                yield worker


def _code_digest(engine: Engine) -> str:
    """Return a digest of an engine's code: another package's changes without this one."""
    spec = importlib.util.find_spec(engine.folder)
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    files = sorted(file for place in places for file in Path(place).glob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files))


def reason(error: Exception) -> str:
    """Return why a contestant failed, in one line."""
    if isinstance(error, (EdgeSegError, WorkerError)):
        return str(error)
    return f"{type(error).__name__}: {in_one_line(error, 200)}"
