"""What goes into the bundle once the winner is known: manifest, golden frames, report, card."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import msgspec
import numpy as np

import edge_seg
from edge_seg.bundle.golden import CAMERA_AGREEMENT, NETWORK, make_golden
from edge_seg.bundle.manifest import (
    Candidate,
    EngineRef,
    FrameSetRef,
    GoldenFrame,
    Manifest,
    ModelSource,
)
from edge_seg.figures import figure
from edge_seg.frames import FrameSet
from edge_seg.machine import this_machine
from edge_seg.masks import agreeing, to_masks
from edge_seg.packing.model_card import model_card
from edge_seg.packing.tournament import Arena, Contestant
from edge_seg.pipeline import Pipeline
from edge_seg.preprocess import Mask, resize, resize_mask
from edge_seg.quantize import quantize_graph
from edge_seg.quantize.recipe import encode
from edge_seg.quantize.sensitivity import LayerNoise, simulate
from edge_seg.report.page import write_report
from edge_seg.report.record import CheckRow, LayerRow, RangeRow, ReportData, Sample, SetInfo
from edge_seg.steps import Steps

if TYPE_CHECKING:
    from edge_seg.packing.judging import Judged
    from edge_seg.packing.request import Request
    from edge_seg.target import Inspection

SHOWN = 4
"""Evaluation frames in the report; the first of them are the golden frames too."""
GOLDEN = 2
TOOLS = (
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "openvino",
    "litert-torch",
    "ai-edge-quantizer",
    "ai-edge-litert",
    "tensorrt-rtx-cu13-bindings",
    "numpy",
    "opencv-python-headless",
)
AGREEMENT_GOAL = 99.5
"""Percent of pixels: below it the report must explain."""

Masks = dict[str, list[Mask]]


@dataclass(frozen=True)
class Shown:
    """The evaluation frames that are shown, and the masks that every contestant gives for them."""

    indices: tuple[int, ...]
    contestants: Sequence[Contestant]
    masks: Masks


def show(arena: Arena, judged: Sequence[Judged], candidates: Sequence[Candidate]) -> Shown:
    """Run all contestants that are left on a few frames."""
    indices = _spread(len(arena.evaluation), SHOWN)
    alive = {c.label for c in candidates if c.status != "failed"}
    ran = [j.contestant for j in judged if j.contestant is not None and j.label in alive]
    return Shown(indices, ran, {c.label: arena.masks(c, indices) for c in ran})


def golden_of(
    arena: Arena, contestant: Contestant, shown: Shown, precision: str | None = None
) -> tuple[list[GoldenFrame], dict[str, bytes]]:
    """Return the first of the shown frames as golden ones, in the camera's and the network's size.

    The masks of the latter are made in this process, which is how a bundle will be run.
    ``precision`` is given for an alternative.
    """
    spec = arena.source.model.input
    images = [arena.evaluation.image(index) for index in shown.indices[:GOLDEN]]
    masks = shown.masks[contestant.label][:GOLDEN]
    tests, members = make_golden(images, masks, CAMERA_AGREEMENT, precision=precision)
    small = [resize(image, spec) for image in images]
    pipeline = Pipeline(
        contestant.runner.open(contestant.run_file, spec, contestant.options, arena.threads)
    )
    more_tests, more_members = make_golden(
        small, [pipeline(i) for i in small], folder=NETWORK, precision=precision
    )
    pipeline.close()
    return tests + more_tests, members | more_members


def manifest_of(
    request: Request,
    arena: Arena,
    candidates: list[Candidate],
    champion: Contestant,
    shown: Shown,
) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest, and the members that it names: model and golden frames."""
    held = any(c.status == "winner" for c in candidates)
    golden, members = golden_of(arena, champion, shown)
    alternatives = {}
    for other in _alternatives(champion, candidates, shown):
        name = f"model-{other.precision}.{other.engine.suffix}"
        tests, pictures = golden_of(arena, other, shown, other.precision)
        golden += tests
        members |= {name: other.model, **pictures}
        alternatives[other.precision] = name
    model_file = f"model.{champion.engine.suffix}"
    manifest = Manifest(
        name=f"{request.model.name}-{request.target.name}",
        target=request.target.name,
        device=request.device,
        architecture=request.architecture,
        model=ModelSource(request.model.name, request.model.digest),
        input=request.model.input,
        classes=request.model.classes,
        engine=EngineRef(
            champion.engine.name,
            champion.engine.distribution,
            champion.engine.runtime_version() if champion.runner is champion.engine else "",
            champion.engine.minimum_version,
        ),
        precision=champion.precision,
        model_file=model_file,
        alternatives=alternatives,
        recipe=None,
        options={**champion.options, **request.options},
        calibration=_source(request.calibration),
        evaluation=_source(request.evaluation),
        gate=msgspec.structs.replace(request.gate, held=held),
        candidates=candidates,
        winner=champion.label,
        versions=tool_versions(),
        machine=this_machine(),
        golden=golden,
    )
    return manifest, {**members, model_file: champion.model}


