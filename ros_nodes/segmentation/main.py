"""The process of the lane-segmentation node: what ``ros2 run edge_seg lane_segmentation`` starts.

python -m ros_nodes.segmentation.main --ros-args -p bundle:=lane.edgeseg
"""

from __future__ import annotations

from ros_nodes.process import end, run
from ros_nodes.segmentation.node import LaneSegmentation
from ros_nodes.segmentation.parameters import declare


def main() -> None:
    """Run the node until a signal ends it."""
    end(run(LaneSegmentation, declare, LaneSegmentation.autostart))


if __name__ == "__main__":
    main()
