"""A worker: what it answers, and that nothing a runtime does reaches the parent."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from rogue import install

from edge_seg import worker as workers
from edge_seg.frames import FrameSet
from edge_seg.preprocess import InputSpec
from edge_seg.worker import Job, Worker, WorkerError

SPEC = InputSpec(8, 16)


@pytest.fixture
def rogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(tmp_path / "site", monkeypatch)
    return tmp_path / "model.bin"


def job(model: Path, behaviour: str) -> Job:
    model.write_text(behaviour)
    return Job(engine="rogue", model=str(model), input=SPEC, threads=1)


def test_it_scores_times_and_writes_masks(
    rogue: Path, few_frames: FrameSet, tmp_path: Path
) -> None:
    with Worker(job(rogue, "fine")) as worker:
        scores, memory = worker.evaluate(few_frames)
        timings, _ = worker.time(few_frames.path, 11)
        worker.masks(few_frames.path, (0, 3), tmp_path)
    # All background: that class's IoU is its share of the pixels, the others' is 0.
    truth = np.stack([few_frames.mask(index) for index in range(len(few_frames))])
    assert scores.iou["background"] == pytest.approx(100 * np.mean(truth == 0))
    assert scores.iou["road"] == scores.iou["lane_marking"] == 0
    assert scores.frames == len(few_frames)
    assert 2**20 < memory < 2**32
    assert len(timings) == 11
    assert all(row.total_ms >= row.inference_ms >= 0 for row in timings)
    for index in (0, 3):
        mask = cv2.imread(str(tmp_path / f"{index}.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == few_frames.image(index).shape[:2]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("killed", "the runtime ended the process (SIGSEGV)"),
        ("exits", "the runtime ended the process (exit code 7)"),
        ("raises", "no such kernel"),
    ],
)
def test_a_runtime_that_fails_is_a_worker_error_in_one_line(
    rogue: Path, few_frames: FrameSet, behaviour: str, words: str
) -> None:
    with Worker(job(rogue, behaviour)) as worker:
        with pytest.raises(WorkerError) as failed:
            worker.evaluate(few_frames)
        assert str(failed.value) == words
        if behaviour != "raises":  # asked again, a dead one says the same and closes quietly
            with pytest.raises(WorkerError, match="ended the process"):
                worker.evaluate(few_frames)


def test_a_runtime_that_dies_at_load_leaves_no_process(rogue: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(WorkerError, match="SIGILL"):
        Worker(job(rogue, "killed-at-load")).ready()
    assert {child.pid for child in psutil.Process().children()} <= before


def test_a_missing_model_file_is_a_worker_error(tmp_path: Path, rogue: Path) -> None:
    missing = Job(engine="rogue", model=str(tmp_path / "none.bin"), input=SPEC)
    with pytest.raises(WorkerError, match=r"No such file.*none\.bin"):
        Worker(missing).ready()


def test_a_runtime_that_hangs_is_ended(
    rogue: Path, few_frames: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Worker(job(rogue, "hangs")) as worker:
        monkeypatch.setattr(workers, "TIME_LIMIT_S", 0.5)
        with pytest.raises(WorkerError, match="no answer within"):
            worker.evaluate(few_frames)
        child = psutil.Process(worker._child.pid)
    assert not child.is_running()


def test_what_a_runtime_prints_does_not_mix_with_the_answers(
    rogue: Path, few_frames: FrameSet
) -> None:
    with Worker(job(rogue, "prints")) as worker:
        assert len(worker.time(few_frames.path, 3)[0]) == 3


PARENT = """
import sys
from pathlib import Path
from edge_seg.preprocess import InputSpec
from edge_seg.worker import Job, Worker

worker = Worker(Job(engine="rogue", model=sys.argv[1], input=InputSpec(8, 16), threads=1))
print(worker._child.pid, flush=True)
worker.time(Path(sys.argv[2]), 1)
"""


def test_a_worker_ends_when_its_parent_is_killed_even_in_mid_inference(
    rogue: Path, few_frames: FrameSet
) -> None:
    job(rogue, "hangs")
    command = [sys.executable, "-c", PARENT, str(rogue), str(few_frames.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        time.sleep(0.3)  # it hangs by now
        parent.kill()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert not alive or child.status() == psutil.STATUS_ZOMBIE
