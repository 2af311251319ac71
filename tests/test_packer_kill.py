"""Kill -9 in the middle of a pack: no half bundle, no litter, no orphan, nothing done twice."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from edge_seg.bundle.archive import open_bundle
from edge_seg.files import TEMPORARY_PREFIX
from edge_seg.frames import FrameSet
from edge_seg.models.model import Model

DRIVER = '''
"""Pack the model of the argument into the folder of the argument; say when it begins and ends."""
import platform, sys
from pathlib import Path
from edge_seg.bundle.manifest import Gate
from edge_seg.cache import Cache
from edge_seg.frames import FrameSet
from edge_seg.models import onnx_file
from edge_seg.models.model import Overrides
from edge_seg.packer import Request, pack
from edge_seg.target import Target

model, calibration, evaluation, folder = map(Path, sys.argv[1:])
request = Request(
    model=onnx_file.load(str(model), Overrides()),  # the registry would load torch: seconds
    target=Target("tiny", "", platform.machine(), ("onnxruntime",), "x86"),
    calibration=FrameSet.open(calibration),
    evaluation=FrameSet.open(evaluation),
    output=folder / "lane.edgeseg",
    gate=Gate(100.0, 100.0),
    threads=1,
)
cache = Cache(folder / "cache")
print("ready", flush=True)
pack(request, cache=cache)
print("done", flush=True)
'''

Entries = dict[str, int]


class Packing:
    """Starts packs of one model, all into one folder, with one cache and one TMPDIR."""

    def __init__(self, folder: Path, model: Path, calibration: FrameSet, evaluation: FrameSet):
        self.folder, self.temporary = folder / "out", folder / "tmp"
        self.folder.mkdir()
        self.temporary.mkdir()
        sets = (calibration.path, evaluation.path)
        self.command = [sys.executable, "-c", DRIVER, *map(str, (model, *sets, self.folder))]
        self.bundle = self.folder / "lane.edgeseg"
        self.cache = self.folder / "cache"

    @contextmanager
    def begun(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start a process; yield it when all is imported and loaded and the pack begins."""
        environment = {**os.environ, "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        with subprocess.Popen(self.command, env=environment, stdout=pipe, stderr=pipe) as process:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline() == b"ready\n", process.stderr.read().decode()
            yield process

    def kill_after(self, wait: Callable[[], object]) -> bool:
        """Begin a pack, wait, kill it, and say whether it was still at work.

        Whatever is under the final name then is whole.
        """
        with self.begun() as process:
            wait()
            workers = psutil.Process(process.pid).children()
            process.kill()
            assert process.stdout is not None
            running = process.stdout.read() == b""
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE], "orphaned workers"
        if self.bundle.exists():
            open_bundle(self.bundle)
            self.bundle.unlink()
        return running

    def finish(self) -> float:
        """Run a pack to its end; return the seconds from its beginning."""
        with self.begun() as process:
            start = time.perf_counter()
            assert process.stdout is not None and process.stderr is not None
            end = process.stdout.readline()
            seconds = time.perf_counter() - start
            assert end == b"done\n", process.stderr.read().decode()
        open_bundle(self.bundle)
        return seconds

    def entries(self) -> Entries:
        """Return the inode of what the cache holds: written anew, an entry has another.

        Its time says when it was used last.
        """
        found = [path for path in self.cache.iterdir() if not path.name.startswith(".")]
        return {path.name: path.stat().st_ino for path in found}

    def until_kept(self, count: int) -> None:
        """Wait until the cache holds so many entries."""
        limit = time.monotonic() + 60
        while len(self.entries()) < count:
            assert time.monotonic() < limit, f"{len(self.entries())} of {count} entries in a minute"
            time.sleep(0.005)

    def litter(self) -> list[Path]:
        """Return what no finished pack would have left."""
        temporary = list(self.folder.rglob(f"{TEMPORARY_PREFIX}*"))
        # .ses is one small file of ONNX Runtime's own.
        return temporary + [path for path in self.temporary.iterdir() if path.name != ".ses"]


class Whole(NamedTuple):
    """What a pack that nobody kills takes and keeps."""

    seconds: float
    entries: int


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory, fitted_model: Model) -> Path:
    import torch

    path = tmp_path_factory.mktemp("model") / "lanes.onnx"
    assert fitted_model.module is not None
    example = torch.zeros(1, 3, fitted_model.input.height, fitted_model.input.width)
    torch.onnx.export(fitted_model.module, (example,), str(path), dynamo=False, opset_version=17)
    return path


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory,
    onnx_file: Path,
    road_frames: FrameSet,
    few_frames: FrameSet,
) -> Whole:
    packing = Packing(tmp_path_factory.mktemp("whole"), onnx_file, road_frames, few_frames)
    return Whole(packing.finish(), len(packing.entries()))


@pytest.fixture
def packing(
    tmp_path: Path, onnx_file: Path, road_frames: FrameSet, few_frames: FrameSet
) -> Packing:
    return Packing(tmp_path, onnx_file, road_frames, few_frames)


def kill_and_finish(packing: Packing, whole: Whole, kills: int) -> None:
    draw = random.Random(1)
    running = 0
    for kill in range(kills):
        # What is cached shortens the later packs, so some of the late kills find a finished
        # bundle; every third begins from nothing, so that the early steps are hit as well.
        if kill % 3 == 0:
            shutil.rmtree(packing.cache, ignore_errors=True)
        before = packing.entries() if packing.cache.exists() else {}
        moment = draw.uniform(0, whole.seconds)
        running += packing.kill_after(lambda moment=moment: time.sleep(moment))
        assert before.items() <= packing.entries().items(), "made anew"
    assert running > kills // 5
    finish_from_half(packing, whole)


def finish_from_half(packing: Packing, whole: Whole) -> None:
    """Kill a pack half-way through its cache: the next one makes the other half, and that only."""
    shutil.rmtree(packing.cache, ignore_errors=True)
    assert packing.kill_after(lambda: packing.until_kept(whole.entries // 2))
    kept = packing.entries()
    assert whole.entries // 2 <= len(kept) < whole.entries
    packing.finish()
    assert kept.items() <= packing.entries().items(), "made anew"
    assert len(packing.entries()) == whole.entries, "made under another key"
    assert sorted(path.name for path in packing.folder.iterdir()) == ["cache", "lane.edgeseg"]
    assert packing.litter() == []


def test_a_pack_killed_at_any_moment_leaves_nothing_half_done(
    packing: Packing, whole: Whole
) -> None:
    kill_and_finish(packing, whole, kills=2)


@pytest.mark.slow
def test_a_pack_killed_at_thirty_moments_leaves_nothing_half_done(
    packing: Packing, whole: Whole
) -> None:
    kill_and_finish(packing, whole, kills=30)
