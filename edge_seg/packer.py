"""Pack: a tournament between engines, told from top to bottom.

    result = pack(Request(model=model, target=find("x86"), calibration=..., evaluation=...,
                          output=Path("lane.edgeseg")))
    result.manifest.winner   # "openvino/int8"

The model is folded, its activation ranges are collected once, and every engine of the
target lowers it. Each lowered file then runs the evaluation set through its own runtime;
those that lose more accuracy than the gate allows get their most sensitive layers back in
float, or are out. The fastest of the rest is packed, with the whole table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from edge_seg import engines, gate, rescue
from edge_seg.bench import quantiles
from edge_seg.bundle.archive import write_bundle
from edge_seg.bundle.manifest import Candidate, Gate, Machine, Manifest
from edge_seg.cache import Cache
from edge_seg.engines.lowering import Source
from edge_seg.errors import EdgeSegError, closest
from edge_seg.files import remove_stale, require_writable, sha256
from edge_seg.frames import FrameSet
from edge_seg.frames.check import require_calibration_set
from edge_seg.metrics import Evaluation
from edge_seg.packing import bundle_of
from edge_seg.preprocess import Frame, resize
from edge_seg.quantize import float_graph, layer_sensitivity, ranges, recipe
from edge_seg.quantize.graph import layers
from edge_seg.quantize.sensitivity import LayerNoise
from edge_seg.steps import Steps
from edge_seg.target import Target
from edge_seg.tournament import LATENCY_FRAMES, Arena, Contestant, reason

if TYPE_CHECKING:
    import onnx
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge_seg.models.model import Model

METHODS = ("ptq",)
SENSITIVITY_FRAMES = 2
"""Enough for a ranking: every frame gives each layer thousands of positions."""


@dataclass(frozen=True)
class Request:
    """What to pack. ``engines`` empty means all that the target names."""

    model: Model
    target: Target
    calibration: FrameSet
    evaluation: FrameSet
    output: Path
    engines: tuple[str, ...] = ()
    gate: Gate = field(default_factory=lambda: Gate(gate.MAX_DROP, gate.MAX_CLASS_DROP))
    method: str = "ptq"
    threads: int | None = None
    signing_key: Ed25519PrivateKey | None = None
    command: str = "edge-seg pack"


@dataclass(frozen=True)
class Judged:
    """A contestant's row in the making: measured, or failed with a reason."""

    engine: str
    precision: str
    contestant: Contestant | None = None
    evaluation: Evaluation | None = None
    peak_rss_bytes: int | None = None
    drop: float | None = None
    class_drop: dict[str, float | None] = field(default_factory=dict)
    missed: str = ""
    failed: str = ""

    @property
    def label(self) -> str:
        """``engine/precision``."""
        return f"{self.engine}/{self.precision}"


@dataclass(frozen=True)
class Result:
    """The packed file and all that was measured on the way.

    ``held`` is False when no candidate held the gate: the best one is then kept under
    ``<output>.rejected``, and ``message`` says why and what to do.
    """

    path: Path
    manifest: Manifest
    digest: str
    steps: Sequence[tuple[str, float]]
    held: bool
    message: str


def pack(request: Request, steps: Steps | None = None, cache: Cache | None = None) -> Result:
    """Run the tournament and write the bundle.

    Raises `EdgeSegError` for input that cannot be packed, or that no engine can take.
    """
    steps, cache = steps or Steps(), cache or Cache()
    _check(request)
    with steps("calibration set") as step:
        require_calibration_set(request.calibration)
        frames = network_frames(request.calibration, request.model)
        step.detail = f"{len(frames)} frames of {request.calibration.name}"
    with steps("fold") as step:
        graph = float_graph(request.model)
        step.detail = f"{len(layers(graph))} layers"
    with steps("ranges") as step:
        decided = decide(request, graph, frames, cache, steps)
        step.detail = f"{len(decided.ranges)} tensors"
    with steps("sensitivity"):
        noise = sensitivity(graph, decided, frames[:SENSITIVITY_FRAMES], cache, steps)
    source = Source(request.model, graph, decided, frames)
    arena = Arena(source, request.evaluation, cache, request.threads, steps.track)

    judged: list[Judged] = []
    for engine, precision in _entrants(request):
        with steps(f"{engine} {precision}") as step:
            judged.append(_judge(arena, engine, precision, request.gate, judged, noise))
            step.detail = _say(judged[-1])
    with steps("latency"):
        candidates = _timed(arena, judged)
    winner = choose(candidates)
    if winner is None:
        raise _nothing_to_pack(candidates)
    held = winner.status == "passed"
    candidates = [_crown(c) if c is winner and held else c for c in candidates]
    with steps("bundle") as step:
        champion = next(j.contestant for j in judged if j.label == winner.label)
        assert champion is not None
        path = request.output if held else _rejected(request.output)
        manifest, members = bundle_of(request, arena, judged, candidates, champion, noise, steps)
        bundle = write_bundle(path, manifest, members, request.signing_key)
        step.detail = f"{bundle.size_bytes / 1e6:.1f} MB"
    return Result(
        path=path,
        manifest=bundle.manifest,
        digest=bundle.digest,
        steps=steps.finished,
        held=held,
        message=_verdict(path, winner, held),
    )


