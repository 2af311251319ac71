"""Which client speaks with which server: pairs that are known to, and nothing else.

    check_versions(client="0.9.16", server="0.9.16")

CARLA's docs ask for the same version on both sides. It is refused here and not only warned of,
because the numbers of the sensors differ between versions: a world message under another number
crashes the client, and Python with it.
"""

from __future__ import annotations

import re

from edge_seg.errors import EdgeSegError

KNOWN: dict[str, tuple[str, ...]] = {"0.9.16": ("0.9.16", "0.9.16-dirty")}
"""Servers by the client that may speak with them. "-dirty" is what `git describe` calls a build
of that release from changed sources, so what whoever builds CARLA for themselves has."""


def check_versions(client: str, server: str) -> None:
    """Raise `EdgeSegError` in one line, with the table, unless this pair is known to work."""
    if server in KNOWN.get(client, ()):
        return
    table = "; ".join(f"client {ours} with server {', '.join(s)}" for ours, s in KNOWN.items())
    if client not in KNOWN:
        advice = f"install a client that is: pip install carla=={newest_client()}"
    else:
        advice = f"start CARLA {client}, or the built-in world: edge-seg world"
    raise EdgeSegError(
        f"CARLA's client {client} and a server of version {server[:40]}{_compared(client, server)} "
        f"are not known to work together; known: {table}; {advice}"
    )


def newest_client() -> str:
    """Return the newest client of the table."""
    return max(KNOWN, key=_numbers)


def _compared(client: str, server: str) -> str:
    ours, theirs = _numbers(client), _numbers(server)
    if not ours or not theirs or ours == theirs:
        return ""
    return " (older)" if theirs < ours else " (newer)"


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part[:9]) for part in match[0].split(".")) if match else ()
