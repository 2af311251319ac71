"""The topics that the node publishes, each message with the header of the frame it is of.

    outputs = Outputs(node, settings)
    outputs.mask(mask, message.header)                   # every frame
    outputs.pictures(frame, mask, classes, header)       # only where somebody looks
    outputs.latency(stages_s, header)

A frame's latency goes out as sensor_msgs/JointState: of the standard messages with a header the
one that holds named numbers, so that a stamp tells the frame, PlotJuggler shows each stage by its
name, and rqt_plot and Foxglove plot ``position[i]``. Seconds, as REP 103 asks.
"""

from __future__ import annotations

import json

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header, String

from edge_seg.classes import ClassMap
from edge_seg.draw import colour_mask, overlay
from edge_seg.preprocess import Frame, Mask
from ros_nodes.messages.images import ImageMessage
from ros_nodes.qos import LATCHED, qos
from ros_nodes.segmentation.counts import STAGES
from ros_nodes.segmentation.network import Network


class Outputs:
    """Publishers that are silent until the node is active. Used by the worker's thread."""

    def __init__(self, node: LifecycleNode, reliability: str) -> None:
        self._node = node
        images = qos(reliability)
        self._mask = node.create_lifecycle_publisher(Image, "~/mask", images)
        self._mask_color = node.create_lifecycle_publisher(Image, "~/mask_color", images)
        self._overlay = node.create_lifecycle_publisher(Image, "~/overlay", images)
        self._latency = node.create_lifecycle_publisher(JointState, "~/latency", qos("reliable"))
        self._labels = node.create_publisher(String, "~/labels", LATCHED)
        self._mask_message, self._picture = ImageMessage(), ImageMessage()

    def mask(self, mask: Mask, header: Header) -> None:
        """Publish class ids, mono8, of the frame's size."""
        self._mask.publish(self._mask_message.filled(mask, "mono8", header))

    def pictures(self, frame: Frame, mask: Mask, classes: ClassMap, header: Header) -> None:
        """Publish the mask in colours and over the frame, bgr8, each where somebody subscribes."""
        if self._mask_color.get_subscription_count():
            picture = colour_mask(mask, classes)
            self._mask_color.publish(self._picture.filled(picture, "bgr8", header))
        if self._overlay.get_subscription_count():
            picture = overlay(frame, mask, classes)
            self._overlay.publish(self._picture.filled(picture, "bgr8", header))

    def latency(self, stages_s: dict[str, float], header: Header) -> None:
        """Publish the seconds of each stage; NaN is what nobody knows."""
        message = JointState(name=STAGES, position=[stages_s[stage] for stage in STAGES])
        message.header = header
        self._latency.publish(message)

    def labels(self, network: Network) -> None:
        """Publish what the ids mean; who subscribes later gets it, too."""
        classes = network.segmenter.classes
        rows = [
            {"id": id, "name": name, "color": list(color)}
            for id, (name, color) in enumerate(zip(classes.names, classes.palette, strict=True))
        ]
        self._labels.publish(String(data=json.dumps({"bundle": network.digest, "classes": rows})))

    def close(self) -> None:
        """Take the topics away."""
        for publisher in (self._mask, self._mask_color, self._overlay, self._latency):
            self._node.destroy_lifecycle_publisher(publisher)
        self._node.destroy_publisher(self._labels)
