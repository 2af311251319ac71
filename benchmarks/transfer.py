"""What each random thing in the scene is worth: trainings without it, measured on photographs.

    settings = setup(steps=600, batch=8, bf16=True)
    with comparison(Path("transfer.json"), settings, folder, limit=60) as (results, pictures):
        for ablation in ablations(["night", "camera"], seeds=[0]):
            if not results.has(ablation.name, ablation.seed):
                results.add(run(ablation, settings, pictures, workers=1))

Each training has the same network, steps and seed; the streams of the other terms draw what
they drew before (`carla_bridge.world.randomization`), so that two trainings see the same roads.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import msgspec
import numpy as np

from benchmarks.photographs import KINDS, TOLERANCE_PX
from carla_bridge.world.randomization import TERMS
from edge_seg.errors import EdgeSegError, closest
from edge_seg.files import write_bytes
from edge_seg.frames import FrameSet
from edge_seg.frames.importers import import_folder
from edge_seg.machine import this_machine
from edge_seg.metrics import evaluate
from edge_seg.packing.contents import tool_versions
from edge_seg.preprocess import InputSpec
from edge_seg.training import sources
from edge_seg.training.loop import Pace, train
from edge_seg.training.progress import watch
from edge_seg.training.settings import Settings
from edge_seg.training.sources import Request
from edge_seg.training.state import State
from edge_seg.training.validation import predict

ALL, NOTHING = "everything", "nothing"
GROUPS = {
    "surface": ("asphalt", "cracks", "patches", "tar", "puddles"),
    "paint": ("marking_styles", "marking_wear", "marking_cover", "symbols"),
    "layout": ("roads", "hills"),
    "things": ("buildings", "trees", "barriers", "furniture", "traffic", "parked", "people"),
    "light": ("sun", "sky", "shadows", "glare", "night", "rain", "fog"),
    "camera": ("pose", "field", "distortion", "bonnet", "mirrored"),
    "sensor": ("exposure", "white_balance", "motion_blur", "noise", "jpeg", "dirt"),
}
"""Terms that belong together: one alone changes less than another seed does."""
LOSSES = ("ce", "focal", "ce+dice", "focal+dice", "ce+lovasz")
"""What may help thin markings, against plain cross entropy."""
CLASSES = ("road", "lane_marking")


class Ablation(NamedTuple):
    """A training: its name in the table, its seed, and the scene's terms."""

    name: str
    seed: int
    terms: tuple[str, ...]


def ablations(names: Iterable[str], seeds: Iterable[int]) -> list[Ablation]:
    """Return both ends, and a training without each of these groups or terms (every group)."""
    known = {**GROUPS, **{term: (term,) for term in TERMS}}
    named = list(names) or list(GROUPS)
    for name in named:
        if name not in known:
            raise EdgeSegError(f"no term or group '{name}' in the scene: {closest(name, known)}")
    without = [(f"without {name}", known[name]) for name in named]
    trainings = [(ALL, ()), (NOTHING, TERMS), *without]
    return [
        Ablation(name, seed, tuple(f"{term}=0" for term in terms))
        for seed in seeds
        for name, terms in trainings
    ]


class Photograph(NamedTuple):
    """The labelled photographs of one source."""

    source: str
    kind: str
    frames: FrameSet


def photographs(folder: Path, place: Path, limit: int) -> list[Photograph]:
    """Import a folder with index.csv, each source by itself, ``limit`` frames of each at most."""
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    groups = sorted({(r["source"], r["kind"]) for r in rows if r["kind"] in KINDS and r["mask"]})
    found = []
    for source, kind in groups:
        path = place / f"{source}-{kind}"
        frames = import_folder(folder, path, name=source, source=source, kind=kind)
        count = min(limit, len(frames))
        spread = np.linspace(0, len(frames) - 1, count).round().astype(int)
        found.append(Photograph(source, kind, frames.take(spread.tolist())))
    return found


