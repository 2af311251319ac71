"""The manifest: what a bundle holds, how to run it, and what was measured.

    manifest = decode(payload)          # refuses what is not a manifest, in one line
    manifest.engine.name                # "openvino"
    manifest.candidates[0].drop         # points of mean IoU

Law: ``decode(encode(manifest)) == manifest`` for a manifest without NaN (JSON has none:
a metric that does not exist is ``None``). Equal manifests encode to equal bytes.

Within one schema number fields may be added, with a default, and an older reader ignores
them; a change that an older reader must not ignore takes the next number.
"""

from __future__ import annotations

import platform
import re
from typing import Annotated, Literal

import msgspec

from edge_seg.bundle.errors import BundleError
from edge_seg.classes import ClassMap
from edge_seg.depth_metrics import DepthErrors
from edge_seg.errors import in_one_line
from edge_seg.preprocess import InputSpec

SCHEMA_NUMBER = 1
SCHEMA = f"edge-seg/bundle-{SCHEMA_NUMBER}"
MAX_MANIFEST_BYTES = 4 * 2**20
"""A manifest of ten candidates takes about 10 kB."""
MAX_INPUT_SIDE = 16384
"""Pixels; a manifest that asks for more would make a reader allocate gigabytes."""

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Percent = float
"""0..100; a difference of two of them is in points."""


class ModelSource(msgspec.Struct, frozen=True):
    """The float model that the bundle came from; ``digest`` covers weights and config."""

    name: str
    digest: str


class FrameSetRef(msgspec.Struct, frozen=True):
    """A frame set that took part, and how many of its frames."""

    name: str
    digest: str
    frames: Count


class EngineRef(msgspec.Struct, frozen=True):
    """The engine that runs the model file, and the runtime versions that may.

    ``runtime`` is the name of the Python package, ``runtime_version`` the one the numbers
    were measured with, empty where a stand-in ran (`Candidate.run_by`); the range is inclusive
    at both ends, ``None`` is no limit.
    """

    name: str
    runtime: str
    runtime_version: str
    runtime_min: str | None = None
    runtime_max: str | None = None


class Gate(msgspec.Struct, frozen=True):
    """The accuracy drop that was allowed, in points of IoU, and whether the winner held it.

    ``max_p50_ms`` is the most that a frame's median may take where it was packed, None anything.
    """

    max_drop: float
    max_class_drop: float
    held: bool = True
    max_p50_ms: float | None = None


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One engine x precision in the tournament: what was measured on its own file.

    A metric is ``None`` where it was not measured (the candidate failed before), and the
    IoU of a class is ``None`` where the class is absent from the evaluation set.
    ``reason`` says why a candidate was rejected or failed. ``options`` is the engine's own
    way of running it that took least time (where the resize is, how class ids are found).
    ``run_by`` names the stand-in that ran its file, where the host lacks the engine's hardware.
    ``method`` is what was done to the weights and ranges of an int8 file, ``tried`` which methods
    before it missed the gate, and why, which were left out, and which layers a budget of time kept
    int8. Of a depth ``depth`` holds what ``miou`` and ``iou`` do not.
    """

    engine: str
    precision: str
    status: Literal["winner", "passed", "rejected", "failed", "baseline"]
    reason: str = ""
    miou: Percent | None = None
    drop: float | None = None
    iou: dict[str, Percent | None] = {}
    class_drop: dict[str, float | None] = {}
    p50_ms: float | None = None
    p99_ms: float | None = None
    size_bytes: Count | None = None
    peak_rss_bytes: Count | None = None
    float_layers: list[str] = []
    options: dict[str, str | int | float | bool] = {}
    run_by: str = ""
    method: str = ""
    tried: list[str] = []
    depth: DepthErrors | None = None

    @property
    def score(self) -> Percent | None:
        """What the gate is about: mean IoU, of a depth SSIM."""
        return self.miou if self.depth is None else self.depth.ssim

    @property
    def label(self) -> str:
        """``engine/precision``, the candidate's name in tables and in `Manifest.winner`."""
        return f"{self.engine}/{self.precision}"

    @property
    def way(self) -> str:
        """How the engine ran it: ``ids argmax, resize host``."""
        return ", ".join(f"{name} {choice}" for name, choice in sorted(self.options.items()))


