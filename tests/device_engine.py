"""An engine that needs hardware, which a test plugs in: TensorRT's files, run by ONNX Runtime.

It comes the way a user's own would: a distribution with entry points on the path, which the
workers' processes see too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

INIT = """
from edge_seg.engines import Engine

ENGINE = Engine(
    name="device", folder="device_engine_made", runtime="onnxruntime",
    distribution="onnxruntime", extra="x86", suffix="onnx", minimum_version="0",
    variants={name: ({"way": "fine"}, {"way": "broken"}) for name in ("int8", "float16")},
    portable=True, stand_in="onnxruntime",
)
"""

LOWERING = "from edge_seg.engines.tensorrt.lowering import lower\n"

SESSION = '''
"""BOARD in the environment is the hardware; what is prepared is a line in PREPARED."""
import os
from edge_seg.engines.onnxruntime.session import OnnxRuntimeSession
from edge_seg.errors import EdgeSegError


def hardware():
    if not os.environ.get("BOARD"):
        raise EdgeSegError("no board is plugged in")
    return os.environ["BOARD"]


def prepare(model, options, track):
    with open(os.environ["PREPARED"], "a") as file:
        file.write(options["way"] + "\\n")


def open_session(model, spec, options, threads):
    if options["way"] == "broken":
        raise EdgeSegError("this way is broken")
    return OnnxRuntimeSession(model, spec, threads)
'''


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put engine ``device`` on the path, for this process and its children; no board is there.

    Returns the file that gets a line for each model file that is prepared.
    """
    package, metadata = folder / "device_engine_made", folder / "device_engine_made-1.0.dist-info"
    for place in (package, metadata):
        place.mkdir(parents=True)
    for name, text in (("__init__", INIT), ("lowering", LOWERING), ("session", SESSION)):
        (package / f"{name}.py").write_text(text)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: device_engine_made\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(
        "[edge_seg.engines]\ndevice = device_engine_made:ENGINE\n"
    )
    for module in ("", ".lowering", ".session"):
        monkeypatch.delitem(sys.modules, f"device_engine_made{module}", raising=False)
    monkeypatch.syspath_prepend(str(folder))
    inherited = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), inherited])))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("PREPARED", str(folder / "prepared"))
    monkeypatch.delenv("BOARD", raising=False)
    return folder / "prepared"
