"""Frames to a lane_segmentation node and its masks back, one at a time: a function of the frame.

    with Follower("/front/lane_segmentation") as follow:
        mask = follow(frame)                        # waits for the mask of this very frame

A frame's stamp is the wall clock's, later than any before: a mask belongs to the frame whose stamp
it carries, and any other mask is left alone. Where the node takes its frames is read from the
graph, so that a remapped topic is found.
"""

from __future__ import annotations

import json
from time import monotonic, time_ns
from typing import Any

import numpy as np
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from edge_seg.classes import ClassMap
from edge_seg.errors import EdgeSegError, closest
from edge_seg.preprocess import Frame, Mask
from ros_nodes.following.link import Link
from ros_nodes.following.own_node import OwnNode
from ros_nodes.following.said import Said
from ros_nodes.messages.images import frame_of, image_message
from ros_nodes.messages.stamps import from_ns
from ros_nodes.qos import qos

FIND_S = 10.0
"""Nodes announce themselves every three seconds (Fast DDS)."""
ANSWER_S = 10.0
"""For a mask, and for whatever else a node that is active gives at once."""
START_S = 240.0
"""For a node of its own to be active: on a Jetson an engine may be built."""
PROBE_S = 1.0
PROBE = np.zeros((480, 640, 3), np.uint8)


class Follower:
    """``classes`` are those of the node's bundle. One thread uses it.

    ``digest`` is of the bundle that the node must run, "" for any. Raises `EdgeSegError` where it
    cannot be followed: no such node, not active, frames left out, no masks.
    """

    def __init__(self, name: str, digest: str = "", own: OwnNode | None = None) -> None:
        self.name = "/" + name.strip("/")
        self._sent_ns = 0
        self._link = Link(own)
        try:
            self._find(START_S if own else FIND_S)
            self._said = Said(self._link, self.name, own.diagnostics if own else "/diagnostics")
            topic = self._camera_topic(START_S if own else ANSWER_S)
            self._require_every_frame()
            self.classes = self._read_labels(digest)
            self._publisher = self._link.node.create_publisher(Image, topic, qos("reliable"))
            self._probe()
        except BaseException:
            self.close()
            raise

    def __call__(self, frame: Frame) -> Mask:
        """Return the mask (H, W) uint8 of a frame (H, W, 3) uint8 BGR."""
        labels = self._said.labels
        self._send(frame)
        if not self._link.until(self._answer, ANSWER_S):
            raise self._failure(f"gave no mask for {ANSWER_S:.0f} s")
        mask = frame_of(self._answer())[:, :, 0]  # mono8 comes as three equal channels
        if mask.shape != frame.shape[:2]:
            raise EdgeSegError(f"{self.name} gave a mask of another size than its frame's")
        if labels != self._said.labels:
            raise EdgeSegError(f"{self.name} was given another bundle in mid-drive: drive again")
        return mask

    def close(self) -> None:
        """Leave the node alone."""
        self._link.close()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, limit_s: float) -> None:
        if not self._link.until(lambda: self.name in self._link.nodes(), limit_s):
            raise EdgeSegError(
                f"there is no node {self.name} (ROS_DOMAIN_ID, its namespace?): "
                f"{closest(self.name, self._link.nodes())}"
            )

    def _camera_topic(self, limit_s: float) -> str:
        """Wait until the node is active; return the topic that it takes its frames from."""
        self._link.until(lambda: self._link.takers(self.name) or self._said.gave_up, limit_s)
        takers = self._link.takers(self.name)
        if not takers:
            raise self._failure("is not active (ros2 lifecycle set ... activate)")
        taker = takers[0]
        if taker.compressed:
            raise EdgeSegError(f"{self.name} takes compressed images: set transport to raw")
        if not taker.reliable:
            raise EdgeSegError(
                f"{self.name} may lose frames, and each needs its mask: set reliability to reliable"
            )
        if not self._link.until(lambda: not self._link.givers(taker.topic), ANSWER_S):
            raise EdgeSegError(
                f"{self.name} gets frames on {taker.topic} from "
                f"{', '.join(self._link.givers(taker.topic))}, too: end that"
            )
        return taker.topic

    def _require_every_frame(self) -> None:
        client: Any = self._link.node.create_client(GetParameters, f"{self.name}/get_parameters")
        if not self._link.until(client.service_is_ready, ANSWER_S):
            raise self._failure("has no service for its parameters")
        future = client.call_async(GetParameters.Request(names=["frame_skip"]))
        if not self._link.until(future.done, ANSWER_S):
            raise self._failure("does not answer what its parameters are")
        values = future.result().values
        if values and values[0].integer_value:
            raise EdgeSegError(f"{self.name} leaves frames out: set frame_skip to 0")

    def _read_labels(self, digest: str) -> ClassMap:
        """Return what the ids in its masks mean; its bundle must be the one that is driven."""
        masks = f"{self.name}/mask"
        if not self._link.until(lambda: self.name in self._link.givers(masks), ANSWER_S):
            raise self._failure(f"publishes nothing on {masks}, do not remap it")
        if not self._link.until(lambda: self._said.labels, ANSWER_S):
            raise self._failure(f"says nothing on {self.name}/labels, is it a lane_segmentation?")
        try:
            labels = json.loads(self._said.labels)
            runs, rows = str(labels["bundle"]), labels["classes"]
            names, palette = ([row[key] for row in rows] for key in ("name", "color"))
            classes = ClassMap(tuple(names), tuple(map(tuple, palette)))
        except (ValueError, KeyError, TypeError) as error:
            raise self._failure(
                f"says on {self.name}/labels what no lane_segmentation says"
            ) from error
        if digest and runs != digest:
            raise EdgeSegError(
                f"{self.name} runs another bundle (digest {runs[:12]}) than the one that is driven "
                f"({digest[:12]}): set its parameter 'bundle'"
            )
        return classes

    def _probe(self) -> None:
        """Send frames until a mask comes: only then has each side found the other's topics."""
        end = monotonic() + ANSWER_S
        self._send(PROBE)
        while not self._link.until(self._answer, PROBE_S):
            if monotonic() > end:
                raise self._failure(f"gave no mask for {ANSWER_S:.0f} s")
            self._send(PROBE)

    def _send(self, frame: Frame) -> None:
        self._sent_ns = max(time_ns(), self._sent_ns + 1)
        header = Header(frame_id="camera", stamp=from_ns(self._sent_ns))
        self._publisher.publish(image_message(frame, "bgr8", header))

    def _answer(self) -> Image | None:
        return self._said.mask_of(self._sent_ns)

    def _failure(self, what: str) -> EdgeSegError:
        return EdgeSegError(f"the node {self.name} {what}: {self._said.words()}")
