"""Read a map by CARLA's own reader in a process that may crash: OpenDRIVE on stdin.

    python -m carla_bridge.world.server.trial MEMORY_BYTES < map.xodr

Returns 0 where the map can be used, 1 with the reason as stderr's last line where not; a
malformed text can also end it by a signal, which is why it is not done in the server.
"""

from __future__ import annotations

import resource
import sys


def main() -> None:
    """Read the map, and lanes and spawn points as the server will."""
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from carla_bridge.world.server.towns import read_town
    from edge_seg.errors import EdgeSegError, in_one_line

    try:
        read_town("map", sys.stdin.buffer.read().decode())
    except (EdgeSegError, RuntimeError, LookupError, ValueError, MemoryError) as error:
        raise SystemExit(in_one_line(error)) from error


if __name__ == "__main__":
    main()
