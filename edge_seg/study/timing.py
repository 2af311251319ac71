"""How long everything takes: the lowered files of a study side by side, and operator by operator.

    timed = time_all(job, Path("study"))    # job: edge_seg.study.jobs.Timing

All files of a session take turns (`edge_seg.bench`), so that a slow second is slow for all. Where
there are more than a machine can hold at once there are several sessions, and a float row takes
part in each that has rows of its own: compare ratios to it, not figures of two sessions.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import numpy as np

from edge_seg import bench
from edge_seg.files import scratch_folder
from edge_seg.frames import FrameSet
from edge_seg.machine import this_machine
from edge_seg.pipeline import Timings
from edge_seg.preprocess import resize
from edge_seg.progress import Track, silent
from edge_seg.study.jobs import Entrant, Run, Timing
from edge_seg.study.records import Latency, Measured, Record, Timed
from edge_seg.worker import Job, Worker, WorkerError

SESSION = 12
"""Files in one session at most: each is a process with a runtime of its own."""
PROFILED = "onnxruntime"
PROFILED_FRAMES = 20


def plan_timing(
    runs: Sequence[Run], records: Mapping[str, Record], frames: int, threads: int | None
) -> Timing | None:
    """Return the job that times all that ran here, or None where nothing did."""
    if not runs or not frames:
        return None
    ran = [run for run in runs if _ran_here(records[run.key])]
    if not ran:
        return None
    profiled = _profiled(ran)
    sessions = [
        [_entrant(run, records[run.key], run.key in profiled) for run in session]
        for session in _seated(ran)
    ]
    return Timing(
        sessions=sessions,
        evaluation=runs[0].evaluation,
        frames=frames,
        threads=threads,
        machine=repr(this_machine()),
    )


def _seated(runs: Sequence[Run]) -> list[list[Run]]:
    """Return who is timed with whom: everyone in a session with the float row of its own.

    Families are kept whole and share a session while there is room; one that is too large for a
    session has its float row in each of its own.
    """
    families: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        families[run.reference].append(run)
    sessions: list[list[Run]] = []
    for family in families.values():
        floats = [run for run in family if run.is_reference]
        others = [run for run in family if not run.is_reference]
        room = SESSION - len(floats)
        for first in range(0, max(1, len(others)), room):
            table = [*floats, *others[first : first + room]]
            if sessions and len(sessions[-1]) + len(table) <= SESSION:
                sessions[-1] += table
            else:
                sessions.append(table)
    return sessions


def _ran_here(record: Record) -> bool:
    return isinstance(record.result, Measured) and not record.result.run_by


def _profiled(runs: Sequence[Run]) -> set[str]:
    """Return each variant's float row and its first int8 one: the others' operators are its."""
    first: dict[tuple[str, str], str] = {}
    for run in runs:
        if run.engine == PROFILED and run.precision in ("float32", "int8"):
            first.setdefault((run.variant, run.precision), run.key)
    return set(first.values())


def _entrant(run: Run, record: Record, profiled: bool) -> Entrant:
    assert isinstance(record.result, Measured)
    measured = record.result
    return Entrant(
        key=run.key,
        file=measured.file,
        digest=measured.digest,
        engine=run.engine,
        input=measured.input,
        options=measured.options,
        profiled=profiled,
    )


def time_all(job: Timing, folder: Path, track: Track = silent) -> Timed:
    """Time a study's files; one that cannot be timed says why in its place."""
    frames = job.evaluation.open()
    rows: dict[str, Latency] = {}
    references: list[dict[str, Latency]] = []
    failed: dict[str, str] = {}
    seats = Counter(entrant.key for session in job.sessions for entrant in session)
    repeated = {key for key, count in seats.items() if count > 1}
    for number, session in enumerate(job.sessions):
        timed, why = _session(session, job, folder, frames, track)
        latencies = {key: _latency(number, *value) for key, value in timed.items()}
        failed |= why
        references.append({key: latencies[key] for key in repeated if key in latencies})
        rows = latencies | rows  # the first session's figures stand for what is in several
    profiles = {}
    for entrant in {e.key: e for s in job.sessions for e in s if e.profiled}.values():
        profiles[entrant.key] = profile(entrant, folder, frames, job.threads)
    return Timed(rows=rows, references=references, failed=failed, profiles=profiles)


