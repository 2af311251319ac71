"""A world in a process of its own, for whoever needs one for a while.

    with WorldProcess(map="Town", seed=3, traffic=10) as world:
        carla.Client(world.host, world.port)

A world must not live in its client's process: `carla.Client.get_world` holds Python's lock while it
waits for answers. It never outlives this process (`edge_seg.worker.end_with`): Linux kills it when
the thread that started it ends, so that is a thread which waits for nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from edge_seg.errors import EdgeSegError

START_TIME_S = 60.0
STOP_TIME_S = 5.0
KEPT_LINES = 20


class WorldProcess:
    """A running world at ``host:port`` (calls) and ``port + 1`` (streams).

    ``map`` names a shipped map, ``xodr`` an OpenDRIVE file instead; port 0 takes two free ports.
    Raises `EdgeSegError` where it does not come up, with what it said last.
    """

    def __init__(
        self,
        map: str = "Straight",
        port: int = 0,
        seed: int = 0,
        traffic: int = 0,
        xodr: Path | None = None,
    ) -> None:
        options = {
            "--map": map if xodr is None else xodr.resolve(),
            "--port": port,
            "--seed": seed,
            "--traffic": traffic,
            "--end-with": os.getpid(),
        }
        arguments = [str(part) for option in options.items() for part in option]
        self._command = [sys.executable, "-m", "carla_bridge.world", "--json", *arguments]
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._ready: dict[str, Any] | None = None
        self._told = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._failure: OSError | None = None
        self._keeper = threading.Thread(target=self._keep, name="world-keeper", daemon=True)
        self._keeper.start()
        try:
            self._told.wait(START_TIME_S)
        finally:
            if self._ready is None:
                self.kill()
        if self._ready is None:
            raise EdgeSegError(self._why_not())
        self.host: str = self._ready["host"]
        self.port: int = self._ready["port"]

    def __enter__(self) -> WorldProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """The last lines that the world printed."""
        return "\n".join(self._said)

    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the world as ctrl-C does, or by force where it does not listen."""
        if self._process is not None:
            self._process.terminate()
            self._keeper.join(STOP_TIME_S)
        self.kill()

    def kill(self) -> None:
        """End the world at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
        self._keeper.join(STOP_TIME_S)

    def _keep(self) -> None:
        """Start the process, read all that it says (a full pipe would stop it), and wait for it."""
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # a ctrl-C is for us, who may still need the world
            )
        except OSError as error:
            self._failure = error
            self._told.set()
            return
        with self._process as process:
            assert process.stdout is not None
            for line in process.stdout:
                if self._ready is None and line.startswith('{"host"'):
                    self._ready = msgspec.json.decode(line)
                    self._told.set()
                elif line.strip():
                    self._said.append(line.rstrip())
        self._told.set()

    def _why_not(self) -> str:
        if self._failure is not None:
            return f"the world could not be started ({self._failure}): free memory, then try again"
        last = self._said[-1].removeprefix("error: ") if self._said else "it said nothing"
        code = None if self._process is None else self._process.returncode
        if code is not None and code > 0:
            return f"the world did not start: {last}"
        return (
            f"the world did not come up in {START_TIME_S:.0f} s ({last}): "
            "run `edge-seg world` to see what it waits for"
        )
