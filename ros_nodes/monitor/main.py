"""The process of the monitor: what ``ros2 run edge_seg latency_monitor`` starts.

python -m ros_nodes.monitor.main --ros-args -p duration_s:=30 -p out:=latency.json
"""

from __future__ import annotations

import sys

from edge_seg.errors import EdgeSegError
from ros_nodes.monitor.node import LatencyMonitor, settings
from ros_nodes.process import end, run


def main() -> None:
    """Measure until the time is over, or a signal comes."""
    try:
        code = run(LatencyMonitor, settings)
    except EdgeSegError as error:  # the report cannot be written any more
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    end(code)


if __name__ == "__main__":
    main()