def _alternatives(
    champion: Contestant, candidates: Sequence[Candidate], shown: Shown
) -> list[Contestant]:
    """Return the champion's engine in other precisions that hold the gate: the device decides."""
    passed = {c.label for c in candidates if c.status == "passed"} - {champion.label}
    return [
        other
        for other in shown.contestants
        if champion.engine.stand_in and other.engine is champion.engine and other.label in passed
    ]


def documents(
    request: Request,
    arena: Arena,
    manifest: Manifest,
    champion: Contestant,
    shown: Shown,
    noise: Sequence[LayerNoise],
    steps: Steps,
    inspections: Mapping[str, Inspection],
    doubts: Sequence[str],
) -> dict[str, bytes]:
    """Return the members that people read: recipe, report and model card."""
    agreement = {
        c.label: _agreement(arena, c, shown) for c in shown.contestants if c.precision == "int8"
    }
    recipe = champion.source.recipe
    reference = shown.contestants[0].label
    report = ReportData(
        title=f"{request.model.name} for {request.target.name}",
        model=request.model.name,
        target=request.target.name,
        candidates=manifest.candidates,
        gate=request.gate,
        classes=request.model.classes,
        command=request.command,
        samples=_samples(request.evaluation, shown, reference, champion.label),
        sensitivity=[
            LayerRow(row.layer, row.sqnr_db, row.layer in champion.float_layers) for row in noise
        ],
        ranges=[RangeRow(name, low, high) for name, (low, high) in recipe.ranges.items()],
        learning=[CheckRow(check.step, check.loss, check.held_out) for check in recipe.curve],
        calibration=_info(request.calibration),
        evaluation=_info(request.evaluation),
        steps=steps.finished,
        versions=manifest.versions,
        machine=manifest.machine,
        agreement=agreement,
        notes=[*doubts, *_method_notes(champion), *_notes(manifest, agreement)],
        inspections=dict(inspections),
    )
    return {
        "recipe.json": encode(recipe),
        "report.html": write_report(report).encode(),
        "MODEL_CARD.md": model_card(
            manifest, request.model, _method_notes(champion), doubts
        ).encode(),
    }


def tool_versions() -> dict[str, str]:
    """Return the versions of everything that had a hand in the result."""
    found = {"edge_seg": edge_seg.__version__, "python": platform.python_version()}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _agreement(arena: Arena, contestant: Contestant, shown: Shown) -> float:
    """Return the percent of pixels on which a contestant's masks equal the simulation's."""
    source = contestant.source
    graph = quantize_graph(source.graph, source.recipe)
    images = [arena.evaluation.image(index) for index in shown.indices]
    logits = simulate(graph, [resize(image, source.model.input) for image in images])
    classes = source.model.classes
    equal = [
        agreeing(resize_mask(simulated, *mask.shape), mask, classes)
        for simulated, mask in zip(
            to_masks(logits, classes), shown.masks[contestant.label], strict=True
        )
    ]
    return float(np.mean(equal))


