"""The cache of built engines among other processes, kills, full disks and folders of others."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plan_builder import ORIN, Api, Builder, Built, Settings

from edge_seg.engines.tensorrt import plans
from edge_seg.engines.tensorrt.built_for import About
from edge_seg.engines.tensorrt.plans import plan_for, plans_folder
from edge_seg.errors import EdgeSegError
from edge_seg.files import TEMPORARY_PREFIX, sha256


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return plans_folder()


@pytest.fixture
def builder() -> Builder:
    return Builder()


CHILD = """
import os, sys, time
from dataclasses import dataclass, field
from edge_seg.engines.tensorrt.cuda import Device
from edge_seg.engines.tensorrt.plans import plan_for

@dataclass
class Thing:
    name: str = "tensorrt"
    version: str = "10.7.0"
    dla: bool = False
    workspace_bytes: int | None = None
    plan: bytes = b"plan " * 400_000
    timing_cache: bytes = b"t" * 100_000

def build(*arguments, **keywords):
    print("building", flush=True)
    time.sleep(float(sys.argv[1]))
    print("built", flush=True)
    return Thing()

orin = Device("Orin", "8.7", True, 8 << 30, "12.6")
say = lambda line: print(line, flush=True)
print("ready", flush=True)
plan = plan_for(b"model", orin, Thing(), Thing(), build, say=say)
assert plan == Thing.plan
print("done", flush=True)
"""
WHOLE = b"plan " * 400_000


def child(seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def read_until(process: subprocess.Popen[str], wanted: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == wanted:
            return
    raise AssertionError(f"the child ended without saying {wanted}")


def test_two_processes_at_once_build_once() -> None:
    both = [child(1.0), child(1.0)]
    said = [process.communicate(timeout=60)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(line for lines in said for line in lines if line != "ready") == sorted(
        [
            "building",
            "built",
            "building the engine for Orin: takes minutes, once",
            "another process is building this engine: waiting for it",
            "done",
            "done",
        ]
    )


def test_a_build_elsewhere_that_hangs_is_not_waited_for_forever(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "LOCK_LIMIT_S", 0.3)
    with child(60) as hanging:
        read_until(hanging, "building")
        with pytest.raises(EdgeSegError, match="another process has been building this engine"):
            builder.get()
        hanging.kill()


def test_a_killed_build_leaves_no_half_engine_and_no_lock(folder: Path) -> None:
    """Kill -9 in the build, and at random moments in the writing that follows it."""
    generator = random.Random(7)
    for number in range(8):
        with child(60 if number == 0 else 0) as killed:
            read_until(killed, "building" if number == 0 else "built")
            time.sleep(generator.uniform(0, 0.03))
            killed.send_signal(signal.SIGKILL)
        for about in folder.glob("*.json"):
            entry = About.decoded(about.read_bytes())
            assert entry is not None
            assert sha256(about.with_suffix(".plan").read_bytes()) == entry.plan_sha256
        built: list[bytes] = []

        def build(*arguments: object, built: list[bytes] = built, **keywords: object) -> Built:
            built.append(b"")
            return Built(WHOLE)

        began = time.monotonic()
        assert plan_for(b"model", ORIN, Api(), Settings(), build) == WHOLE
        assert time.monotonic() - began < 5  # nobody waits for the dead
        if built:
            assert not list(folder.glob(f"{TEMPORARY_PREFIX}*"))
        for path in folder.glob("*.*"):
            path.unlink()


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_does_not_cost_the_engine(folder: Path) -> None:
    said: list[str] = []
    with mounted(folder, "size=64k"):
        plan = plan_for(
            b"model", ORIN, Api(), Settings(), lambda *a, **k: Built(WHOLE), say=said.append
        )
        assert plan == WHOLE
        assert [path.suffix for path in folder.iterdir()] == [".lock"]
    assert "the engine is built and used, but not kept: no space left on the disk" in said[-1]


def test_a_disk_that_is_full_when_the_json_is_written_leaves_no_plan(
    builder: Builder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush: Callable[[int], None] = os.fsync
    flushed: list[int] = []

    def full(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) > 2:  # the plan and its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert builder.get() == b"plan 1 of model"
    assert "not kept: no space left" in builder.said[-1]
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


def test_a_read_only_folder_still_gives_engines(builder: Builder, folder: Path) -> None:
    with mounted(folder, "size=1m"):
        builder.get()
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert builder.get() == b"plan 1 of model"
        builder.said.clear()
        assert builder.get(b"other") == b"plan 2 of other"
        assert builder.get(b"other") == b"plan 3 of other"
        assert len(list(folder.glob("*.plan"))) == 1
    assert "will not be kept in the cache (XDG_CACHE_HOME): cannot write" in builder.said[0]
    assert builder.said[1] == "building the engine for Orin: takes minutes"


def test_a_cache_that_cannot_be_made_still_gives_engines(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert builder.get() == b"plan 1 of model"
    assert "will not be kept in the cache" in builder.said[0]
    assert "\n" not in builder.said[0]
