"""Plans and results for the tests of studies: a little network, and rows made by hand."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec

from edge_seg.bundle.manifest import Machine
from edge_seg.classes import LANE
from edge_seg.frames import FrameSet
from edge_seg.study.crew import Tell
from edge_seg.study.jobs import Job
from edge_seg.study.plan import About
from edge_seg.study.records import Record
from edge_seg.study.results import Results, Row
from edge_seg.study.run import run

NETWORK = """
import torch
from torch import nn


def make():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.Conv2d(8, 3, 1),
        )
    # Its classes are then about equally many on the drawn roads.
    network[-1].bias.data = torch.tensor([0.0202, 0.0305, -0.0037])
    return network
"""


def write_plan(folder: Path, calibration: FrameSet, evaluation: FrameSet, rest: str) -> Path:
    """Write a plan for the little network at 32x64, on one thread; ``rest`` is its grid."""
    (folder / "little_network.py").write_text(NETWORK)
    path = folder / "little.toml"
    path.write_text(
        f"""
        schema = "edge-seg/study-1"
        threads = 1
        [study]
        name = "little"
        title = "A little <study>"
        [data]
        calibration = "{calibration.path}"
        evaluation = "{evaluation.path}"
        [[variants]]
        name = "net"
        model = "little_network:make"
        size = "32x64"
        {rest}
        """
    )
    return path


def in_this_process(jobs: Sequence[Job], folder: Path, tell: Tell) -> Generator[Record, None, None]:
    """Do jobs here, one after the other: no child has to import torch."""
    for job in jobs:
        yield run(job, folder)


def row(name: str, images: Sequence[float | None], **more: object) -> Row:
    """A finished row of variant "net", seed 0; ``name`` is a method, or "float"."""
    float_key = "net-onnxruntime-float32-s0"
    is_float = name == "float"
    known = [value for value in images if value is not None]
    made = Row(
        key=float_key if is_float else f"net-onnxruntime-int8-{name}-s0",
        variant="net",
        seed=0,
        engine="onnxruntime",
        precision="float32" if is_float else "int8",
        method="" if is_float else name,
        bits=0 if is_float else 7,
        per_channel=True,
        learns=False,
        reference=float_key,
        status="done",
        reason="",
        seconds=1.0,
        miou=sum(known) / len(known),
        iou={"road": 90.0, "background": None},
        dice={"road": 95.0, "background": None},
        image_miou=list(images),
        image_agreement=[99.0] * len(images),
    )
    return msgspec.structs.replace(made, **more)


def results_of(*rows: Row, quick: bool = False) -> Results:
    """A study of these rows."""
    return Results(
        study=About(name="made", title="Made <by> hand", question="Is it & was it?"),
        quick=quick,
        calibration="roads",
        evaluation="few",
        evaluation_place="few",
        classes=LANE,
        images=[f"{index:06}" for index in range(len(rows[0].image_miou))],
        rows=list(rows),
        machine=Machine(cpu="a processor", cores=2),
        versions={"numpy": "2"},
    )
