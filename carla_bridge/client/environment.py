"""The `carla` package, imported where it can be: the one door to it on the client's side.

    carla = import_carla()
    client = carla.Client("127.0.0.1", 2000)

`import carla` crashes the process where HOME is unset (services and containers start so), and
maps are kept under it, so HOME is set first.
"""

from __future__ import annotations

import importlib
import os
import platform
import pwd
import tempfile
from pathlib import Path
from typing import Any

from edge_seg.errors import MissingRuntimeError

WHEELS = "x86_64"
"""PyPI has wheels of carla 0.9.16 for Linux on this machine only (pypi.org/project/carla)."""


def import_carla() -> Any:
    """Return the module `carla`; raise `MissingRuntimeError` where it is not installed."""
    ensure_home()
    try:
        return importlib.import_module("carla")
    except ImportError as error:
        raise MissingRuntimeError(_what_is_missing(platform.machine())) from error


def ensure_home() -> None:
    """Set HOME where it is not: to the user's folder, or where that is none to the temporary."""
    if os.environ.get("HOME"):
        return
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a container's user need not be in the list of users
        home = ""
    usable = bool(home) and Path(home).is_dir() and os.access(home, os.W_OK)
    os.environ["HOME"] = home if usable else tempfile.gettempdir()


def _what_is_missing(machine: str) -> str:
    if machine != WHEELS:
        return (
            f"CARLA's client has no wheel for {machine}: run this on an {WHEELS} machine; "
            "bundles run here without it"
        )
    return 'this needs CARLA\'s client, which is not installed: pip install "edge-seg[carla]"'
