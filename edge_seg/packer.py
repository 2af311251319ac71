"""Pack: a tournament between engines, told from top to bottom.

    result = pack(Request(model=model, target=find("x86"), calibration=..., evaluation=...,
                          output=Path("lane.edgeseg")))
    result.manifest.winner   # "openvino/int8"

The model is folded, its activation ranges are collected once, a method fits its weights to the
integer grid, and every engine of the target lowers it. Each lowered file then runs the evaluation
set through its own runtime; those that lose more accuracy than the gate allows get their most
sensitive layers back in float, or are out. The fastest of the rest is packed, with the whole table.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from edge_seg.bundle.archive import write_bundle
from edge_seg.bundle.manifest import Candidate, Manifest, Proof
from edge_seg.cache import Cache
from edge_seg.engines.lowering import Source
from edge_seg.errors import EdgeSegError, NoSpaceError
from edge_seg.figures import figure
from edge_seg.files import remove_stale, require_space
from edge_seg.frames.check import require_calibration_set
from edge_seg.models.model import weight_bytes
from edge_seg.packing.contents import documents, manifest_of, show
from edge_seg.packing.deciding import decide, for_integers, network_frames, sensitivity
from edge_seg.packing.doubts import doubts
from edge_seg.packing.judges import as_given, for_int8
from edge_seg.packing.judging import Judged, choose, say, timed, too_slow
from edge_seg.packing.proof import prove
from edge_seg.packing.request import (
    NothingPackedError,
    Request,
    Result,
    check,
    entrants,
    record,
)
from edge_seg.packing.tournament import FOREIGN_FRAMES, LATENCY_FRAMES, Arena
from edge_seg.quantize import float_graph
from edge_seg.quantize.float_graph import unfolded_graph
from edge_seg.quantize.graph import layers
from edge_seg.steps import Steps

__all__ = ["Request", "Result", "pack", "record"]

FILES_KEPT = 20
"""Model files that a pack keeps at most, in units of the float model: every engine's ways."""


def pack(request: Request, steps: Steps | None = None, cache: Cache | None = None) -> Result:
    """Run the tournament and write the bundle.

    Raises `EdgeSegError` for input that cannot be packed, `NothingPackedError` where no engine
    can take the model.
    """
    steps, cache = steps or Steps(), cache or Cache()
    check(request)
    remove_stale(request.output.parent)
    for folder in (Path(tempfile.gettempdir()), cache.folder):
        require_space(folder, FILES_KEPT * weight_bytes(request.model))
    with steps("calibration set") as step:
        require_calibration_set(request.calibration)
        frames = network_frames(request.calibration, request.model)
        step.detail = f"{len(frames)} frames of {request.calibration.name}"
    with steps("fold") as step:
        fold = float_graph if request.fold_batch_norm else unfolded_graph
        graph = fold(request.model)
        step.detail = f"{len(layers(graph))} layers"
    with steps("ranges") as step:
        decided = decide(request, graph, frames, cache, steps.track)
        step.detail = f"{len(decided.ranges)} tensors"
    given = Source(request.model, graph, decided, frames)
    arena = Arena(
        given, request.evaluation, cache, request.threads, steps.track, request.target.inspect
    )
    judge_int8 = for_int8(request, replace(arena, source=for_integers(given)), steps)

    judged: list[Judged] = []
    for engine, precision in entrants(request):
        with steps(f"{engine} {precision}") as step:
            # What a method makes of the weights is for the integer grid alone.
            judge_it = judge_int8 if precision == "int8" else as_given(request, arena)
            judged.append(judge_it(engine, precision, judged))
            step.detail = say(judged[-1])
    with steps("latency"):
        here = request.architecture == platform.machine()
        candidates = timed(arena, judged, LATENCY_FRAMES if here else FOREIGN_FRAMES)
    winner = choose(candidates, request.gate.max_p50_ms)
    if winner is None:
        raise NothingPackedError(candidates)
    late = too_slow(winner, request.gate.max_p50_ms)
    held = winner.status == "passed" and not late
    candidates = [_crown(c) if c is winner and held else c for c in candidates]
    champion = next(j.contestant for j in judged if j.label == winner.label)
    assert champion is not None
    with steps("sensitivity"):
        noise = sensitivity(champion.source, cache, steps.track)
    with steps("golden frames"):
        shown = show(arena, judged, candidates)
        inspections = {j.label: j.inspection for j in judged if j.inspection is not None}
        manifest, members = manifest_of(request, arena, candidates, champion, shown)
    unproven = ""
    if request.prove:
        with steps("proof") as step:
            manifest, unproven = _proven(request, manifest, members, steps)
            step.detail = unproven or ", ".join(proof.processor for proof in manifest.proven)
    with steps("bundle") as step:
        doubtful = doubts(judged, winner.label)
        members |= documents(
            request, arena, manifest, champion, shown, noise, steps, inspections, doubtful
        )
        manifest = msgspec.structs.replace(manifest, recipe="recipe.json")
        path = request.output if held and not unproven else _rejected(request.output)
        bundle = write_bundle(path, manifest, members, request.signing_key)
        step.detail = f"{bundle.size_bytes / 1e6:.1f} MB"
    return Result(
        path=path,
        manifest=bundle.manifest,
        digest=bundle.digest,
        steps=steps.finished,
        held=held and not unproven,
        warnings=doubtful,
        curve=champion.source.recipe.curve,
        message=f"{unproven}; kept as {path}" if unproven else _verdict(path, manifest, held, late),
    )


