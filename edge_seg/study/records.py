"""What a job leaves: one record, a JSON file that is there whole or not at all.

    write_record(folder, record)
    records = read_records(folder, jobs)     # those whose job is still the same

A run that failed is a record, too, with its reason; it is tried again by the next command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from edge_seg.bundle.manifest import Machine
from edge_seg.depth_metrics import DepthErrors
from edge_seg.errors import EdgeSegError
from edge_seg.files import explain, sha256, sha256_file, write_bytes
from edge_seg.machine import this_machine
from edge_seg.preprocess import InputSpec
from edge_seg.study.jobs import Job, digest_of

SCHEMA = "edge-seg/study-record-1"
FOLDERS = ("records", "weights", "files", "masks")

Percent = float | None


class Trained(msgspec.Struct, frozen=True, kw_only=True, tag="trained"):
    """What a training wrote; IoU in percent on the set that it looked at."""

    weights: str
    digest: str
    steps: int
    val_iou: dict[str, float]


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured"):
    """What a run measured. Shares are percent; None where there is nothing to score.

    ``iou``, ``dice`` and ``boundary_f1`` are by class and pooled over the set; ``image_*`` are of
    each frame, in the order of ``images``. Agreement is the percent of pixels with the same
    class: with the float row, and with the simulation of the Q/DQ graph on some frames.
    ``weight_bytes`` is computed: bits / 8 a weight, where seven bits are stored as eight.
    ``run_by`` names the runtime that stood in for the engine's own, "" for none. ``notes`` are what
    the method itself says of what it found. Of a depth there are ``depth`` and ``image_ssim`` in
    the place of IoU and Dice, and agreement is within one value of the scale.
    """

    miou: Percent
    iou: dict[str, Percent]
    dice: dict[str, Percent]
    boundary_f1: dict[str, Percent]
    images: list[str]
    depth: DepthErrors | None = None
    image_miou: list[Percent]
    image_iou: dict[str, list[Percent]]
    image_dice: dict[str, list[Percent]]
    image_agreement: list[float]
    agreement_float: float
    agreement_simulation: Percent
    size_bytes: int
    weights: int
    weight_bytes: int
    method_seconds: float
    file: str
    digest: str
    masks: str
    masks_digest: str
    input: InputSpec
    options: dict[str, str | int | float | bool]
    run_by: str
    notes: list[str] = []
    image_ssim: list[Percent] = []

    @property
    def score(self) -> Percent:
        """What rows are compared by: mean IoU, of a depth SSIM."""
        return self.miou if self.depth is None else self.depth.ssim


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """A row's frames in milliseconds, frame to mask, and in which session they were timed."""

    session: int
    total_ms: list[float]
    p50_ms: float
    p99_ms: float
    peak_rss_bytes: int


class Timed(msgspec.Struct, frozen=True, kw_only=True, tag="timed"):
    """Latencies by run, why some have none, and milliseconds a frame of each operator.

    ``references`` are, for each session, the latencies of the float rows that took part in it.
    """

    rows: dict[str, Latency]
    references: list[dict[str, Latency]]
    failed: dict[str, str]
    profiles: dict[str, dict[str, float]]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One job's record; ``digest`` is its job's, ``result`` None where it failed.

    ``seal`` is the SHA-256 of all the rest: what was torn or edited is no record.
    """

    schema: str = SCHEMA
    key: str
    digest: str
    job: Job
    status: Literal["done", "failed"]
    reason: str = ""
    result: Trained | Measured | Timed | None = None
    seconds: float = 0.0
    tries: int = 1
    finished: str = ""
    machine: Machine | None = None
    versions: dict[str, str] = {}
    seal: str = ""


def failed(job: Job, reason: str, tries: int = 1, seconds: float = 0.0) -> Record:
    """Return the record of a job that came to nothing."""
    return Record(
        key=job.key,
        digest=digest_of(job),
        job=job,
        status="failed",
        reason=reason,
        tries=tries,
        seconds=round(seconds, 3),
        finished=now(),
        machine=this_machine(),
    )


def now() -> str:
    """Return the time in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def open_folder(folder: Path) -> None:
    """Make the folders that a study writes to."""
    try:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, folder) from error


def write_record(folder: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    sealed = msgspec.structs.replace(record, seal=_seal(record))
    payload = msgspec.json.format(msgspec.json.encode(sealed), indent=1)
    write_bytes(record_path(folder, record.key), payload + b"\n")


def _seal(record: Record) -> str:
    return sha256(msgspec.json.encode(msgspec.structs.replace(record, seal="")))


def record_path(folder: Path, key: str) -> Path:
    """Return where the record of a job is."""
    return folder / "records" / f"{key}.json"


JobType = TypeVar("JobType", bound=Job)


def read_records(folder: Path, jobs: Iterable[JobType]) -> dict[str, Record]:
    """Return the finished records of these very jobs, by key.

    What is torn, of another job, failed, or has lost its files counts as not done.
    """
    found = {}
    for job in jobs:
        record = read_record(record_path(folder, job.key))
        if record is None or record.status != "done" or record.digest != digest_of(job):
            continue
        if _files_are_there(folder, record):
            found[job.key] = record
    return found


def read_record(path: Path) -> Record | None:
    """Return a record, None where there is none that can be read, or not all of it."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        record = msgspec.json.decode(path.read_bytes(), type=Record)
        return record if record.schema == SCHEMA and record.seal == _seal(record) else None
    return None


def _files_are_there(folder: Path, record: Record) -> bool:
    """Say whether the files that a record names are in the folder, byte for byte."""
    match record.result:
        case Measured() as measured:
            wanted = {measured.file: measured.digest, measured.masks: measured.masks_digest}
        case Trained(weights=weights, digest=digest):
            wanted = {weights: digest}
        case _:
            wanted = {}
    places = {folder / name: digest for name, digest in wanted.items()}
    return all(path.is_file() and sha256_file(path) == d for path, d in places.items())


def require_own(folder: Path, name: str) -> None:
    """Raise `EdgeSegError` where the folder holds another study."""
    mark = folder / "study.txt"
    if mark.exists():
        there = mark.read_text(encoding="utf-8", errors="replace").strip()
        if there and there != name:
            raise EdgeSegError(f"{folder} holds the study '{there}': name another folder (-o)")
        return
    if folder.exists() and any(p.name != ".lock" for p in folder.iterdir()):
        raise EdgeSegError(f"{folder} holds something else than a study: name another folder (-o)")
