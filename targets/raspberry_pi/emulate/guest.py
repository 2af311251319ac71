"""Runs a device's Python under qemu: one call, one process group, nothing left behind.

    guest = Guest(make_tree("litert"), "cortex-a72")
    guest.run(["-m", "edge_seg.cli", "verify", "lane.edgeseg"]).stdout

The guest sees the host's files, and over them a root of its own: Python, its libraries and
/proc/cpuinfo of its board. ``sys.executable`` in the guest is a script of the host that starts
qemu, because the kernel cannot start an aarch64 program; so a guest may start processes of its
own as on a device.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from edge_seg.errors import EdgeSegError
from edge_seg.files import scratch_folder
from targets.raspberry_pi.emulate import processors, supervise
from targets.raspberry_pi.emulate.packages import PYTHON
from targets.raspberry_pi.emulate.parts import cache_folder
from targets.raspberry_pi.emulate.tree import Tree

EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
TIME_LIMIT_S = 900.0


def find_emulator() -> str:
    """Return the path of qemu's user-mode emulator, or raise `EdgeSegError`."""
    for name in EMULATORS:
        if found := shutil.which(name):
            return found
    raise EdgeSegError(f"this needs {EMULATORS[0]}: sudo apt install qemu-user-static")


def emulator_version(emulator: Sequence[str] = ()) -> str:
    """Return what runs the guests: ``qemu-aarch64 7.2.22``."""
    command = [*(emulator or [find_emulator()]), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return " ".join(word for word in said.split()[:3] if word != "version")


def damaged() -> str:
    """Return what else it may be when something that ran before does not."""
    return f"the emulator's folder is damaged: remove {cache_folder()} and run again"


@dataclass(frozen=True)
class Guest:
    """A tree on an emulated processor, one of `processors.PROCESSORS`.

    ``emulator`` is the command of a qemu other than the one that `find_emulator` finds.
    """

    tree: Tree
    processor: str
    emulator: Sequence[str] = ()

    def run(
        self,
        arguments: Sequence[str | Path],
        limit_s: float = TIME_LIMIT_S,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python3.11 ARGUMENTS`` in the guest; return how it ended and what it said.

        Raises `EdgeSegError` when there is no emulator, when the guest takes longer than
        ``limit_s`` seconds, or is ended by a signal. What it started ends with it.
        """
        with self.started(arguments, env) as running:
            return running.result(limit_s)

    @contextlib.contextmanager
    def started(
        self, arguments: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> Iterator[Running]:
        """Yield a run that goes on by itself, and end it with the block in every case."""
        with scratch_folder() as scratch:
            command = [str(self._python(scratch)), *map(str, arguments)]
            leader = [sys.executable, "-I", "-S", supervise.__file__, str(os.getpid()), *command]
            # Files take what is said: a pipe stays open while any process of the guest lives.
            with (scratch / "out").open("wb") as out, (scratch / "err").open("wb") as err:
                child = subprocess.Popen(
                    leader,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env={**self._environment(scratch), **(env or {})},
                    start_new_session=True,
                )
            try:
                yield Running(self.processor, command, scratch, child)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()

    def _python(self, scratch: Path) -> Path:
        """Make the guest's root and the script that is its ``sys.executable``."""
        root = scratch / "root"
        (root / "proc").mkdir(parents=True)
        cores = os.cpu_count() or 1
        (root / "proc/cpuinfo").write_text(processors.find(self.processor).cpuinfo(cores))
        for entry in self.tree.python.iterdir():
            (root / entry.name).symlink_to(entry)
        binary = self.tree.python / f"usr/bin/python{PYTHON}"
        python = scratch / f"python{PYTHON}"
        qemu = self.emulator or [find_emulator()]
        emulator = shlex.join([*qemu, "-cpu", self.processor, "-L", str(root)])
        python.write_text(f'#!/bin/sh\nexec {emulator} -0 "$0" {shlex.quote(str(binary))} "$@"\n')
        python.chmod(0o700)
        return python

    def _environment(self, scratch: Path) -> dict[str, str]:
        """Return all that the guest knows of the host's environment: nothing but the path."""
        (scratch / "home").mkdir()
        (scratch / "tmp").mkdir()
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(scratch / "home"),
            "XDG_CACHE_HOME": str(scratch / "home/.cache"),
            "XDG_CONFIG_HOME": str(scratch / "home/.config"),
            "TMPDIR": str(scratch / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONHOME": str(self.tree.python / "usr"),
            "PYTHONPATH": f"{self.tree.app}{os.pathsep}{self.tree.site}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
            "PYTHONSAFEPATH": "1",  # a checkout in the working folder is not what is installed
        }


@dataclass(frozen=True)
class Running:
    """A guest's Python at work; `Guest.started` makes and ends it."""

    processor: str
    command: list[str]
    scratch: Path
    child: subprocess.Popen[bytes]
    since: float = field(default_factory=monotonic)

    def result(self, limit_s: float = TIME_LIMIT_S) -> subprocess.CompletedProcess[str]:
        """Wait for its end, at most until ``limit_s`` seconds after its start."""
        try:
            code = self.child.wait(max(0.0, self.since + limit_s - monotonic()))
        except subprocess.TimeoutExpired:
            raise EdgeSegError(
                f"the emulated {self.processor} was stopped after {limit_s:.0f} s: it hangs, or "
                "this machine is too busy to emulate"
            ) from None
        said, complained = (self._said(name) for name in ("out", "err"))
        if code < 0:
            raise self._killed(-code, complained)
        return subprocess.CompletedProcess(self.command, code, said, complained)

    def _said(self, name: str) -> str:
        return (self.scratch / name).read_text(errors="replace")

    def _killed(self, number: int, complained: str) -> EdgeSegError:
        if number in (signal.SIGKILL, signal.SIGTERM):
            why = "something outside ended it, often for lack of memory: free some, then run again"
        else:
            lines = [line for line in complained.splitlines() if not line.startswith("qemu: ")]
            why = lines[-1][:200] if lines else f"a device would crash too, unless {damaged()}"
        name = signal.Signals(number).name
        return EdgeSegError(f"the emulated {self.processor} was ended by {name}: {why}")
