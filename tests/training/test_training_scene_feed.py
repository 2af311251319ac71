"""Frames from worker processes: in order, the same whoever dies, and nobody left behind."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from carla_bridge.world.stream import worker as stream_worker
from carla_bridge.world.stream.feed import AHEAD, SceneFeed
from carla_bridge.world.stream.order import SCENES, Order
from carla_bridge.world.stream.worker import Job
from edge_seg.errors import EdgeSegError

HERE = Path(__file__).parent
JOB = Job(
    seed=1,
    sizes=((64, 48), (96, 32)),
    frames_per_scene=3,
    renderer="fake_renderer:Renderer",
)
ORDER = Order(seed=1, batch=4, frames_per_scene=3)


@pytest.fixture(autouse=True)
def _fake_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE.parents[1]}")


def feed(steps: range, workers: int = 1, positions: range = range(4)) -> SceneFeed:
    return SceneFeed(ORDER, JOB, workers, steps, positions)


def shown(steps: range, workers: int = 1, positions: range = range(4)) -> dict:
    with closing(feed(steps, workers, positions)) as samples:
        return {(s, p): samples.frame(s, p) for s in steps for p in positions}


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    """Whether all these processes end in time; a zombie has ended."""

    def runs(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"

    end = time.monotonic() + seconds
    while any(runs(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_each_sample_is_the_frame_that_the_order_says() -> None:
    for (step, position), (frame, mask) in shown(range(30)).items():
        number, index = ORDER.place(step, position)
        assert frame[0, 0].tolist() == [number % 256, number // 256, index]
        assert frame.shape[:2] == mask.shape
        assert mask.shape in {(48, 64), (32, 96)}
        assert set(np.unique(mask)) <= {0, 1, 2}


def test_the_number_of_workers_and_the_first_step_change_nothing() -> None:
    whole = shown(range(40))
    later = shown(range(23, 40), workers=3)
    share = shown(range(40), positions=range(2, 4))
    for part in (later, share):
        for key, (frame, mask) in part.items():
            assert np.array_equal(frame, whole[key][0])
            assert np.array_equal(mask, whole[key][1])


def test_no_more_scenes_are_kept_than_it_says() -> None:
    with closing(feed(range(1000), workers=2)) as samples:
        most = 4 * SCENES + 2 * AHEAD
        for step in range(25):
            time.sleep(0.01)
            for position in range(4):
                samples.frame(step, position)
            assert len(samples._ready) <= samples._claimed <= most


def test_a_worker_that_is_killed_changes_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = shown(range(20))
    number, _ = ORDER.place(9, 2)
    dies = tmp_path / "dies"
    dies.write_text(f"{number}")
    monkeypatch.setenv("FAKE_RENDERER_DIES", str(dies))
    found = shown(range(20))
    assert not dies.exists()
    assert all(np.array_equal(found[key][0], frame) for key, (frame, _) in wanted.items())


def test_workers_that_always_die_are_an_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = tmp_path / "dies"
    dies.write_text(f"{ORDER.place(0, 0)[0]} for ever")
    monkeypatch.setenv("FAKE_RENDERER_DIES", str(dies))
    with (
        closing(feed(range(20))) as samples,
        pytest.raises(EdgeSegError, match=r"ended 5 times in a row \(SIGKILL\).*frames render"),
    ):
        samples.frame(0, 0)


def test_a_worker_that_hangs_counts_as_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_RENDERER_HANGS", str(ORDER.place(0, 0)[0]))
    monkeypatch.setattr(stream_worker, "SCENE_SECONDS", 0.2)
    with (
        closing(feed(range(20))) as samples,
        pytest.raises(EdgeSegError, match="no scene within"),
    ):
        samples.frame(0, 0)


def test_what_the_renderer_says_is_told() -> None:
    job = msgspec.structs.replace(JOB, renderer="fake_renderer:NoSuch")
    with (
        closing(SceneFeed(ORDER, job, 1, range(9), range(4))) as samples,
        pytest.raises(EdgeSegError, match=r"scene \d+: .*NoSuch"),
    ):
        samples.frame(0, 0)


def test_closing_ends_the_workers_and_whoever_waits() -> None:
    samples = feed(range(100), workers=2)
    samples.frame(0, 0)
    pids = samples.pids
    assert pids
    samples.close()
    assert gone(pids)
    assert samples.pids == []
    with pytest.raises(EdgeSegError, match="closed"):
        samples.frame(99, 0)


PARENT = """
import sys, time
sys.path.insert(0, {here!r})
from test_training_scene_feed import feed
if __name__ == "__main__":
    samples = feed(range(1000), workers=2)
    samples.frame(0, 0), samples.frame(0, 1)
    while len(samples.pids) < 2:
        time.sleep(0.01)
    print(*samples.pids, flush=True)
    {then}
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[object]:
    started = []

    def start(then: str) -> tuple[subprocess.Popen, list[int]]:
        script = tmp_path / "parent.py"
        script.write_text(PARENT.format(here=str(HERE), then=then))
        process = subprocess.Popen(
            [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        started.append(process)
        return process, [int(pid) for pid in process.stdout.readline().split()]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_leaves_no_worker(parent, number: int) -> None:
    # A signal just before a sleep begins is noticed when it ends: naps.
    process, pids = parent("while True: time.sleep(0.1)")
    assert len(pids) == 2
    os.kill(process.pid, number)
    assert gone(pids)


def test_an_exception_in_the_parent_leaves_no_worker(parent) -> None:
    process, pids = parent("raise SystemExit(3)")
    assert process.wait(timeout=20) == 3
    assert len(pids) == 2
    assert gone(pids)


@pytest.mark.parametrize("waiting", [True, False])
def test_a_worker_notices_a_closed_pipe(waiting: bool) -> None:
    """Without Linux's help: the worker's parent lives, and only the pipes close."""
    command = [sys.executable, "-m", "carla_bridge.world.stream.worker", str(os.getpid())]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    large = msgspec.structs.replace(JOB, sizes=((640, 480),))
    child.stdin.write(msgspec.json.encode(large) + b"\n5\n")
    (length,) = struct.unpack("<I", child.stdout.read(4))
    header = msgspec.json.decode(child.stdout.read(length))
    assert header == {"sizes": [[480, 640]] * 3, "error": ""}
    if waiting:  # for a request
        size = 3 * 480 * 640 * 4
        while size:
            size -= len(child.stdout.read(size))
        child.stdin.close()
    else:  # in the middle of an answer that nobody reads
        child.stdout.close()
    assert child.wait(timeout=20) is not None