def _samples(frames: FrameSet, shown: Shown, reference: str, champion: str) -> list[Sample]:
    rows = []
    for position, index in enumerate(shown.indices):
        frame = frames[index]
        float_mask = shown.masks[reference][position]
        int8_mask = shown.masks[champion][position]
        rows.append(Sample(frame.id, frame.image, float_mask, int8_mask, frame.mask))
    return rows


def _method_notes(champion: Contestant) -> list[str]:
    """Say what was done to the weights, and what it found."""
    if champion.method in ("", "ptq"):
        return []
    recipe = champion.source.recipe
    return [f"method {recipe.method}, ranges by {recipe.range_rule}", *recipe.notes]


def _notes(manifest: Manifest, agreement: dict[str, float]) -> list[str]:
    """Say what a reader would otherwise stumble over."""
    notes = [
        f"{label} agrees with the simulation on {share:.2f} % of pixels, less than "
        f"{AGREEMENT_GOAL} %: {_why_apart(label)}"
        for label, share in agreement.items()
        if share < AGREEMENT_GOAL
    ]
    candidates = manifest.candidates
    notes += [
        f"{c.label}: {'; '.join(c.tried)}; what counts is {_how(c)}" for c in candidates if c.tried
    ]
    winner = next((c for c in candidates if c.status == "winner"), None)
    for baseline in (c for c in candidates if c.status == "baseline"):
        if winner and winner.p50_ms and baseline.p50_ms and baseline.p50_ms < winner.p50_ms:
            notes.append(
                f"on this machine {baseline.label} is faster than the packed {winner.label}"
            )
    stood_in = {c.engine: c.run_by for c in candidates if c.run_by}
    notes += [
        f"{engine} was not run here, as this machine has no hardware for it: {stand_in} ran its "
        "files in its place, int8 with integer kernels where it has them. Its masks are what the "
        "device is held to; latency and memory are for the device to measure"
        for engine, stand_in in stood_in.items()
    ]
    if manifest.architecture != platform.machine() and not stood_in:
        notes.append(
            f"latencies and memory are of the {platform.machine()} machine that packed, not of a "
            f"{manifest.target}: edge-seg bench BUNDLE --attach measures on the device"
        )
    notes += [
        f"proven on an emulated {proof.processor} ({proof.emulator}, {proof.runtime} "
        f"{proof.runtime_version}): {proof.identical} of {proof.frames} masks of the network's "
        f"size identical, the worst agrees on {proof.agreement_min:.2f} % of pixels; with the "
        f"device's own resize {figure(proof.camera_agreement_min)} %"
        for proof in manifest.proven
    ]
    return notes


def _how(candidate: Candidate) -> str:
    kept = len(candidate.float_layers)
    floats = f" with {kept} layer{'s' if kept > 1 else ''} in float" if kept else ""
    return candidate.method + floats


def _why_apart(label: str) -> str:
    if label.startswith(("fbgemm", "qnnpack")):
        return "it puts what meets in a concatenation on one grid, which is coarser for some"
    if label.startswith("litert"):
        return "its kernels round differently; logits that are not resized leave it as 8 bits"
    if label.startswith("tensorrt"):
        return "its grid is signed and symmetric, a bit coarser behind a ReLU"
    return "its kernels round differently where two classes are level"


def _spread(count: int, wanted: int) -> tuple[int, ...]:
    """Return up to ``wanted`` indices spread evenly over ``count`` frames."""
    return tuple(sorted({round(i * (count - 1) / max(1, wanted - 1)) for i in range(wanted)}))


def _source(frames: FrameSet) -> FrameSetRef:
    return FrameSetRef(frames.name, frames.digest, len(frames))


def _info(frames: FrameSet) -> SetInfo:
    return SetInfo(frames.name, frames.digest, len(frames), frames.licence)
