"""The crew: a killed child's job is done again and no other, and its children end with it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec
import psutil
import pytest
from rogue import install

from edge_seg.files import sha256
from edge_seg.frames import FrameSet
from edge_seg.preprocess import InputSpec
from edge_seg.study import crew
from edge_seg.study.crew import TRIES, Child, on_this_machine
from edge_seg.study.jobs import Entrant, Frames, Timing
from edge_seg.study.records import Record, Timed, open_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study's folder; the engine rogue does what its files say."""
    install(tmp_path / "site", monkeypatch)
    open_folder(tmp_path / "study")
    return tmp_path / "study"


def job(folder: Path, key: str, behaviour: str, frames: FrameSet, count: int = 8) -> Timing:
    """A job that times one file: light, as no child has to import torch."""
    (folder / "files" / f"{key}.bin").write_text(behaviour)
    entrant = Entrant(
        key=key,
        file=f"files/{key}.bin",
        digest=sha256(behaviour.encode()),
        engine="rogue",
        input=InputSpec(8, 16),
        options={},
        profiled=False,
    )
    return Timing(
        key=key,
        sessions=[[entrant]],
        evaluation=Frames(str(frames.path), frames.digest),
        frames=count,
        threads=1,
        machine="here",
    )


def children() -> list[psutil.Process]:
    """The crew's children of this process."""
    found = psutil.Process().children()
    return [child for child in found if "edge_seg.study.work" in " ".join(child.cmdline())]


def test_a_killed_child_is_repeated_and_no_other(folder: Path, few_frames: FrameSet) -> None:
    jobs = [
        job(folder, "before", "fine", few_frames),
        job(folder, "victim", "slow", few_frames, count=24),
        job(folder, "after", "fine", few_frames),
    ]
    said: list[tuple[str, str]] = []
    killed: list[int] = []

    def tell(key: str, what: str) -> None:
        said.append((key, what))
        if key == "victim" and what.startswith("timing") and not killed:
            (child,) = children()
            killed.append(child.pid)
            child.kill()

    records = {record.key: record for record in on_this_machine(1)(jobs, folder, tell)}
    assert len(killed) == 1
    assert {key: (r.status, r.tries) for key, r in records.items()} == {
        "before": ("done", 1),
        "victim": ("done", 2),
        "after": ("done", 1),
    }
    result = records["victim"].result
    assert isinstance(result, Timed) and len(result.rows["victim"].total_ms) == 24
    assert result.rows["victim"].p50_ms > 55  # it sleeps for 60
    assert ("victim", "again: SIGKILL") in said
    assert [key for key, what in said if what == "starting"] == ["before", "victim", "after"]
    assert children() == []


@pytest.mark.slow
def test_what_dies_every_time_is_a_row_that_says_so(
    folder: Path, few_frames: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(key: str, what: str) -> None:
        if key == "victim":
            for child in children():
                child.kill()

    jobs = [
        job(folder, "victim", "slow", few_frames, count=80),
        job(folder, "after", "fine", few_frames),
    ]
    records = {record.key: record for record in on_this_machine(1)(jobs, folder, tell)}
    assert records["victim"].status == "failed" and records["victim"].tries == TRIES
    assert records["victim"].reason.startswith(
        "its process ended 3 times, the last time so: SIGKILL"
    )
    assert records["after"].status == "done"


def test_a_runtime_that_dies_is_a_reason_and_not_a_death(
    folder: Path, few_frames: FrameSet
) -> None:
    jobs = [job(folder, "bad", "killed", few_frames)]
    (record,) = on_this_machine(1)(jobs, folder, lambda *_: None)
    assert (record.status, record.tries) == ("done", 1)
    assert isinstance(record.result, Timed)
    assert record.result.failed == {"bad": "the runtime ended the process (SIGSEGV)"}


def test_silence_is_a_death(
    folder: Path, few_frames: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "TRIES", 1)
    child = Child(folder, lambda *_: None, silence_s=1.5)
    record = child.do(job(folder, "still", "hangs", few_frames))
    child.close()
    assert record is not None and record.status == "failed"
    assert "no word for 2 s" in record.reason


def test_who_stops_early_leaves_no_child(folder: Path, few_frames: FrameSet) -> None:
    jobs = [job(folder, f"job{i}", "slow", few_frames) for i in range(4)]
    doing: list[str] = []
    coming = on_this_machine(2)(jobs, folder, lambda key, what: doing.append(key))
    first = next(coming)
    assert first.status == "done"
    coming.close()
    assert children() == []
    assert len(set(doing)) < 4


def test_children_end_when_their_parent_is_killed(
    folder: Path, few_frames: FrameSet, tmp_path: Path
) -> None:
    jobs = [job(folder, "slow", "slow", few_frames, count=2000)]
    pid = os.fork()
    if pid == 0:
        try:
            list(on_this_machine(1)(jobs, folder, lambda *_: None))
        finally:
            os._exit(0)
    parent = psutil.Process(pid)
    wait_for(lambda: len(parent.children(recursive=True)) == 2)
    family = parent.children(recursive=True)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_for(lambda: not any(child.is_running() for child in family))


def wait_for(true) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_record_survives_the_pipe() -> None:
    record = Record(
        key="a",
        digest="b",
        job=Timing(
            sessions=[], evaluation=Frames("c", "d"), frames=1, threads=None, machine="here"
        ),
        status="failed",
        reason="no",
    )
    assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record