class DeviceState(msgspec.Struct, frozen=True, kw_only=True):
    """How a device fared at one moment: clock of its fastest core, heat, what slows it down.

    ``throttled`` holds words of `edge_seg.device.THROTTLING`, none where nothing does; what the
    device does not tell is ``None``.
    """

    clock_mhz: float | None = None
    temperature_c: float | None = None
    throttled: list[str] | None = None


class Latency(msgspec.Struct, frozen=True):
    """How long frames took on a device: ``stages["total"]["p50"]``, milliseconds.

    ``samples_ms`` are the totals of some hundred frames in order of time, to draw from: evenly
    spaced where more were timed. ``precision`` is what ran, ``threads`` what the engine was
    allowed, ``None`` its own choice. ``before`` is the device at rest, ``after`` at the end of the
    work; ``warnings`` say what slowed it in between. What the device does not tell is ``None``
    or empty.
    """

    device: str
    frames: Count
    stages: dict[str, dict[str, float]]
    samples_ms: list[float] = []
    precision: str = ""
    runtime: str = ""
    runtime_version: str = ""
    threads: int | None = None
    machine: Machine | None = None
    memory_bytes: Count | None = None
    governor: str | None = None
    max_clock_mhz: float | None = None
    before: DeviceState = DeviceState()
    after: DeviceState = DeviceState()
    peak_rss_bytes: Count | None = None
    frame_set: str | None = None
    warnings: list[str] = []


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The bundle's golden frames, run on the target's own runtime and an emulated processor.

    ``frames`` of them have the network's size: their masks are the kernels' alone. ``identical``
    counts those that are the packed ones to the pixel, ``agreement_min`` is the worst one's equal
    pixels in percent; ``camera_agreement_min`` is that of the frames of a camera's size, which
    the device resizes itself.
    """

    processor: str
    emulator: str
    runtime: str
    runtime_version: str
    frames: Count
    identical: Count
    agreement_min: Percent
    camera_agreement_min: Percent | None = None
    passed: bool


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """How the bundle drove in closed loop, at one latency: what ``edge-seg drive --attach`` adds.

    ``latency`` is what was injected, ``estimate`` True where nobody measured it; ``simulator`` is
    the built-in world or a CARLA server. Completion and scores are 0..100, ``score_form`` says
    which of the leaderboard's forms ``driving_score`` has. ``traffic`` are cars of the built-in
    world's own, ``route_m`` is what each run was asked for. Cross-track error is from the lane's
    middle, ``mask_iou`` against the simulator's own masks on the way.
    """

    latency: str
    estimate: bool = False
    simulator: str
    maps: list[str]
    weather: str
    speed_kmh: float
    seed: int = 0
    traffic: Count = 0
    route_m: float = 0.0
    runs: Count
    km: float
    completion: Percent
    driving_score: float
    score_form: str = ""
    departures_per_km: float | None
    lane_invasions_per_km: float | None
    collisions: Count
    cross_track_mean_m: float | None
    cross_track_p95_m: float | None
    control_age_p50_ms: float | None = None
    control_age_p99_ms: float | None = None
    mask_iou: dict[str, Percent | None] = {}
    tools: dict[str, str] = {}


class Machine(msgspec.Struct, frozen=True):
    """The machine that the numbers were measured on."""

    cpu: str
    cores: Count
    isa: list[str] = []


class Member(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256 of one file in the bundle."""

    sha256: Sha256
    size: Count