def scores(state: State, pictures: Iterable[Photograph]) -> list[dict[str, Any]]:
    """Return a row a source, and one for lane-test: IoU and boundary F1 of road and marking."""
    settings = state.settings
    spec = InputSpec(settings.height, settings.width)
    network = functools.partial(predict, state.average, spec, bf16=settings.bf16)
    rows = []
    rendered = Photograph("lane-test", "road+lane", FrameSet.open("lane-test"))
    for source, kind, frames in (rendered, *pictures):
        found = evaluate(network, frames, tolerance_px=TOLERANCE_PX)
        row: dict[str, Any] = {"source": source, "kind": kind, "frames": len(frames)}
        for label in CLASSES:
            if label in found.iou:
                row[f"{label}_iou"] = found.iou[label]
                row[f"{label}_f1"] = found.boundary_f1[label]
        rows.append(row)
    return rows


def setup(steps: int, batch: int, bf16: bool) -> Settings:
    """Return the settings that all trainings of a comparison share: small, and quick."""
    return Settings(
        steps=steps,
        batch=batch,
        bf16=bf16,
        height=192,
        width=384,
        crop_height=192,
        crop_width=384,
        altered=0.5,
    )


def learn(settings: Settings, terms: tuple[str, ...], workers: int) -> State:
    """Train on the scene with these terms, drawing a bar; nothing is left on the disk."""
    request = Request(seed=settings.seed, terms=terms, workers=workers)
    source = sources.find("scene")(request)
    pace = Pace(validate_every=10**9, checkpoint_seconds=1e9)
    with tempfile.TemporaryDirectory() as place, watch(settings.steps) as report:
        goal = Path(place) / "network.safetensors"
        return train(settings, source, _few(), goal, pace=pace, report=report)


def _few() -> FrameSet:
    """Return what the end of a training is measured on: the real measures come after it."""
    return FrameSet.open("lane-test").take(range(4))


def run(
    ablation: Ablation,
    settings: Settings,
    pictures: list[Photograph],
    workers: int,
) -> dict[str, Any]:
    """Train one ablation and measure it."""
    settings = msgspec.structs.replace(settings, seed=ablation.seed)
    begin = perf_counter()
    state = learn(settings, ablation.terms, workers)
    seconds = perf_counter() - begin
    return {
        "name": ablation.name,
        "seed": ablation.seed,
        "loss": state.history[-1].loss,
        "train_s": round(seconds, 1),
        "scores": scores(state, pictures),
    }


@contextlib.contextmanager
def comparison(
    path: Path, settings: Settings, folder: Path | None, limit: int
) -> Iterator[tuple[Results, list[Photograph]]]:
    """Yield the file of runs, with those that are there already, and what to measure on."""
    about = {name: value for name, value in msgspec.to_builtins(settings).items() if name != "seed"}
    with tempfile.TemporaryDirectory() as place:
        pictures = photographs(folder, Path(place), limit) if folder is not None else []
        counts = {f"{p.source} ({p.kind})": len(p.frames) for p in pictures}
        yield Results(path, {"training": about, "photographs": counts}), pictures


class Results:
    """A JSON file of runs that grows; it may hold only runs of one and the same setup."""

    def __init__(self, path: Path, setup: dict[str, Any]) -> None:
        self._path = path
        self._setup = json.loads(json.dumps(setup))
        self.runs: list[dict[str, Any]] = []
        if path.exists():
            record = json.loads(path.read_text())
            if record["setup"] != self._setup:
                raise EdgeSegError(
                    f"{path} has runs of another setup ({record['setup']}): delete it, or name "
                    "another with --output"
                )
            self.runs = record["runs"]

    def has(self, name: str, seed: int) -> bool:
        """Say whether a run is there."""
        return any((run["name"], run["seed"]) == (name, seed) for run in self.runs)

    def add(self, run: dict[str, Any]) -> None:
        """Add a run and write the file, whole or not at all."""
        self.runs.append(run)
        record = {
            "machine": msgspec.to_builtins(this_machine()),
            "versions": tool_versions(),
            "setup": self._setup,
            "runs": self.runs,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self._path, json.dumps(record, indent=1).encode() + b"\n")
