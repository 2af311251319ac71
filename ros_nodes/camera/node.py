"""`LaneCamera`: publishes the frames of any source as a camera driver does.

    node = LaneCamera()            # parameters from the command line, `main` says how
    node.close()                   # the source is closed, the world behind it ended

Frames are stamped by the node's clock when they are due, before they are made into a message: a
subscriber's latency counts from there. What was not sent in time is not sent.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import cv2
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame
from ros_nodes.camera.feed import Feed
from ros_nodes.declare import declare
from ros_nodes.messages.images import compressed_message, image_message
from ros_nodes.qos import qos

LARGEST = 16384


class Settings(NamedTuple):
    """What can be set of the camera."""

    source: str
    rate_hz: float
    loop: bool
    frame_id: str
    transport: str
    jpeg_quality: int
    reliability: str
    width: int
    height: int
    encoding: str


def settings(node: Node) -> Settings:
    """Declare the parameters and return them; raises `EdgeSegError` for one that does not fit."""
    return Settings(
        source=declare(
            node,
            "source",
            "",
            "Video, folder, frame set, camera:0, camera:pi, rtsp://..., world:Town, "
            "carla:HOST:PORT. Required.",
        ),
        rate_hz=declare(
            node,
            "rate_hz",
            0.0,
            "Frames a second; 0: as the source says, 30 where it does not.",
            limits=(0.0, 1000.0),
        ),
        loop=declare(node, "loop", True, "Play files again; else the node ends with them."),
        frame_id=declare(node, "frame_id", "camera", "Of the messages' headers."),
        transport=declare(
            node,
            "transport",
            "raw",
            "raw: Image on image; compressed: JPEG on image/compressed.",
            choices=("raw", "compressed"),
        ),
        jpeg_quality=declare(node, "jpeg_quality", 90, "Of compressed images.", limits=(1, 100)),
        reliability=declare(
            node,
            "reliability",
            "best_effort",
            "best_effort loses frames rather than be late; reliable suits any subscriber.",
            choices=("best_effort", "reliable"),
        ),
        width=declare(node, "width", 0, "Of the frames; 0: as height asks.", limits=(0, LARGEST)),
        height=declare(node, "height", 0, "Of the frames; 0: as width asks.", limits=(0, LARGEST)),
        encoding=declare(node, "encoding", "bgr8", "Of raw images.", choices=("bgr8", "rgb8")),
    )


class LaneCamera(Node):
    """Topics: ``image`` (Image), or compressed ``image/compressed``, wherever ``image`` is."""

    def __init__(self) -> None:
        super().__init__("lane_camera")
        self._settings = asked = settings(self)
        if not asked.source:
            raise EdgeSegError("nothing to show: -p source:=road.mp4, a folder, camera:0, ...")
        self.published = 0
        self._feed = Feed(
            asked.source,
            asked.rate_hz,
            asked.loop,
            show=self._publish,
            warn=self._warn,
            ended=self.context.try_shutdown,
        )
        topic = self.resolve_topic_name("image")
        self._compressed = asked.transport == "compressed"
        if self._compressed:
            topic += "/compressed"
        kind = CompressedImage if self._compressed else Image
        self._publisher = self.create_publisher(kind, topic, qos(asked.reliability))
        rate = f"{self._feed.rate_hz:g} Hz" if self._feed.rate_hz else "the camera's rate"
        self.get_logger().info(f"{asked.source} at {rate} on {self._publisher.topic_name}")
        self._feed.start()

    def close(self) -> None:
        """End the source; one that hangs is left to the process's end."""
        self._feed.stop()
        # ROS, and with it its log, may have ended by now.
        print(f"{self.published} frames published, {self._feed.late} late", file=sys.stderr)

    def _warn(self, line: str) -> None:
        if self.context.ok():
            self.get_logger().warning(line)

    def _publish(self, frame: Frame) -> None:
        """Send a frame that is due now. Called by the feed's thread."""
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._settings.frame_id)
        frame = self._resized(frame)
        if self._compressed:
            quality = [cv2.IMWRITE_JPEG_QUALITY, self._settings.jpeg_quality]
            payload = cv2.imencode(".jpg", frame, quality)[1].tobytes()
            message = compressed_message(payload, "jpeg", header)
        else:
            if self._settings.encoding == "rgb8":
                frame = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
            message = image_message(frame, self._settings.encoding, header)
        try:
            self._publisher.publish(message)
            self.published += 1
        except Exception:  # a signal may shut ROS down at any moment
            if self.context.ok():
                raise

    def _resized(self, frame: Frame) -> Frame:
        """Return it in the size asked for; where one side is, the other one follows."""
        height, width = frame.shape[:2]
        asked = self._settings
        new_width = asked.width or round(width * (asked.height or height) / height)
        new_height = asked.height or round(height * new_width / width)
        if (new_width, new_height) == (width, height):
            return frame
        how = cv2.INTER_AREA if new_width < width else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(frame, (new_width, new_height), interpolation=how), np.uint8)
