"""Does a bundle do on this very device what it promises: what ``doctor --self-test`` runs.

    result = self_test(Path("lane.edgeseg"))
    result.ok, [check.detail for check in result.checks if not check.ok]

It needs nothing but the bundle, and covers what a host without the device's hardware cannot: the
engines built here, their golden masks, frames of odd sizes, memory over many frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
import psutil

from edge_seg import engines
from edge_seg.bundle.archive import Bundle, open_bundle
from edge_seg.bundle.golden import golden_check
from edge_seg.bundle.manifest import DeviceState, Machine
from edge_seg.choice import Choice, choose
from edge_seg.classes import ClassMap
from edge_seg.device import Device, read_device, read_state
from edge_seg.errors import EdgeSegError
from edge_seg.machine import this_machine
from edge_seg.preprocess import Frame
from edge_seg.progress import Track, silent
from edge_seg.segmenter import Segmenter, require_runnable

SCHEMA = "edge-seg/self-test-1"
FRAMES = 300
GROWTH_LIMIT_BYTES = 16 * 2**20
"""What a process may grow over `FRAMES` frames: allocators keep some pages, a leak of one mask a
frame would take more."""
SIZES = ((1, 1), (37, 53), (480, 640), (1080, 1920))
"""Heights and widths: the smallest, an odd one, a webcam's, full HD."""


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at, and what was seen."""

    name: str
    ok: bool
    detail: str


class SelfTest(msgspec.Struct, frozen=True):
    """Everything a maintainer asks for when something differs; stable as JSON."""

    schema: str
    bundle: str
    digest: str
    machine: Machine
    device: Device
    state: DeviceState
    runtime: str
    choice: Choice | None
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return all(check.ok for check in self.checks)


def self_test(path: Path, trust: bool = False, track: Track = silent) -> SelfTest:
    """Run every check; raises `EdgeSegError` only for what is no bundle at all."""
    bundle = open_bundle(path)
    checks = [Check("bundle", True, f"{len(bundle.manifest.members)} files, digests as packed")]
    choice = None
    try:
        require_runnable(bundle, trust)
        choice = choose(bundle, track=track)
        checks += _trials(choice)
        checks += _running(bundle, trust, track)
    except EdgeSegError as error:
        checks.append(Check("engine", False, str(error)))
    return SelfTest(
        schema=SCHEMA,
        bundle=str(path),
        digest=bundle.digest,
        machine=this_machine(),
        device=read_device(),
        state=read_state(),
        runtime=_runtime(bundle),
        choice=choice,
        checks=checks,
    )


def _runtime(bundle: Bundle) -> str:
    try:
        return " ".join(engines.find(bundle.manifest.engine.name).installed_runtime()[:2])
    except EdgeSegError as error:
        return str(error)


def _trials(choice: Choice) -> Iterator[Check]:
    """Tell of each engine that was built here."""
    for trial in choice.trials:
        way = " ".join(f"{name}={value}" for name, value in sorted(trial.options.items()))
        seen = trial.fault or f"{trial.p50_ms:.2f} ms, golden masks {trial.agreement_min:.2f} %"
        yield Check(f"{trial.precision} {way}".strip(), not trial.fault, seen)


def _running(bundle: Bundle, trust: bool, track: Track) -> Iterator[Check]:
    """Run the bundle as a robot would."""
    start = perf_counter()
    with Segmenter(bundle, trust=trust) as segmenter:
        yield Check("opening", True, f"{perf_counter() - start:.1f} s")
        golden = golden_check(bundle, segmenter, segmenter.precision)
        worst = f"worst {golden.agreement_min:.2f} % of pixels"
        same = f"{golden.identical} of {golden.frames} masks identical, {worst}"
        yield Check("golden frames", golden.passed, same)
        yield _sizes(segmenter, bundle.manifest.classes)
        frame = _noise(480, 640)
        yield _repeats(segmenter, frame)
        yield _memory(segmenter, frame, track)
        first = segmenter(frame)
    with Segmenter(bundle, trust=trust) as again:
        equal = bool(np.array_equal(again(frame), first))
        yield Check("opened again", equal, "the same mask" if equal else "another mask")


def _sizes(segmenter: Callable[[Frame], np.ndarray], classes: ClassMap) -> Check:
    for height, width in SIZES:
        mask = segmenter(_noise(height, width))
        if mask.shape != (height, width) or mask.dtype != np.uint8:
            seen = f"{width}x{height} gives a mask of {mask.dtype} {mask.shape}"
            return Check("frame sizes", False, seen)
        if (highest := int(mask.max())) >= classes.values:
            known = f"0 to {classes.values - 1} are known ({classes})"
            return Check("frame sizes", False, f"{width}x{height} gives {highest}: {known}")
    return Check("frame sizes", True, ", ".join(f"{w}x{h}" for h, w in SIZES))


def _repeats(segmenter: Callable[[Frame], np.ndarray], frame: Frame) -> Check:
    first = segmenter(frame)
    equal = all(np.array_equal(segmenter(frame), first) for _ in range(20))
    return Check("repeatable", equal, "20 masks of one frame " + ("equal" if equal else "differ"))


def _memory(segmenter: Segmenter, frame: Frame, track: Track) -> Check:
    """Run many frames: what they take, and whether the process grows."""
    process = psutil.Process()
    before = process.memory_info().rss
    totals = []
    for _ in track(range(FRAMES), "frames", FRAMES):
        segmenter(frame)
        totals.append(segmenter.timings.total_ms)
    grown = process.memory_info().rss - before
    p50, p99 = np.percentile(totals, (50, 99))
    seen = f"{FRAMES} frames, p50 {p50:.2f} ms, p99 {p99:.2f} ms, grown by {grown / 2**20:.1f} MiB"
    return Check("memory", grown < GROWTH_LIMIT_BYTES, seen)


def _noise(height: int, width: int) -> Frame:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
