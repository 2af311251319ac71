"""A world in a process of its own: it comes up, says where, and never stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("carla")
pytest.importorskip("panda3d")

from carla_bridge.world.server.serve import serve
from carla_bridge.world.server.start import WorldProcess
from edge_seg.errors import EdgeSegError

COMMAND = (sys.executable, "-m", "carla_bridge.world")
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def world() -> Iterator[WorldProcess]:
    with WorldProcess() as world:
        yield world
    assert is_gone(world.pid)
    assert "Traceback" not in world.said


def is_running(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10.0
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def first_of_two_free_ports() -> int:
    """Return one below those that connections are given: a connection may take any of these."""
    for port in range(20_000, 30_000, 2):
        with (
            contextlib.suppress(OSError),
            socket.create_server(("127.0.0.1", port)),
            socket.create_server(("127.0.0.1", port + 1)),
        ):
            return port
    raise AssertionError("no two free ports")


def refused(*arguments: str | int | Path) -> str:
    """Return the one line of a world that does not start, without its ``error: ``."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def test_it_listens_on_two_ports_of_loopback_alone(world: WorldProcess) -> None:
    assert world.alive()
    assert world.host == "127.0.0.1"
    for port in (world.port, world.port + 1):
        socket.create_connection((world.host, port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.parametrize("offset", [0, 1])
def test_a_port_in_use_is_one_line_and_two(world: WorldProcess, offset: int) -> None:
    said = refused("--port", world.port + offset)
    assert f"port {world.port + offset} " in said and "choose another --port" in said


def test_a_stream_port_in_use_is_one_line_and_frees_the_other() -> None:
    port = first_of_two_free_ports()
    with (
        socket.create_server(("127.0.0.1", port + 1)),
        pytest.raises(EdgeSegError, match=rf"did not start: port {port + 1} ") as error,
    ):
        WorldProcess(port=port)
    assert "\n" not in str(error.value)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_map_that_cannot_be_read_is_one_line_and_frees_the_ports(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (broken := tmp_path / "broken.xodr").write_text("<OpenDRIVE>")
    for map, said in (("Strait", "'Straight'"), (str(broken), "not whole")):
        with pytest.raises(EdgeSegError, match=said) as error:
            serve(map, "127.0.0.1", port, seed=0, traffic=0, ready=pytest.fail)
        assert "\n" not in str(error.value)
    socket.create_server(("127.0.0.1", port)).close()


def test_a_missing_package_is_one_line_with_the_way_out() -> None:
    without = "import sys; sys.modules['msgpack'] = None; from carla_bridge.world import __main__"
    done = subprocess.run(
        [sys.executable, "-c", f"{without}; __main__.main()"], capture_output=True, text=True
    )
    expected = "error: the world needs msgpack: pip install 'edge-seg[carla]'\n"
    assert (done.returncode, done.stderr) == (2, expected)


def test_ctrl_c_ends_it_cleanly() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--seed", "3", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,  # `import carla` crashes without a HOME; the world must not
    ) as process:
        try:
            assert process.stdout is not None
            ready = msgspec.json.decode(process.stdout.readline())
            assert (ready["map"], ready["seed"], ready["traffic"]) == ("Straight", 3, 0)
            assert ready["pid"] == process.pid
            assert ready["stream_port"] == ready["port"] + 1
            process.send_signal(signal.SIGINT)
            said, complaints = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, said) == (0, "")
    assert "Traceback" not in complaints


def test_kill_leaves_nothing() -> None:
    threads = threading.active_count()
    with WorldProcess(traffic=1) as killed:
        killed.kill()
        assert not killed.alive()
    assert is_gone(killed.pid)
    assert threading.active_count() == threads


def test_it_outlives_the_thread_that_started_it_but_not_the_process() -> None:
    script = """
import threading, time
from carla_bridge.world.server.serve import serve
from carla_bridge.world.server.start import WorldProcess

def start():
    print(WorldProcess().pid, flush=True)

threading.Thread(target=start).start()
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            time.sleep(0.3)
            assert is_running(pid)
        finally:
            parent.kill()
    assert is_gone(pid)