def network_frames(frames: FrameSet, model: Model) -> list[Frame]:
    """Return a set's frames at the network's size."""
    return [resize(frames.image(index), model.input) for index in range(len(frames))]


def decide(
    request: Request, graph: onnx.ModelProto, frames: Sequence[Frame], cache: Cache, steps: Steps
) -> recipe.Recipe:
    """Return the recipe: activation ranges on the calibration set, no layer in float."""
    digest = sha256(graph.SerializeToString(deterministic=True))
    key = ("recipe", request.model.digest, digest, request.calibration.digest, request.method)
    known = cache.get(*key)
    if known is not None:
        return recipe.decode(known)
    decided = recipe.Recipe(
        model_digest=request.model.digest,
        calibration_digest=request.calibration.digest,
        method=request.method,
        layers=tuple(layers(graph)),
        ranges=ranges.collect_ranges(graph, frames, steps.track),
    )
    cache.put(recipe.encode(decided), *key)
    return decided


def sensitivity(
    graph: onnx.ModelProto,
    decided: recipe.Recipe,
    frames: Sequence[Frame],
    cache: Cache,
    steps: Steps,
) -> list[LayerNoise]:
    """Return every layer's noise when it alone is quantized, worst first."""
    digest = sha256(graph.SerializeToString(deterministic=True))
    key = ("sensitivity", digest, sha256(recipe.encode(decided)))
    known = cache.get(*key)
    if known is None:
        rows = layer_sensitivity(graph, decided, frames, steps.track)
        known = cache.put(msgspec.json.encode(rows), *key)
    return msgspec.json.decode(known, type=list[LayerNoise])


class StepRecord(msgspec.Struct, frozen=True):
    """One step and how long it took."""

    name: str
    seconds: float


class Record(msgspec.Struct, frozen=True):
    """The result as JSON: schema ``edge-seg/pack-1``."""

    schema: str
    bundle: str
    digest: str
    model: str
    target: str
    winner: str | None
    gate: Gate
    candidates: list[Candidate]
    steps: list[StepRecord]
    machine: Machine | None


def record(result: Result) -> Record:
    """Return what ``edge-seg pack --json`` writes."""
    manifest = result.manifest
    assert manifest.gate is not None
    return Record(
        schema="edge-seg/pack-1",
        bundle=str(result.path),
        digest=result.digest,
        model=manifest.model.name,
        target=manifest.target,
        winner=manifest.winner if result.held else None,
        gate=manifest.gate,
        candidates=manifest.candidates,
        steps=[StepRecord(name, seconds) for name, seconds in result.steps],
        machine=manifest.machine,
    )


