"""A Ray cluster, for commands that spread their jobs beyond one machine.

ray = connect("10.0.0.1:6379")     # the module, initialised
ray.remote(num_cpus=2)(do_one)
"""

from __future__ import annotations

import logging
import socket
from typing import Any

from edge_seg.errors import EdgeSegError, MissingRuntimeError, in_one_line

KNOCK_S = 5.0


def connect(address: str) -> Any:
    """Return the module ``ray``, connected to the cluster at ``address``.

    "auto" finds the one that runs on this machine, "local" starts one for this process alone.
    Raises `MissingRuntimeError` without Ray, `EdgeSegError` where no cluster answers.
    """
    ray = _import_ray()
    _knock(address)
    try:
        ray.init(
            address=address,
            ignore_reinit_error=True,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except Exception as error:
        raise _nobody(address, error) from error
    return ray


def _knock(address: str) -> None:
    """Raise `EdgeSegError` where nobody listens at HOST:PORT: Ray itself tries for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdecimal():
        return  # "auto", "local"
    try:
        socket.create_connection((host, int(port)), KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise _nobody(address, error) from error


def _nobody(address: str, error: Exception) -> EdgeSegError:
    return EdgeSegError(
        f"no Ray cluster at '{address}' ({in_one_line(error)}): start one with "
        "`ray start --head`, or leave --ray out"
    )


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingRuntimeError(
            "--ray needs Ray, which is not installed: pip install 'edge-seg[ray]'"
        ) from error
    return ray
