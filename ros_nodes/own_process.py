"""A node in a process of its own, that ends with whoever started it.

    with OwnProcess("ros_nodes.camera.main", {"source": "world:Town"}) as camera:
        camera.require_alive()          # raises where its process has ended, with its last words

It takes part in ROS on this machine only. It never outlives this process
(`edge_seg.worker.end_with`).
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress

from edge_seg.errors import EdgeSegError
from edge_seg.worker import end_with
from ros_nodes.environment import loopback

END_S = 2.0
LAST_WORDS_BYTES = 2000


class OwnProcess:
    """``python -m module`` with ROS parameters and remappings; ends with the block."""

    def __init__(
        self,
        module: str,
        parameters: Mapping[str, object],
        remaps: Mapping[str, str] | None = None,
    ) -> None:
        self._called = module.split(".")[1]  # camera, segmentation: the folder says what it is
        arguments = [part for pair in (remaps or {}).items() for part in ("-r", ":=".join(pair))]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={json.dumps(value, ensure_ascii=False)}"]  # JSON is YAML
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(os.getpid()), module, "--ros-args", *arguments],
            env={**os.environ, **loopback()},
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,  # a ctrl-C is for us, who may still need it
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def require_alive(self) -> None:
        """Raise `EdgeSegError` where the process has ended."""
        code = self._process.poll()
        if code is not None:
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            last = self._last_words()
            said = f"; it said last: {last}" if last else ""
            raise EdgeSegError(f"the {self._called} process ended ({how}){said}")

    def close(self) -> None:
        """End the process, by force where it does not listen."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self._process.kill()
        self._process.wait()
        self._said.close()

    def __enter__(self) -> OwnProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _last_words(self) -> str:
        """Return the last line that it wrote, "" for none."""
        end = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, end - LAST_WORDS_BYTES))
        lines = self._said.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def main() -> None:
    """The process's own end: the node, that dies with whoever started it."""
    parent, module, *arguments = sys.argv[1:]
    end_with(parent=int(parent))
    sys.argv = [module, *arguments]
    importlib.import_module(module).main()


if __name__ == "__main__":
    main()
