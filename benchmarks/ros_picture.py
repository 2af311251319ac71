"""The README's picture of the ROS 2 node: the last overlay, and each frame's stages as they came.

    draw(Path("lane.edgeseg"), Path("docs/images/ros.jpg"), seconds=15.0)

From a run of ``edge-seg ros-demo``'s own camera, node and listener on the built-in world.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import cv2
import matplotlib
import numpy as np

from ros_nodes.demo import running
from ros_nodes.segmentation.counts import STAGES

matplotlib.use("Agg")
import matplotlib.pyplot as plt

START_S = 90.0
PARTS = STAGES[:-1]
COLOURS = ("#9db4c0", "#e0e1dd", "#5c9ead", "#326273", "#eeb868", "#c44536")
RATE_HZ = 10.0


def draw(bundle: Path, out: Path, seconds: float) -> None:
    """Run the demo for so long after its first mask and write the picture."""
    with running(bundle, "world:Town", RATE_HZ, (640, 480)) as demo:
        end = monotonic() + START_S
        while not demo.masks and monotonic() < end:
            demo.spin(0.5)
        demo.spin(seconds)
        picture, times_ms = demo.picture, demo.stages_ms()
    assert picture is not None
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12.8, 4.4), width_ratios=(1.34, 1), layout="constrained"
    )
    left.imshow(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    left.axis("off")
    left.set_title("/lane_segmentation/overlay", fontsize=10, family="monospace")
    frames = np.arange(len(times_ms))
    right.stackplot(
        frames, times_ms[:, : len(PARTS)].T, labels=PARTS, colors=COLOURS, step="mid", linewidth=0
    )
    right.set_title("/lane_segmentation/latency", fontsize=10, family="monospace")
    right.set_xlabel(f"frame, {RATE_HZ:.0f} a second")
    right.set_ylabel("ms since the frame's stamp")
    right.set_xlim(0, len(times_ms) - 1)
    right.set_ylim(0, np.percentile(times_ms[:, : len(PARTS)].sum(axis=1), 98) * 1.35)
    handles, labels = right.get_legend_handles_labels()
    right.legend(handles[::-1], labels[::-1], loc="upper left", fontsize=8, ncols=2)
    right.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=100, pil_kwargs={"quality": 88})
    plt.close(figure)
