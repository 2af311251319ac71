"""An engine and a target that misbehave or are small on demand, installed for one test.

Both come the way a user's own would: a distribution with entry points on the path, which
the workers' processes see too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

INIT = """
from edge_seg.engines import Engine
from edge_seg.target import Target
import platform

ENGINE = Engine(
    name="rogue", folder="rogue", runtime="{runtime}", distribution="{runtime}", extra="x86",
    suffix="bin", minimum_version="0",
    variants={{"int8": tuple({{"way": way}} for way in "{behaviour}".split("|"))}},
)
SMALL = Target("small", "the tests' own", platform.machine(), ("onnxruntime",), "x86")
"""

LOWERING = """
def lower(source, precision, options):
    return options["way"].encode()
"""

SESSION = '''
"""What the model file says is what happens: `fine`, or one of the ways to fail."""
import os, signal, time
import numpy as np


class Session:
    def __init__(self, behaviour, spec):
        self.behaviour, self.spec, self.frames = behaviour, spec, 0

    def preprocess(self, frame):
        self.frames += 1

    def infer(self):
        if self.behaviour == "killed":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif self.behaviour == "exits":
            os._exit(7)
        elif self.behaviour == "hangs":
            time.sleep(600)
        elif self.behaviour == "raises":
            raise ValueError("no such kernel\\nand a second line")
        elif self.behaviour == "prints":
            os.write(1, b"a runtime that talks on stdout\\n")
            print("and through Python", flush=True)
        elif self.behaviour == "slow":
            time.sleep(0.06)
        elif self.behaviour == "raises-late" and self.frames > 30:
            raise ValueError("no memory for the tensor\\nand a second line")
        elif self.behaviour == "hangs-late" and self.frames > 30:
            time.sleep(600)
        elif self.behaviour == "dies-late" and self.frames > 8:
            os.kill(os.getpid(), signal.SIGABRT)

    def ids(self):
        return np.zeros((self.spec.height, self.spec.width), np.uint8)

    def close(self):
        pass


def open_session(model, spec, options, threads):
    if model == b"killed-at-load":
        os.kill(os.getpid(), signal.SIGILL)
    if model == b"opens-slowly":
        time.sleep(60)
    return Session(model.decode(), spec)
'''


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str = "fine",
    runtime: str = "numpy",
) -> None:
    """Put engine ``rogue`` and target ``small`` on the path, for this process and its children.

    ``behaviour`` is what its files do; of "hangs|fine" it makes two files, two ways of running it.
    """
    package, metadata = folder / "rogue", folder / "rogue-1.0.dist-info"
    package.mkdir(parents=True)
    metadata.mkdir()
    (package / "__init__.py").write_text(INIT.format(runtime=runtime, behaviour=behaviour))
    (package / "lowering.py").write_text(LOWERING)
    (package / "session.py").write_text(SESSION)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rogue\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[edge_seg.engines]\nrogue = rogue:ENGINE\n[edge_seg.targets]\nsmall = rogue:SMALL\n"
    )
    for module in ("rogue", "rogue.lowering", "rogue.session"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(folder)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.setenv("PYTHONPATH", path)