def _latency(session: int, timings: Sequence[Timings], memory: int) -> Latency:
    total = [round(row.total_ms, 4) for row in timings]
    p50, p99 = (float(value) for value in np.percentile(total, (50, 99)))
    return Latency(session=session, total_ms=total, p50_ms=p50, p99_ms=p99, peak_rss_bytes=memory)


_Timed = dict[str, tuple[list[Timings], int]]


def _session(
    session: Sequence[Entrant], job: Timing, folder: Path, frames: FrameSet, track: Track
) -> tuple[_Timed, dict[str, str]]:
    """Time one session; where all at once are too much for the machine, each alone."""
    try:
        return _interleaved(session, job, folder, frames, track), {}
    except WorkerError:
        alone: _Timed = {}
        failed = {}
    for entrant in session:
        try:
            alone |= _interleaved([entrant], job, folder, frames, silent)
        except WorkerError as error:
            failed[entrant.key] = str(error)
    rest = [entrant for entrant in session if entrant.key not in failed]
    if not failed or not rest:
        return alone, failed
    side_by_side, more = _session(rest, job, folder, frames, track)
    return side_by_side, failed | more


def _interleaved(
    session: Sequence[Entrant], job: Timing, folder: Path, frames: FrameSet, track: Track
) -> _Timed:
    with ExitStack() as stack:
        # All are started before the first is waited for: they load side by side.
        workers = {
            entrant.key: stack.enter_context(closing(_worker(entrant, job, folder)))
            for entrant in session
        }
        return bench.interleave(workers, frames.path, job.frames, track)


def _worker(entrant: Entrant, job: Timing, folder: Path) -> Worker:
    return Worker(
        Job(
            engine=entrant.engine,
            model=str(folder / entrant.file),
            input=entrant.input,
            options=entrant.options,
            threads=job.threads,
        )
    )


class _Event(msgspec.Struct):
    """What is read of a line of ONNX Runtime's profile; ``dur`` is in microseconds."""

    name: str = ""
    cat: str = ""
    dur: float = 0.0
    args: dict[str, object] = {}


def profile(
    entrant: Entrant, folder: Path, frames: FrameSet, threads: int | None
) -> dict[str, float]:
    """Return the milliseconds a frame that each kind of operator takes, the longest first.

    ONNX Runtime's own profiler (SessionOptions.enable_profiling): the times of its kernels after
    its fusions, so the names are those of what it runs. The first frames are not counted.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    with scratch_folder() as scratch:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(scratch / "profile")
        options.intra_op_num_threads = threads or 0
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            (folder / entrant.file).read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
        image = resize(frames.image(0), entrant.input)[None]
        for _ in range(bench.WARM_UP + PROFILED_FRAMES):
            session.run(None, {name: image})
        text = Path(session.end_profiling()).read_bytes()
    return operator_times(text, PROFILED_FRAMES)


def operator_times(text: bytes, frames: int) -> dict[str, float]:
    """Return milliseconds a frame by operator, of the last ``frames`` runs in a profile.

    Every run has the same kernels: each node's last ``frames`` times are its own.
    """
    events = msgspec.convert(json.loads(text), list[_Event])
    nodes: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for event in events:
        if event.cat == "Node" and event.name.endswith("_kernel_time"):
            nodes[event.name].append((str(event.args.get("op_name", "other")), event.dur))
    totals: dict[str, float] = defaultdict(float)
    for times in nodes.values():
        for kind, microseconds in times[-frames:]:
            totals[kind] += microseconds / 1e3 / frames
    ordered = sorted(totals.items(), key=lambda item: -item[1])
    return {kind: round(value, 4) for kind, value in ordered}
