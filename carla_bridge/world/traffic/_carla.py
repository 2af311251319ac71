"""The one place of the world that imports CARLA's client, for its OpenDRIVE reader.

    carla = client()
    carla.Map("Straight", text)

Importing `carla` 0.9.16 takes the process down (SIGSEGV) where HOME is not set, as in service
units and containers; so it is set before.
"""

from __future__ import annotations

import os
from types import ModuleType

from edge_seg.errors import MissingRuntimeError


def client() -> ModuleType:
    """Return the module `carla`, or say which extra brings it."""
    os.environ.setdefault("HOME", "/")
    try:
        import carla
    except ImportError as error:
        raise MissingRuntimeError(
            'the world needs CARLA\'s client library: pip install "edge-seg[carla]" '
            "(Linux on x86_64, Python 3.10 to 3.12)"
        ) from error
    return carla  # type: ignore[no-any-return]