def choose(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the fastest that passed, else the most accurate that was rejected, else None."""
    passed = [c for c in candidates if c.status == "passed"]
    if passed:
        return min(passed, key=lambda c: c.p50_ms or 0.0)
    rejected = [c for c in candidates if c.status == "rejected"]
    return min(rejected, key=lambda c: c.drop or 0.0) if rejected else None


def _check(request: Request) -> None:
    """Refuse what would only fail after minutes of work."""
    if request.method not in METHODS:
        raise EdgeSegError(f"unknown method '{request.method}': {closest(request.method, METHODS)}")
    unknown = set(request.engines) - set(request.target.engines)
    if unknown:
        name = sorted(unknown)[0]
        raise EdgeSegError(
            f"engine '{name}' does not compete on {request.target.name}: "
            f"{closest(name, request.target.engines)}"
        )
    if not request.evaluation.has_masks:
        raise EdgeSegError(
            f"evaluation set '{request.evaluation.name}' has frames without masks: "
            "accuracy can't be measured on it; name another with --eval"
        )
    if FrameSet.open(request.evaluation.path).digest != request.evaluation.digest:
        # The workers open it by its folder.
        raise EdgeSegError(
            f"evaluation set '{request.evaluation.name}' is a part of a frame set: write the "
            "part to a folder of its own (FrameSetWriter) and name that"
        )
    if request.evaluation.classes.names != request.model.classes.names:
        raise EdgeSegError(
            f"evaluation set '{request.evaluation.name}' labels "
            f"{', '.join(request.evaluation.classes.names)}, but the model has "
            f"{', '.join(request.model.classes.names)}: name a set of the model's classes"
        )
    if not any(precision != "float32" for _, precision in _entrants(request)):
        raise EdgeSegError(
            f"{', '.join(request.engines)} only competes as a float baseline, nothing would be "
            "packed: name an engine with an int8 way, or leave --engine at auto"
        )
    require_writable(request.output)
    remove_stale(request.output.parent)


def _entrants(request: Request) -> list[tuple[str, str]]:
    """Return (engine, precision) of all who compete: the float baselines first."""
    known = {name: engines.find(name) for name in request.target.engines}
    baselines = [(name, "float32") for name in known if "float32" in known[name].variants]
    wanted = request.engines or tuple(known)
    return baselines + [
        (name, precision)
        for name in known
        if name in wanted
        for precision in known[name].variants
        if precision != "float32"
    ]


def _judge(
    arena: Arena,
    name: str,
    precision: str,
    allowed: Gate,
    before: Sequence[Judged],
    noise: Sequence[LayerNoise],
) -> Judged:
    """Lower one entrant, run it, and hold it against the first baseline that ran."""
    try:
        contestant = arena.fastest_variant(engines.find(name), precision)
        evaluation, memory = arena.evaluate(contestant)
    except Exception as error:  # whatever a toolchain raises, the tournament goes on
        return Judged(name, precision, failed=reason(error))
    floats = (j.evaluation for j in before if j.precision == "float32" and j.evaluation)
    reference = evaluation if precision == "float32" else None
    reference = next(floats, reference)
    if reference is None:
        return Judged(name, precision, failed="no float baseline ran that it could be held against")
    rescued = rescue.Rescued(contestant, evaluation, memory)
    given_up = ""
    if precision != "float32":
        try:
            measured = (evaluation, memory)
            rescued = rescue.hold_gate(arena, contestant, measured, reference, allowed, noise)
            given_up = f"; up to {len(rescued.tried)} layers were tried back in float"
        except Exception as error:  # as above; what was measured before still counts
            given_up = f"; with layers back in float: {reason(error)}"
    contestant, evaluation, memory, _ = rescued
    drop, class_drop = gate.drops(reference, evaluation)
    missed = gate.why_missed(allowed, drop, class_drop)
    return Judged(
        engine=name,
        precision=precision,
        contestant=contestant,
        evaluation=evaluation,
        peak_rss_bytes=memory,
        drop=drop,
        class_drop=class_drop,
        missed=missed and missed + given_up,
    )


def _timed(arena: Arena, judged: Sequence[Judged]) -> list[Candidate]:
    """Time all that ran, side by side, and return everyone's row."""
    running = {j.label: j.contestant for j in judged if j.contestant is not None}
    timings, failed = arena.time_all(running, LATENCY_FRAMES, arena.track)
    rows = []
    for entry in judged:
        row = Candidate(
            engine=entry.engine,
            precision=entry.precision,
            status="failed",
            reason=entry.failed or failed.get(entry.label, ""),
        )
        if entry.evaluation is not None and entry.contestant is not None and entry.label in timings:
            total = quantiles(timings[entry.label])["total"]
            row = Candidate(
                engine=entry.engine,
                precision=entry.precision,
                status=_status(entry),
                reason=entry.missed if entry.precision != "float32" else "",
                miou=entry.evaluation.miou,
                drop=entry.drop,
                iou=entry.evaluation.iou,
                class_drop=entry.class_drop,
                p50_ms=total.p50_ms,
                p99_ms=total.p99_ms,
                size_bytes=len(entry.contestant.model),
                peak_rss_bytes=entry.peak_rss_bytes,
                float_layers=list(entry.contestant.float_layers),
            )
        rows.append(row)
    return rows


def _status(entry: Judged) -> Literal["baseline", "rejected", "passed"]:
    if entry.precision == "float32":
        return "baseline"
    return "rejected" if entry.missed else "passed"


def _crown(candidate: Candidate) -> Candidate:
    return msgspec.structs.replace(candidate, status="winner")


def _say(entry: Judged) -> str:
    if entry.failed:
        return f"failed: {entry.failed}"
    assert entry.evaluation is not None and entry.contestant is not None
    kept = len(entry.contestant.float_layers)
    floats = f", {kept} layers in float" if kept else ""
    verdict = f", misses the gate: {entry.missed}" if entry.missed else ""
    return (
        f"mIoU {entry.evaluation.miou:.2f} %, {len(entry.contestant.model) / 1e6:.1f} MB"
        f"{floats}{verdict}"
    )


def _nothing_to_pack(candidates: Sequence[Candidate]) -> EdgeSegError:
    reasons = "; ".join(f"{c.label}: {c.reason}" for c in candidates if c.status == "failed")
    return EdgeSegError(f"no engine could take the model: {reasons}")


def _verdict(path: Path, winner: Candidate, held: bool) -> str:
    if held:
        return f"{winner.label} wins: packed as {path}"
    return (
        f"no candidate held the gate; the best, {winner.label}, is kept as {path}: "
        f"{winner.reason}. Its report says what was tried; allow more with --max-drop, "
        "calibrate on frames closer to the evaluation set, or train longer"
    )


def _rejected(output: Path) -> Path:
    return output.with_name(output.name + ".rejected")
