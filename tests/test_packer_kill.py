"""Kill -9 in the middle of a pack: no half bundle, no litter, no orphan, nothing done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edge_seg.bundle.archive import open_bundle
from edge_seg.files import TEMPORARY_PREFIX
from edge_seg.frames import FrameSet
from edge_seg.models.model import Model

DRIVER = '''
"""Pack the model of the argument into the folder of the argument."""
import platform, sys
from pathlib import Path
from edge_seg.bundle.manifest import Gate
from edge_seg.cache import Cache
from edge_seg.frames import FrameSet
from edge_seg.models import registry
from edge_seg.packer import Request, pack
from edge_seg.target import Target

model, calibration, evaluation, folder = map(Path, sys.argv[1:])
pack(
    Request(
        model=registry.load(str(model)),
        target=Target("tiny", "", platform.machine(), ("onnxruntime",), "x86"),
        calibration=FrameSet.open(calibration),
        evaluation=FrameSet.open(evaluation),
        output=folder / "lane.edgeseg",
        gate=Gate(100.0, 100.0),
        threads=1,
    ),
    cache=Cache(folder / "cache"),
)
'''


class Packing:
    """Starts packs of one model, all into one folder, with one cache and one TMPDIR."""

    def __init__(self, folder: Path, model: Path, calibration: FrameSet, evaluation: FrameSet):
        self.folder, self.temporary = folder / "out", folder / "tmp"
        self.folder.mkdir()
        self.temporary.mkdir()
        sets = (calibration.path, evaluation.path)
        self.command = [sys.executable, "-c", DRIVER, *map(str, (model, *sets, self.folder))]
        self.bundle = self.folder / "lane.edgeseg"

    def start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(self.command, env=environment, stderr=subprocess.PIPE)

    def kill_after(self, seconds: float) -> None:
        """Start a pack and kill it; whatever is under the final name then is whole."""
        with self.start() as process:
            time.sleep(seconds)
            workers = psutil.Process(process.pid).children() if process.poll() is None else []
            os.kill(process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE], "orphaned workers"
        if self.bundle.exists():
            open_bundle(self.bundle)
            self.bundle.unlink()

    def finish(self) -> None:
        """Run a pack to its end."""
        with self.start() as process:
            _, complaint = process.communicate()
        assert process.returncode == 0, complaint.decode()
        open_bundle(self.bundle)

    def litter(self) -> list[Path]:
        """Return what no finished pack would have left."""
        temporary = list(self.folder.rglob(f"{TEMPORARY_PREFIX}*"))
        # .ses is one small file of ONNX Runtime's own.
        return temporary + [path for path in self.temporary.iterdir() if path.name != ".ses"]


@pytest.fixture
def packing(
    tmp_path: Path, fitted_model: Model, road_frames: FrameSet, few_frames: FrameSet
) -> Packing:
    import torch

    model = tmp_path / "lanes.onnx"
    assert fitted_model.module is not None
    example = torch.zeros(1, 3, fitted_model.input.height, fitted_model.input.width)
    torch.onnx.export(fitted_model.module, (example,), str(model), dynamo=False, opset_version=17)
    return Packing(tmp_path, model, road_frames, few_frames)


def kill_and_finish(packing: Packing, kills: int, span: float) -> None:
    # What is cached shortens the later packs, so some of the late kills find a finished bundle.
    seconds = random.Random(kills)
    for _ in range(kills):
        packing.kill_after(seconds.uniform(0.3, span))
    packing.finish()
    assert sorted(path.name for path in packing.folder.iterdir()) == ["cache", "lane.edgeseg"]
    assert packing.litter() == []


def test_a_pack_killed_at_any_moment_leaves_nothing_half_done(packing: Packing) -> None:
    kill_and_finish(packing, kills=8, span=4.0)


@pytest.mark.slow
def test_a_pack_killed_at_thirty_moments_leaves_nothing_half_done(packing: Packing) -> None:
    kill_and_finish(packing, kills=30, span=8.0)
