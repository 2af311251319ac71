"""An emulated Raspberry Pi: what it sees, what it computes, and that it leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from edge_seg.errors import EdgeSegError
from targets.raspberry_pi.emulate.guest import Guest, emulator_version, find_emulator
from targets.raspberry_pi.emulate.tree import RUNTIMES, Tree, make_tree

SURROUNDINGS = """
import importlib.metadata as metadata, json, os, platform, subprocess, sys
code = "import os, platform, sys; print(platform.machine(), sys.executable, os.getppid())"
child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
import edge_seg
print(json.dumps({
    "machine": platform.machine(),
    "python": platform.python_version(),
    "cpuinfo": open("/proc/cpuinfo").read(),
    "environment": dict(os.environ),
    "child": child.stdout.split(),
    "self": [platform.machine(), sys.executable, str(os.getpid())],
    "edge_seg": edge_seg.__file__,
    "engines": [point.name for point in metadata.entry_points(group="edge_seg.engines")],
    "versions": {name: metadata.version(name) for name in ("numpy", "ai-edge-litert", "msgspec")},
    "torch": __import__("importlib.util").util.find_spec("torch") is not None,
}))
"""
RESIZES = """
import hashlib, cv2, numpy as np
random = np.random.default_rng(0)
frame = random.integers(0, 256, (480, 640, 3), dtype=np.uint8)
mask = random.integers(0, 3, (256, 512), dtype=np.uint8)
exact = cv2.resize(frame, (512, 256), interpolation=cv2.INTER_LINEAR_EXACT)
nearest = cv2.resize(mask, (640, 480), interpolation=cv2.INTER_NEAREST_EXACT)
print(hashlib.sha256(exact.tobytes() + nearest.tobytes()).hexdigest())
"""
WITH_CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1], "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1], sys.argv[2])
exec(sys.argv[3])
"""
PARENT = """
import sys
from targets.raspberry_pi.emulate.guest import Guest
from targets.raspberry_pi.emulate.tree import make_tree
Guest(make_tree("litert"), "cortex-a72").run(sys.argv[1:])
"""


def wait_for(path: Path, limit_s: float = 60) -> list[int]:
    """Return the process numbers that a guest wrote once both processes were there."""
    end = time.monotonic() + limit_s
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name} within {limit_s} s"
        time.sleep(0.05)
    return [int(number) for number in path.read_text().split()]


def gone(numbers: list[int], limit_s: float = 10) -> bool:
    end = time.monotonic() + limit_s
    while any(map(psutil.pid_exists, numbers)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(psutil.pid_exists, numbers))


