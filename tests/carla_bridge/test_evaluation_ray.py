"""The same jobs on a Ray cluster, for real where Ray is installed; its absence is told."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.evaluation.plan import Options, make_plan
from carla_bridge.evaluation.ray_jobs import on_ray
from carla_bridge.evaluation.record import read_results
from edge_seg.errors import EdgeSegError, MissingRuntimeError

SHORT = ("--map", "Straight", "--length", "50", "--size", "240x180", "--no-video")
RAY = {
    **os.environ,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
"""Ray 2.60 asks for a token: both sides have this one, and none is kept in the user's home."""


def drive(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_seg.cli", "drive", "labels", *SHORT, "-o", str(out)]
    return subprocess.run(
        [*command, *arguments], env=RAY, capture_output=True, text=True, timeout=300
    )


def test_without_ray_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    plan = make_plan(Options(driver="labels", maps=("Straight",)))
    with pytest.raises(MissingRuntimeError, match=r"edge-seg\[ray\]"):
        on_ray(plan, tmp_path, "auto")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of this machine alone, in a process of its own."""
    pytest.importorskip("ray", reason="needs the extra ray")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    start += [f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    process = subprocess.Popen(start, env=RAY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            break
        time.sleep(0.2)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait(60)


@pytest.mark.slow
def test_a_cluster_drives_what_this_machine_drives(cluster: str, tmp_path: Path) -> None:
    for name, arguments in (("here", ()), ("ray", ("--ray", cluster))):
        done = drive(tmp_path / name, *arguments)
        assert done.returncode == 0, done.stderr
    here, there = (read_results(tmp_path / name) for name in ("here", "ray"))
    assert here.summary == there.summary and here.runs[0].metrics == there.runs[0].metrics
    trace = here.runs[0].trace
    assert (tmp_path / "here" / trace).read_bytes() == (tmp_path / "ray" / trace).read_bytes()


def test_no_cluster_at_an_address_is_told_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    plan = make_plan(Options(driver="labels", maps=("Straight",)))
    with pytest.raises(EdgeSegError, match=r"no Ray cluster at '127\.0\.0\.1:9'"):
        on_ray(plan, tmp_path, "127.0.0.1:9")
