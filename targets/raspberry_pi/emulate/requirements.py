"""What a device installs: the versions that are installed here, for the device's processor.

    closure(["numpy>=1.26", "typer"], {})       # {"numpy": "2.4.6", "typer": "0.29.2", ...}

Both sides run the same versions, so what differs is the processor. pip would evaluate the
markers of requirements for the host; here they are evaluated for a Pi.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution

from edge_seg.errors import EdgeSegError

DEVICE = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.2",
    "os_name": "posix",
    "platform_machine": "aarch64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.11.2",
    "python_version": "3.11",
    "sys_platform": "linux",
}
"""Markers (PEP 508) of a Pi with its system's Python."""


def closure(lines: Iterable[str], pins: Mapping[str, str], extra: str = "") -> dict[str, str]:
    """Return each distribution that ``lines`` lead to, with its version.

    ``lines`` are requirements, evaluated with ``extra``. A version is that of ``pins``, else
    the one installed here. Raises `EdgeSegError` for one that is neither.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting = [(line, extra) for line in lines] + [(name, "") for name in pins]
    while waiting:
        line, extra = waiting.pop()
        wanted = Requirement(line)
        name = canonicalize_name(wanted.name)
        if wanted.marker and not wanted.marker.evaluate({**DEVICE, "extra": extra}):
            continue
        if name not in found:
            found[name], needs = _installed(name, pins)
            waiting += [(need, "") for need in needs]
    return found


def _installed(name: str, pins: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a version and what it requires; a pinned one requires what the one here does."""
    try:
        here = distribution(name)
    except PackageNotFoundError as error:
        if name in pins:
            return pins[name], []
        raise EdgeSegError(
            f"a device needs {name}, which is not installed here: pip install 'edge-seg[pack]'"
        ) from error
    return pins.get(name, here.version.partition("+")[0]), here.requires or []