def test_a_guest_is_a_device_with_the_wheel_installed(
    pi4: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")  # the host's own settings do not leak
    monkeypatch.setenv("EDGE_SEG_DEBUG", "1")
    done = pi4.run(["-c", SURROUNDINGS], 120, env={"OWN": "yes"})
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["machine"] == "aarch64"
    assert seen["python"].startswith("3.11.")
    assert "0xd08" in seen["cpuinfo"]
    assert seen["cpuinfo"].count("processor") == os.cpu_count()
    assert seen["child"] == seen["self"]
    assert seen["edge_seg"].startswith(str(pi4.tree.app))
    assert {"litert", "qnnpack"} <= set(seen["engines"])
    assert seen["versions"] == {name: version(name) for name in seen["versions"]}
    assert not seen["torch"]
    assert seen["environment"]["OWN"] == "yes"
    assert "EDGE_SEG_DEBUG" not in seen["environment"]
    assert not Path(seen["environment"]["HOME"]).exists()


def test_one_tree_serves_every_processor(pi5: Guest) -> None:
    said = pi5.run(["-c", "print(open('/proc/cpuinfo').read())"], 60).stdout
    assert "0xd0b" in said
    assert "asimddp" in said


def test_exact_resizes_give_the_same_bytes_as_here(pi4: Guest) -> None:
    """INTER_LINEAR does not: OpenCV 5 has other kernels on ARM, a quarter of the values differ."""
    here = subprocess.run([sys.executable, "-c", RESIZES], capture_output=True, text=True)
    there = pi4.run(["-c", RESIZES], 120)
    assert there.stdout == here.stdout
    assert len(there.stdout.strip()) == hashlib.sha256().digest_size * 2


def test_the_command_line_is_installed(pi4: Guest) -> None:
    done = pi4.run([pi4.tree.app / "bin/edge-seg", "verify", "/none.edgeseg"], 120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: /none.edgeseg: no such file")


def test_a_time_limit_ends_the_guest_and_its_child(pi4: Guest, tmp_path: Path) -> None:
    started = tmp_path / "started"
    hang = ["-c", WITH_CHILD, tmp_path / "half", started, "time.sleep(600)"]
    with pytest.raises(EdgeSegError, match=r"cortex-a72 was stopped after 10 s.*hangs"):
        pi4.run(hang, limit_s=10)
    assert gone(wait_for(started))


def test_what_a_guest_leaves_running_ends_with_it(pi4: Guest, tmp_path: Path) -> None:
    started = tmp_path / "started"
    before = time.monotonic()
    done = pi4.run(["-c", WITH_CHILD, tmp_path / "half", started, "print('done')"], 120)
    assert done.stdout == "done\n"
    assert time.monotonic() - before < 60
    assert gone(wait_for(started))


def test_a_guest_ends_with_a_parent_that_is_killed(pi4: Guest, tmp_path: Path) -> None:
    started = tmp_path / "started"
    hang = ["-c", WITH_CHILD, str(tmp_path / "half"), str(started), "time.sleep(600)"]
    with subprocess.Popen([sys.executable, "-c", PARENT, *hang]) as parent:
        numbers = wait_for(started)
        parent.kill()
    assert gone(numbers)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SIGKILL", "something outside ended it, often for lack of memory"),
        ("SIGILL", "the last word"),
    ],
)
def test_a_guest_that_is_killed_or_crashes_is_one_line(
    pi4: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code = (
        "import os, signal, sys\n"
        "print('the first', 'the last word', sep='\\n', file=sys.stderr, flush=True)\n"
        f"os.kill(os.getpid(), signal.{name})"
    )
    with pytest.raises(EdgeSegError, match=f"cortex-a72 was ended by {name}: {words}") as failed:
        pi4.run(["-c", code], 60)
    assert "\n" not in str(failed.value)
    assert not list(tmp_path.iterdir())  # no core file


def test_an_exit_code_is_the_callers_to_judge(pi4: Guest) -> None:
    assert pi4.run(["-c", "raise SystemExit(7)"], 60).returncode == 7


@pytest.fixture
def no_tree(tmp_path: Path) -> Tree:
    return Tree(RUNTIMES["litert"], tmp_path, tmp_path, tmp_path)


def test_a_missing_emulator_says_how_to_install_it(
    no_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgeSegError, match="sudo apt install qemu-user-static"):
        Guest(no_tree, "cortex-a72").run(["-c", "pass"])


def test_either_build_of_qemu_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = tmp_path / "qemu-aarch64"
    emulator.write_text("#!/bin/sh\necho 'qemu-aarch64 version 9.1.0 (Debian 1:9.1)'\n")
    emulator.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_emulator() == str(emulator)
    assert emulator_version() == "qemu-aarch64 9.1.0"


def test_an_unknown_runtime_or_processor_is_told_the_closest(no_tree: Tree) -> None:
    with pytest.raises(EdgeSegError, match="did you mean 'litert'"):
        make_tree("litertt")
    with pytest.raises(EdgeSegError, match="did you mean 'cortex-a72'"):
        Guest(no_tree, "cortex-72").run(["-c", "pass"])


def test_a_tree_is_there_at_once_the_second_time(pi4: Guest) -> None:
    tree = make_tree("litert")
    before = time.monotonic()
    assert make_tree("litert") == tree
    assert (tree.python, tree.site) == (pi4.tree.python, pi4.tree.site)
    assert time.monotonic() - before < 5  # a third of a second on an idle machine