class GoldenFrame(msgspec.Struct, frozen=True):
    """One self-test: this frame must give this mask.

    ``frame`` and ``mask`` name PNG members; ``mask_sha256`` is over the mask's pixels, row
    by row; ``agreement`` is the share of equal pixels, in percent, that is enough where
    the digest differs. ``precision`` says which of a bundle's model files it tests, ``None`` the
    first one.
    """

    frame: str
    mask: str
    mask_sha256: Sha256
    agreement: Annotated[float, msgspec.Meta(ge=90, le=100)] = 99.5
    precision: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about a bundle; ``members`` is filled in when it is written.

    ``alternatives`` maps other precisions that hold the gate to their model files: where there
    are any, the device times them and keeps the fastest that passes its golden frames.
    """

    schema: str = SCHEMA
    name: str
    target: str
    device: str = ""
    architecture: str
    model: ModelSource
    input: InputSpec
    classes: ClassMap
    engine: EngineRef
    precision: str
    model_file: str
    alternatives: dict[str, str] = {}
    options: dict[str, str | int | float | bool] = {}
    recipe: str | None = "recipe.json"
    calibration: FrameSetRef | None = None
    evaluation: FrameSetRef | None = None
    gate: Gate | None = None
    candidates: list[Candidate] = []
    winner: str | None = None
    latencies: list[Latency] = []
    proven: list[Proof] = []
    driven: list[Driven] = []
    versions: dict[str, str] = {}
    machine: Machine | None = None
    members: dict[str, Member] = {}
    golden: list[GoldenFrame] = []

    def __post_init__(self) -> None:
        """Refuse a network input that no engine could be given."""
        for side in (self.input.height, self.input.width):
            if not 1 <= side <= MAX_INPUT_SIDE:
                raise ValueError(f"the input is 1 to {MAX_INPUT_SIDE} pixels a side, not {side}")
        if any(deviation <= 0 for deviation in self.input.std):
            raise ValueError("the input's std must be positive")

    def references(self) -> list[str]:
        """Return the members that other fields name; a bundle must hold each."""
        recipe = [] if self.recipe is None else [self.recipe]
        golden = [name for test in self.golden for name in (test.frame, test.mask)]
        return [self.model_file, *self.alternatives.values(), *recipe, *golden]


class _Header(msgspec.Struct):
    """The one field that a manifest of any schema has."""

    schema: str


def encode(manifest: Manifest) -> bytes:
    """Return the manifest as readable JSON; equal manifests give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1)


def decode(payload: bytes) -> Manifest:
    """Read a manifest; raises `BundleError` when it is none or of a newer schema."""
    if len(payload) > MAX_MANIFEST_BYTES:
        raise BundleError(f"its manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        payload.decode()  # fields that this version skips are text too
        _check_schema(msgspec.json.decode(payload, type=_Header).schema)
        return msgspec.json.decode(payload, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BundleError(
            f"its manifest is damaged ({in_one_line(error)}): pack it again"
        ) from error


def _check_schema(schema: str) -> None:
    match = re.fullmatch(r"edge-seg/bundle-([1-9][0-9]{0,8})", schema)
    if match is None:
        raise BundleError(f"not an edge-seg bundle (schema {schema[:60]!r})")
    if int(match[1]) > SCHEMA_NUMBER:
        raise BundleError("made by a newer edge-seg: upgrade with pip install -U edge-seg")


def check_runs_here(manifest: Manifest) -> None:
    """Raise `BundleError` when the bundle is for another processor architecture."""
    here = _architecture(platform.machine())
    if _architecture(manifest.architecture) != here:
        raise BundleError(
            f"bundle {manifest.name!r} is for {manifest.architecture!r} and this machine is "
            f"{here!r}: run it on its target {manifest.target!r}, or pack one for this machine"
        )


def _architecture(machine: str) -> str:
    """One name for each architecture: macOS and Windows have their own."""
    lower = machine.lower()
    return {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}.get(lower, lower)