def _proven(
    request: Request, manifest: Manifest, members: Mapping[str, bytes], steps: Steps
) -> tuple[Manifest, str]:
    """Return the manifest with its proofs, and why the bundle is not proven, if it is not.

    A proof that could not be made is no reason to lose what was packed.
    """
    try:
        manifest = prove(request.target, manifest, members, steps.track)
    except NoSpaceError:
        raise
    except EdgeSegError as error:
        return manifest, f"there is no proof: {error}"
    failed = next((proof for proof in manifest.proven if not proof.passed), None)
    return manifest, _disproof(failed) if failed else ""


def _crown(candidate: Candidate) -> Candidate:
    return msgspec.structs.replace(candidate, status="winner")


def _disproof(proof: Proof) -> str:
    return (
        f"on an emulated {proof.processor} only {proof.agreement_min:.2f} % of a golden frame's "
        "pixels are as packed: pack with another --engine, and report it"
    )


def _verdict(path: Path, manifest: Manifest, held: bool, late: str) -> str:
    winner = next(c for c in manifest.candidates if c.label == manifest.winner)
    if held and winner.run_by:
        precisions = " and ".join([manifest.precision, *manifest.alternatives])
        return (
            f"{manifest.engine.name} {precisions} packed as {path}: the device times what it holds "
            "(edge-seg build there)"
        )
    if held:
        return f"{winner.label} wins: packed as {path}"
    others = _nearer(winner, manifest, late)
    if late and winner.status == "passed":
        return (
            f"nothing that holds the accuracy is as fast as asked; the nearest, {winner.label}, is "
            f"kept as {path}: {late}.{others} Allow that with --max-ms, or pack a smaller network"
        )
    if late:
        return (
            "no candidate holds the accuracy, and none is as fast as asked; the most accurate, "
            f"{winner.label}, is kept as {path}: {winner.reason}; {late}.{others} Allow more with "
            "--max-drop or --max-class-drop, and with --max-ms, or pack another network"
        )
    return (
        f"no candidate held the gate; the best, {winner.label}, is kept as {path}: "
        f"{winner.reason}.{others} Its report says what was tried; allow more with --max-drop or "
        "--max-class-drop, calibrate on frames closer to the evaluation set, or train longer"
    )


def _nearer(winner: Candidate, manifest: Manifest, late: str) -> str:
    """Name what comes nearer to one half of the gate, with its other half, than what is kept.

    Where there is no budget for a frame the best is the most accurate, and no time is missed.
    """
    ran = [c for c in manifest.candidates if c.status in ("passed", "rejected")]
    told = []
    if winner.status == "rejected":
        best = min(ran, key=lambda c: c.drop or 0.0)
        told += [f" The most accurate, {_halves(best)}."] if best.drop != winner.drop else []
    if late:
        best = min((c for c in ran if c.p50_ms), key=lambda c: c.p50_ms or 0.0)
        told += [f" The fastest, {_halves(best)}."] if best.p50_ms != winner.p50_ms else []
    return "".join(told)


def _halves(candidate: Candidate) -> str:
    return (
        f"{candidate.label}, loses {figure(candidate.drop)} points and takes "
        f"{figure(candidate.p50_ms, 1)} ms a frame"
    )


def _rejected(output: Path) -> Path:
    return output.with_name(output.name + ".rejected")
