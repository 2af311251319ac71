"""What to pack, checked before any work, and what came out of it."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_seg import engines, gate
from edge_seg.bundle.manifest import Candidate, Gate, Machine, Manifest
from edge_seg.classes import require_same
from edge_seg.errors import EdgeSegError, closest
from edge_seg.files import require_writable
from edge_seg.frames import FrameSet
from edge_seg.machine import this_machine
from edge_seg.packing.methods import AUTO, parse_method
from edge_seg.quantize.learn.curve import Check
from edge_seg.quantize.observers import RULES
from edge_seg.quantize.recipe import BITS, Weights
from edge_seg.steps import Steps
from edge_seg.target import Target

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge_seg.engines import Engine
    from edge_seg.engines.session import Options
    from edge_seg.models.model import Model
    from edge_seg.quantize.learn.lesson import Settings

WITH_RANGES = ("int8", "w8a16")
"""Precisions whose activations are integers, on ranges of the recipe's observer."""


@dataclass(frozen=True)
class Request:
    """What to pack.

    ``engines`` empty means all that the target names, ``precisions`` empty all but those that
    compete on demand. ``device`` is one of the target's devices, or empty; ``options`` are handed
    to the engine on the device (``{"dla": True}``). ``method`` is a chain of `packing.methods` or
    "auto", ``observer`` and ``weights`` say on which grid it starts, ``fold_batch_norm`` whether
    layers take up their batch norm first; ``lesson`` says how ``qat`` learns, with ``labels`` from
    the calibration set's masks too. ``prove`` asks for the target's proof of what was packed.
    """

    model: Model
    target: Target
    calibration: FrameSet
    evaluation: FrameSet
    output: Path
    engines: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    gate: Gate = field(default_factory=lambda: Gate(gate.MAX_DROP, gate.MAX_CLASS_DROP))
    method: str = "ptq"
    observer: str = "minmax"
    weights: Weights = field(default_factory=Weights)
    fold_batch_norm: bool = True
    lesson: Settings | None = None
    labels: bool = False
    device: str = ""
    options: Options = field(default_factory=dict)
    threads: int | None = None
    prove: bool = False
    signing_key: Ed25519PrivateKey | None = None
    command: str = "edge-seg pack"

    @property
    def architecture(self) -> str:
        """`platform.machine()` of the device."""
        kind = self.target.device(self.device) if self.device else None
        return kind.architecture if kind else self.target.architecture


@dataclass(frozen=True)
class Result:
    """The packed file and all that was measured on the way.

    ``held`` is False when no candidate held the gate: the best one is then kept under
    ``<output>.rejected``, and ``message`` says why and what to do. ``warnings`` are what to see to
    before what was packed is believed, ``curve`` how its fine-tuning went, where there was one.
    """

    path: Path
    manifest: Manifest
    digest: str
    steps: Sequence[tuple[str, float]]
    held: bool
    message: str
    warnings: Sequence[str] = ()
    curve: Sequence[Check] = ()


def check_names(
    target: Target, wanted: Sequence[str], precisions: Sequence[str], method: str
) -> None:
    """Refuse an engine, precision or method that there is not, before the model is loaded."""
    if method != AUTO:
        parse_method(method)
    for name in wanted:
        if name not in target.engines:
            raise EdgeSegError(
                f"engine '{name}' does not compete on {target.name}: "
                f"{closest(name, target.engines)}"
            )
    known = {p for name in target.engines for p in engines.find(name).variants}
    known -= {"float32"}  # a baseline: it competes with nobody
    for name in precisions:
        if name not in known:
            hint = closest(name, sorted(known))
            raise EdgeSegError(f"no engine of {target.name} competes in precision '{name}': {hint}")


def check_grid(observer: str, bits: int) -> None:
    """Refuse an observer or a number of bits that there is not."""
    if observer not in RULES:
        raise EdgeSegError(f"unknown observer '{observer}': {closest(observer, RULES)}")
    if bits not in BITS:
        raise EdgeSegError(
            f"weights have {', '.join(map(str, reversed(BITS)))} bits, not {bits}: 7 is what x86's "
            "kernels take without saturating"
        )


def check_fold(method: str, fold: bool) -> None:
    """Refuse to equalize layers that keep their batch norm: it is made for folded ones."""
    if not fold and method != AUTO and "equalize" in parse_method(method):
        raise EdgeSegError(
            f"method '{method}' equalizes, which is for layers that have taken up their batch "
            "norm: fold it, or take another method"
        )


def check_lesson(method: str, delay: int, labels: bool, given: Sequence[str] = ()) -> None:
    """Refuse settings of a fine-tuning that would do nothing.

    ``given`` are the names of those that were asked for besides ``delay`` and ``labels``.
    """
    tunes = method != AUTO and "tune" in parse_method(method)
    asked = [name for name, wanted in (("delay", delay), ("labels", labels)) if wanted]
    asked += [] if method == AUTO else given  # auto may come to fine-tune, without masks
    if asked and not tunes:
        raise EdgeSegError(
            f"{', '.join(asked)}: for fine-tuning alone; leave out, or choose a method with qat"
        )
    if delay and not labels:
        raise EdgeSegError(
            "in float the network already gives its own answers: a delay needs labels"
        )


