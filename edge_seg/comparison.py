"""Bundles and engines side by side: what ``edge-seg bench`` runs.

measured = measure(Path("lane.edgeseg"), ["openvino"], frames, count=200)
measured.benchmark.ratios               # {"lane.edgeseg": 1.0, "openvino": 1.31}
measured.timings[0].total_ms            # the first frame of the first entrant
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from edge_seg import bench, engines
from edge_seg.bundle.archive import Bundle, open_bundle
from edge_seg.bundle.manifest import DeviceState
from edge_seg.choice import choose
from edge_seg.device import read_device, read_state, slowdowns, watching
from edge_seg.errors import EdgeSegError
from edge_seg.files import scratch_folder, write_bytes
from edge_seg.frames import FrameSet
from edge_seg.machine import this_machine
from edge_seg.pipeline import Timings
from edge_seg.progress import Track, silent
from edge_seg.segmenter import require_runnable, require_trust
from edge_seg.worker import Job, Worker


@dataclass(frozen=True)
class Measured:
    """A benchmark, each frame of its first entrant in order of time, and that bundle's digest."""

    benchmark: bench.Benchmark
    timings: list[Timings]
    digest: str


def measure(
    bundle: Path,
    others: list[str],
    frames: FrameSet,
    count: int,
    threads: int | None = None,
    trust: bool = False,
    track: Track = silent,
) -> Measured:
    """Time ``bundle`` and each of ``others`` in turns on ``count`` frames of a set.

    ``others`` are paths of bundles, or names of engines that run the first bundle's file.
    """
    before = read_state()
    working: list[DeviceState] = []
    first = _open(bundle, trust)
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        entrants = {bundle.name: (first, _job(first, folder / "0", threads))}
        for index, other in enumerate(others, 1):
            name, opened, job = _entrant(other, first, folder / str(index), threads, trust)
            name = name if name not in entrants else f"{name} ({index})"
            entrants[name] = (opened, job)
        workers = {
            name: stack.enter_context(closing(Worker(job))) for name, (_, job) in entrants.items()
        }
        timings = bench.interleave(workers, frames.path, count, watching(track, working))
        working.append(read_state())
    entries = []
    for name, (opened, job) in entrants.items():
        choice = choose(opened, threads)
        size = opened.manifest.members[choice.model_file].size
        entries.append(bench.entry(name, job.engine, choice.precision, *timings[name], size))
    benchmark = bench.Benchmark(
        machine=this_machine(),
        device=read_device(),
        before=before,
        after=working[-1],
        frame_set=frames.name,
        entries=entries,
        ratios={e.name: entries[0].fps / e.fps for e in entries},
        stages=entries[0].stages,
        fps=entries[0].fps,
        warnings=slowdowns(before, working),
    )
    return Measured(benchmark, timings[entries[0].name][0], first.digest)


def _open(path: Path, trust: bool) -> Bundle:
    bundle = open_bundle(path)
    require_runnable(bundle, trust)
    return bundle


def _entrant(
    other: str, first: Bundle, model: Path, threads: int | None, trust: bool
) -> tuple[str, Bundle, Job]:
    if Path(other).exists() or Path(other).suffix == ".edgeseg":
        opened = _open(Path(other), trust)
        return Path(other).name, opened, _job(opened, model, threads)
    engine = engines.find(other)
    if Path(first.manifest.model_file).suffix != f".{engine.suffix}":
        raise EdgeSegError(
            f"engine '{other}' does not read the bundle's {first.manifest.model_file}: "
            f"pack one for it (edge-seg pack --engine {other}) and compare the bundles"
        )
    if not trust:
        require_trust(first, other)
    return other, first, _job(first, model, threads, other)


def _job(bundle: Bundle, model: Path, threads: int | None, engine: str | None = None) -> Job:
    manifest = bundle.manifest
    choice = choose(bundle, threads)
    write_bytes(model, bundle.read(choice.model_file))
    return Job(
        engine=engine or manifest.engine.name,
        model=str(model),
        input=manifest.input,
        options=choice.options,
        threads=threads,
    )
