"""Parts of a tree: whole or not there, made once, kept while they are asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_seg.errors import EdgeSegError
from edge_seg.files import TEMPORARY_PREFIX
from targets.raspberry_pi.emulate import parts
from targets.raspberry_pi.emulate.parts import KEPT, KEPT_S, key, part

BUILDER = """
import sys, time
from pathlib import Path
from targets.raspberry_pi.emulate.parts import part

def make(goal):
    (goal / "first").write_text("1")
    print("half", flush=True)
    time.sleep(float(sys.argv[2]))
    (goal / "second").write_text("2")
    with open(sys.argv[1] + "/../made", "a") as log:
        log.write("made\\n")

part(Path(sys.argv[1]), "python", "0123456789abcdef", make)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def build(folder: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER, str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def fill(goal: Path) -> None:
    (goal / "file").write_text("x")


def test_a_part_is_made_once(folder: Path) -> None:
    made: list[Path] = []
    digest = key("numpy==2.4.6", "msgspec==0.22.0")
    for _ in range(3):
        goal = part(folder, "wheels", digest, lambda goal: made.append(goal) or fill(goal))
    assert len(made) == 1
    assert [path.name for path in goal.iterdir()] == ["file"]
    assert key("numpy==2.4.6") != digest


def test_a_build_that_is_killed_is_not_taken_for_whole(folder: Path) -> None:
    with build(folder, 60) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "half\n"
        killed.send_signal(signal.SIGKILL)
    assert not list(folder.glob("python-*"))
    assert list(folder.glob(f"{TEMPORARY_PREFIX}*"))
    goal = part(folder, "python", "0123456789abcdef", fill)
    assert [path.name for path in goal.iterdir()] == ["file"]
    assert not list(folder.glob(f"{TEMPORARY_PREFIX}*"))


def test_two_processes_make_one(folder: Path) -> None:
    both = [build(folder, 0.5) for _ in range(2)]
    assert [process.wait(30) for process in both] == [0, 0]
    said = [process.stdout.read() for process in both if process.stdout is not None]
    assert sorted(said) == ["", "half\n"]
    assert (folder.parent / "made").read_text() == "made\n"


def test_a_build_that_fails_leaves_nothing(folder: Path) -> None:
    def fail(goal: Path) -> None:
        fill(goal)
        raise EdgeSegError("no network")

    with pytest.raises(EdgeSegError, match="no network"):
        part(folder, "debs", "0123456789abcdef", fail)
    assert [path.name for path in folder.iterdir()] == ["debs.lock"]


def test_a_build_that_hangs_elsewhere_is_not_waited_for_forever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "LOCK_LIMIT_S", 0.2)
    with build(folder, 60) as hanging:
        assert hanging.stdout is not None
        hanging.stdout.readline()
        with pytest.raises(EdgeSegError, match="another process has been making python"):
            part(folder, "python", "0123456789abcdef", fill)
        hanging.kill()


def test_what_nobody_asks_for_any_more_goes(folder: Path) -> None:
    old = [folder / f"app-{number:016x}" for number in range(KEPT + 2)]
    for age, path in enumerate(old):
        path.mkdir()
        then = time.time() - KEPT_S - 60 * (age + 1)
        os.utime(path, (then, then))
    other = folder / "app-longer-name-0123456789abcdef"
    other.mkdir()
    new = part(folder, "app", "f" * 16, fill)
    assert set(folder.glob("app-*")) == {new, other, *old[: KEPT - 1]}


def test_a_folder_that_cannot_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with pytest.raises(EdgeSegError, match="set XDG_CACHE_HOME"):
        parts.cache_folder()
