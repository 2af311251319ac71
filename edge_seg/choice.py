"""Which of a bundle's model files runs here: the device decides, once, by timing them.

    choice = choose(bundle)
    choice.precision, choice.options        # "float16", {"cuda_graph": True}
    choice.trials                           # what was timed, and what was wrong with the rest

A host that lacks the device's hardware cannot know which precision is faster there, so a bundle
may hold several that hold the gate. Law: what is chosen gave its golden masks on this machine.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np
import platformdirs

from edge_seg import engines
from edge_seg.bundle.golden import golden_check
from edge_seg.errors import EdgeSegError
from edge_seg.pipeline import Pipeline
from edge_seg.progress import Track, silent

if TYPE_CHECKING:
    from edge_seg.bundle.archive import Bundle
    from edge_seg.engines import Engine
    from edge_seg.engines.session import Options
    from edge_seg.pipeline import Pipeline
    from edge_seg.preprocess import Frame

SCHEMA = "edge-seg/choice-1"
WARM_UP = 10
"""Frames before the first that is timed: clocks rise, buffers are touched."""
TIMED = 40


class Trial(msgspec.Struct, frozen=True):
    """One model file run in one way: its median frame, its worst golden frame, or its fault."""

    precision: str
    options: dict[str, str | int | float | bool]
    p50_ms: float | None = None
    agreement_min: float | None = None
    fault: str = ""


class Choice(msgspec.Struct, frozen=True):
    """What runs here; ``trials`` is empty where there was nothing to choose."""

    precision: str
    model_file: str
    options: dict[str, str | int | float | bool]
    hardware: str = ""
    trials: list[Trial] = []
    schema: str = SCHEMA


def choose(bundle: Bundle, threads: int | None = None, track: Track = silent) -> Choice:
    """Return what to run, timed at the first call and remembered for this machine.

    Raises `EdgeSegError` where the engine's hardware is missing, or nothing in the bundle gives
    its golden masks.
    """
    manifest = bundle.manifest
    engine = engines.find(manifest.engine.name)
    if not engine.stand_in:  # it was chosen where it was packed
        return Choice(manifest.precision, manifest.model_file, dict(manifest.options))
    hardware = engine.hardware()
    from edge_seg.cache import Cache

    cache = Cache(Path(platformdirs.user_cache_dir("edge-seg")) / "choices")
    key = (*_identity(bundle), *engine.installed_runtime()[:2], hardware, str(threads))
    known = cache.get(*key)
    if known is not None:
        return msgspec.json.decode(known, type=Choice)
    choice = _decide(bundle, engine, hardware, threads, track)
    cache.put(msgspec.json.encode(choice), *key)
    return choice


def _identity(bundle: Bundle) -> list[str]:
    """Return what is in the bundle that a choice follows from: not its latencies, nor its name."""
    manifest = bundle.manifest
    names = [manifest.model_file, *manifest.alternatives.values()]
    names += [name for test in manifest.golden for name in (test.frame, test.mask)]
    return [
        *(manifest.members[name].sha256 for name in names),
        repr(sorted(manifest.alternatives.items())),
        repr(sorted(manifest.options.items())),
        repr(manifest.input),
        manifest.engine.name,
    ]


def _decide(
    bundle: Bundle, engine: Engine, hardware: str, threads: int | None, track: Track
) -> Choice:
    manifest = bundle.manifest
    files = {manifest.precision: manifest.model_file, **manifest.alternatives}
    ways = [
        (precision, {**manifest.options, **way})
        for precision in files
        for way in engine.variants.get(precision, ({},))
    ]
    trials = [
        _try(bundle, engine, files[precision], precision, options, threads, track)
        for precision, options in track(ways, "choosing", len(ways))
    ]
    timed = [trial for trial in trials if not trial.fault]
    if not timed:
        faults = "; ".join(dict.fromkeys(f"{t.precision}: {t.fault}" for t in trials))
        raise EdgeSegError(f"bundle '{manifest.name}' does not run here: {faults}")
    best = min(timed, key=lambda trial: trial.p50_ms or 0.0)
    return Choice(best.precision, files[best.precision], best.options, hardware, trials)


def _try(
    bundle: Bundle,
    engine: Engine,
    model_file: str,
    precision: str,
    options: Options,
    threads: int | None,
    track: Track,
) -> Trial:
    """Build, self-test and time one model file; what goes wrong is its fault, and no end."""
    trial = Trial(precision, dict(options))
    model, spec = bundle.read(model_file), bundle.manifest.input
    try:
        engine.prepare(model, options, track)
        pipeline = Pipeline(engine.open(model, spec, options, threads))
    except EdgeSegError as error:
        return msgspec.structs.replace(trial, fault=str(error))
    try:
        golden = golden_check(bundle, pipeline, precision)
        p50 = _median_ms(pipeline, _frames(bundle))
    except EdgeSegError as error:
        return msgspec.structs.replace(trial, fault=str(error))
    finally:
        pipeline.close()
    wrong = "" if golden.passed else f"only {golden.agreement_min:.2f} % of a golden mask is right"
    return msgspec.structs.replace(
        trial, p50_ms=p50, agreement_min=golden.agreement_min, fault=wrong
    )


def _frames(bundle: Bundle) -> list[Frame]:
    """Return the golden frames: the camera's size and the network's."""
    names = dict.fromkeys(test.frame for test in bundle.manifest.golden)
    return [
        cv2.imdecode(np.frombuffer(bundle.read(name), np.uint8), cv2.IMREAD_COLOR)  # type: ignore[misc]
        for name in names
    ]


def _median_ms(pipeline: Pipeline, frames: list[Frame]) -> float:
    totals = []
    for index in range(WARM_UP + TIMED):
        pipeline(frames[index % len(frames)])
        totals.append(pipeline.timings.total_ms)
    return float(median(totals[WARM_UP:]))
