"""The process of the camera node: what ``ros2 run edge_seg lane_camera`` starts.

python -m ros_nodes.camera.main --ros-args -p source:=world:Town -r image:=/front/image
"""

from __future__ import annotations

from ros_nodes.camera.node import LaneCamera, settings
from ros_nodes.process import end, run


def main() -> None:
    """Run the node until a signal ends it, or the file is over."""
    end(run(LaneCamera, settings))


if __name__ == "__main__":
    main()