def check_gate(drops: Gate) -> None:
    """Refuse a gate that no figure can be held against."""
    if not (math.isfinite(drops.max_drop) and math.isfinite(drops.max_class_drop)):
        raise EdgeSegError("the gate's drops are points, such as 0.5, not infinite and not NaN")
    if drops.max_p50_ms is not None and not math.isfinite(drops.max_p50_ms):
        raise EdgeSegError("the gate's time is in milliseconds, such as 50, not infinite, not NaN")


def check_device(target: Target, device: str, options: Options) -> None:
    """Refuse a device that the target does not know, and an option that the device lacks."""
    kind = target.device(device) if device else None
    for name, wanted in options.items():
        having = [k.name for k in target.devices if name in k.accelerators]
        if wanted and not having:
            raise EdgeSegError(f"target {target.name} has no {name}: leave --{name} out")
        if wanted and kind is not None and kind.name not in having:
            raise EdgeSegError(
                f"{kind.name} has no {name}, {' and '.join(having)} have: leave --{name} out"
            )


def check(request: Request) -> None:
    """Refuse what would only fail after minutes of work."""
    check_names(request.target, request.engines, request.precisions, request.method)
    check_device(request.target, request.device, request.options)
    check_grid(request.observer, request.weights.bits)
    check_fold(request.method, request.fold_batch_norm)
    check_lesson(request.method, request.lesson.delay if request.lesson else 0, request.labels)
    check_gate(request.gate)
    if request.prove and request.target.prove is None:
        raise EdgeSegError(
            f"there is no proof for target {request.target.name}: leave --prove out, and run "
            "edge-seg verify on the device"
        )
    if request.prove:
        request.target.require_prover()
    if request.gate.max_p50_ms is not None and request.architecture != platform.machine():
        raise EdgeSegError(
            f"how long a frame takes on a {request.target.name} is for the device to measure "
            "(edge-seg bench BUNDLE --attach): leave --max-ms out"
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
    require_same(
        request.evaluation.classes,
        request.model.classes,
        (f"evaluation set '{request.evaluation.name}'", "the model"),
        "name a set with --eval that is labelled as the model was taught",
    )
    if not any(precision != "float32" for _, precision in entrants(request)):
        raise EdgeSegError(
            "only float baselines would compete, and nothing be packed: leave --engine and "
            "--precision at auto, or name an engine and a precision that it has"
        )
    _refuse_idle_grid(request)
    require_writable(request.output)


def _refuse_idle_grid(request: Request) -> None:
    """Refuse what was asked of an integer grid on which nobody competes."""
    competing, weights = {precision for _, precision in entrants(request)}, request.weights
    asked = (
        (f"--method {request.method}", request.method != "ptq", ("int8",)),
        ("--labels", request.labels, ("int8",)),
        (f"--weight-bits {weights.bits}", weights.bits != Weights().bits, ("int8",)),
        ("--per-tensor", not weights.per_channel, WITH_RANGES),
        (f"--observer {request.observer}", request.observer != "minmax", WITH_RANGES),
    )
    idle = [name for name, wanted, grid in asked if wanted and competing.isdisjoint(grid)]
    if idle:
        raise EdgeSegError(
            f"{', '.join(idle)}: for int8, which would not compete, so nothing would come of it: "
            "leave it out, or have int8 compete with --precision and --engine"
        )


def entrants(request: Request) -> list[tuple[str, str]]:
    """Return (engine, precision) of all who compete: the float baselines first."""
    known = {name: engines.find(name) for name in request.target.engines}
    baselines = [(name, "float32") for name in known if "float32" in known[name].variants]
    wanted = request.engines or tuple(known)
    return baselines + [
        (name, precision)
        for name in known
        if name in wanted
        for precision in known[name].variants
        if precision != "float32" and _asked_for(request, known[name], precision)
    ]


def _asked_for(request: Request, engine: Engine, precision: str) -> bool:
    for name in (name for name, wanted in request.options.items() if wanted):
        if not any(precision in k.accelerators.get(name, ()) for k in request.target.devices):
            return False
    if request.precisions:
        return precision in request.precisions
    return precision not in engine.on_demand


class NothingPackedError(EdgeSegError):
    """No engine could take the model; ``candidates`` says of each why."""

    def __init__(self, candidates: list[Candidate]) -> None:
        reasons = "; ".join(f"{c.label}: {c.reason}" for c in candidates if c.status == "failed")
        super().__init__(f"no engine could take the model: {reasons}")
        self.candidates = candidates


class StepRecord(msgspec.Struct, frozen=True):
    """One step and how long it took."""

    name: str
    seconds: float


class Record(msgspec.Struct, frozen=True):
    """The result as JSON: schema ``edge-seg/pack-1``."""

    schema: str
    bundle: str | None
    digest: str | None
    model: str
    target: str
    winner: str | None
    gate: Gate
    candidates: list[Candidate]
    steps: list[StepRecord]
    machine: Machine | None
    warnings: list[str] = []
    curve: list[Check] = []


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
        warnings=list(result.warnings),
        curve=list(result.curve),
    )


def record_of_nothing(request: Request, candidates: list[Candidate], steps: Steps) -> Record:
    """Return the same where no engine could take the model."""
    return Record(
        schema="edge-seg/pack-1",
        bundle=None,
        digest=None,
        model=request.model.name,
        target=request.target.name,
        winner=None,
        gate=request.gate,
        candidates=candidates,
        steps=[StepRecord(name, seconds) for name, seconds in steps.finished],
        machine=this_machine(),
    )
