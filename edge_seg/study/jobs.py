"""The jobs of a study, each complete: it can be done on any machine that has its files.

run.key                      # "lane-onnxruntime-float32-s0"
digest_of(run)               # two jobs of one digest give one record
"""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from edge_seg.cache import code_digest
from edge_seg.errors import EdgeSegError
from edge_seg.files import sha256
from edge_seg.frames import FrameSet
from edge_seg.preprocess import InputSpec
from edge_seg.study.plan import Lesson
from edge_seg.training.settings import Settings

FLOAT_ENGINE = "onnxruntime"
"""Whose float32 everything of a variant and seed is held against."""


class Frames(msgspec.Struct, frozen=True):
    """A frame set by its shipped name or folder, and the digest it had when it was planned."""

    place: str
    digest: str

    def open(self) -> FrameSet:
        """Return the set; raises `EdgeSegError` where it is another by now."""
        opened = FrameSet.open(self.place)
        if opened.digest != self.digest:
            raise EdgeSegError(f"the frame set {self.place} was changed: run the study again")
        return opened


class Training(msgspec.Struct, frozen=True, kw_only=True, tag="training"):
    """Train a variant with a seed; ``output`` is the weights' path in the study's folder."""

    key: str
    variant: str
    seed: int
    settings: Settings
    frames: Frames
    validation: Frames

    @property
    def output(self) -> str:
        """Its name holds the job's digest: another plan's training never meets it."""
        return f"weights/{self.key}-{digest_of(self)[:12]}.safetensors"


class Run(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Quantize, lower and evaluate once.

    ``weights`` is "shipped", "random", a file, or where ``training`` is the key of a training that
    comes before, its output. ``identity`` is what tells those weights from others. ``method`` is
    what the plan calls it, ``base`` a chain of ``pack --method``; both are empty where the
    precision is not int8. ``learns`` says that there is chance in it.
    ``reference`` is the key of the float row that it is held against.
    """

    key: str
    variant: str
    seed: int
    model: str
    weights: str
    identity: str
    training: str
    size: tuple[int, int] | None
    engine: str
    runtime: str
    precision: str
    method: str = ""
    base: str = ""
    ranges: str = "minmax"
    learns: bool = False
    bits: int = 0
    per_channel: bool = True
    fold: bool = True
    lesson: Lesson | None = None
    labels: bool = False
    calibration: Frames
    evaluation: Frames
    threads: int | None
    reference: str

    @property
    def is_reference(self) -> bool:
        """Say whether others are held against this one."""
        return self.key == self.reference


class Entrant(msgspec.Struct, frozen=True, kw_only=True):
    """A lowered file of a finished run, by its path in the study's folder."""

    key: str
    file: str
    digest: str
    engine: str
    input: InputSpec
    options: dict[str, str | int | float | bool]
    profiled: bool


class Timing(msgspec.Struct, frozen=True, kw_only=True, tag="timing"):
    """Time lowered files side by side, a session after the other; see `timing`."""

    key: str = "timing"
    sessions: list[list[Entrant]]
    evaluation: Frames
    frames: int
    threads: int | None
    machine: str


Job = Training | Run | Timing


def digest_of(job: Job) -> str:
    """Return what tells a job from every other: its words, and the code that results follow from.

    Where a file or a folder lies is no part of it, its content is. A training is long, and what it
    makes is checked by its own digest: code is no part of its.
    """
    code = "" if isinstance(job, Training) else code_digest() + _measuring_digest()
    words = msgspec.json.encode(_without_places(job), order="deterministic")
    return sha256(code.encode() + words)


@functools.cache
def _measuring_digest() -> str:
    folder = Path(__file__).parent
    return sha256(b"".join((folder / f"{n}.py").read_bytes() for n in ("evaluating", "timing")))


def _without_places(job: Job) -> Job:
    def bare(frames: Frames) -> Frames:
        return Frames("", frames.digest)

    match job:
        case Training():
            return msgspec.structs.replace(
                job, frames=bare(job.frames), validation=bare(job.validation)
            )
        case Run():
            return msgspec.structs.replace(
                job,
                weights="",
                calibration=bare(job.calibration),
                evaluation=bare(job.evaluation),
            )
        case Timing():
            return msgspec.structs.replace(job, evaluation=bare(job.evaluation))
