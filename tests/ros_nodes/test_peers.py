"""Programs that share no code with ROS read what the node publishes, and it reads what they write:
Eclipse Cyclone DDS on the wire, rosbags on the bytes of each message and in bags.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the extra 'ros'")
pytest.importorskip("rosbags", reason="needs the extra 'dev'")

from diagnostic_msgs.msg import DiagnosticArray
from drawn_roads import draw_road
from rclpy.serialization import deserialize_message, serialize_message
from rig import Rig, rig
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64, Header, String

from edge_seg.frames.images import encode_image
from edge_seg.segmenter import Segmenter
from ros_nodes.messages.images import frame_of, image_message
from ros_nodes.messages.stamps import from_ns
from ros_nodes.qos import LATCHED, qos

CYCLONE = """
<CycloneDDS><Domain Id="{domain}">
  <General>
    <Interfaces><NetworkInterface name="lo"/></Interfaces>
    <AllowMulticast>false</AllowMulticast>
  </General>
  <Discovery>
    <Peers><Peer Address="127.0.0.1"/></Peers>
    <ParticipantIndex>auto</ParticipantIndex>
    <MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>
  </Discovery>
</Domain></CycloneDDS>
"""
"""The loopback only. Cyclone does not read ROS_DOMAIN_ID; the one Id given here decides."""
STORES = (Stores.ROS2_HUMBLE, Stores.ROS2_JAZZY, Stores.ROS2_KILTED)
TOPICS = {
    "lane_segmentation/mask": (Image, qos("reliable")),
    "lane_segmentation/mask_color": (Image, qos("reliable")),
    "lane_segmentation/overlay": (Image, qos("reliable")),
    "lane_segmentation/latency": (JointState, qos("reliable")),
    "lane_segmentation/labels": (String, LATCHED),
    "lane_segmentation/heartbeat": (Float64, qos("best_effort")),
    "diagnostics": (DiagnosticArray, qos("reliable")),
}
"""All that the node publishes of its own."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("node"), bundle=tiny_bundle, max_age_ms=0.0) as running:
        running.listened()
        yield running


def test_cyclone_sends_frames_and_receives_their_masks(
    here: Rig, tmp_path: Path, tiny_bundle: Path
) -> None:
    pytest.importorskip("cyclonedds", reason="needs the extra 'dev'")
    noise = np.random.default_rng(0).integers(0, 256, (240, 322, 3), dtype=np.uint8)
    frames = {"drawn": draw_road(7)[0], "other": draw_road(8)[0], "noise": noise}
    np.savez(tmp_path / "frames.npz", **frames)
    program = Path(__file__).with_name("cyclone_camera.py")
    camera = subprocess.run(
        [sys.executable, program, tmp_path / "frames.npz", tmp_path / "masks.npz"],
        env={**os.environ, "CYCLONEDDS_URI": CYCLONE.format(domain=os.environ["ROS_DOMAIN_ID"])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert camera.returncode == 0, camera.stderr
    headers, masks = json.loads(camera.stdout), np.load(tmp_path / "masks.npz")
    with Segmenter(tiny_bundle, threads=1) as segmenter:
        for name, frame in frames.items():
            assert np.array_equal(masks[name], segmenter(frame))
            assert headers[name]["mask"] == headers[name]["frame"]
            assert headers[name]["encoding"] == "mono8"
            assert headers[name]["size"] == list(frame.shape[:2])
    assert len({mask.tobytes() for mask in masks.values()}) == len(frames)


@pytest.fixture(scope="module")
def wire(here: Rig) -> dict[str, bytes]:
    """One message of each topic, the bytes as they came from the node's process."""
    caught: dict[str, bytes] = {}
    node = here.here.node
    subscriptions = [
        node.create_subscription(
            kind, topic, lambda data, topic=topic: caught.update({topic: data}), profile, raw=True
        )
        for topic, (kind, profile) in TOPICS.items()
    ]

    def every() -> bool:
        here.send(draw_road(9)[0])
        here.here.spin(0.1)
        return len(caught) == len(TOPICS)

    here.until(every)
    for subscription in subscriptions:
        node.destroy_subscription(subscription)
    return caught


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("topic", TOPICS)
def test_rosbags_reads_every_topic_and_writes_the_same_bytes(
    wire: dict[str, bytes], topic: str, store: Stores
) -> None:
    kind, types = TOPICS[topic][0], get_typestore(store)
    read = types.deserialize_cdr(wire[topic], _name(kind))
    written = bytes(types.serialize_cdr(read, _name(kind)))
    written += bytes(-len(written) % 4)  # RTPS sends whole words
    assert _but_padding(written, wire[topic]) == wire[topic]
    assert _plain(read) == _plain(deserialize_message(wire[topic], kind))


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("encoding", "padding"), [("bgr8", 0), ("rgb8", 0), ("mono8", 0), ("bgr8", 5), ("mono8", 3)]
)
def test_a_frame_written_by_rosbags_is_the_frame(
    encoding: str, padding: int, store: Stores
) -> None:
    frame = draw_road(10)[0]
    height, width = frame.shape[:2]
    sent = {"bgr8": frame, "rgb8": frame[:, :, ::-1], "mono8": frame[:, :, :1]}[encoding]
    expected = np.repeat(sent, 3, axis=2) if encoding == "mono8" else frame
    rows = np.pad(sent.reshape(height, -1), ((0, 0), (0, padding)), constant_values=9)
    types = get_typestore(store)
    image = types.types[_name(Image)](
        header=_header(types),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=rows.ravel(),
    )
    message = deserialize_message(bytes(types.serialize_cdr(image, _name(Image))), Image)
    assert np.array_equal(frame_of(message), expected)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (-1, 999_999_999)
    assert message.header.frame_id == "vorne/häß"


def test_a_compressed_frame_written_by_rosbags_is_the_frame() -> None:
    frame = draw_road(11)[0]
    types = get_typestore(STORES[-1])
    payload = np.frombuffer(encode_image(frame, "png"), np.uint8)
    image = types.types[_name(CompressedImage)](
        header=_header(types), format="bgr8; png compressed bgr8", data=payload
    )
    data = bytes(types.serialize_cdr(image, _name(CompressedImage)))
    assert np.array_equal(frame_of(deserialize_message(data, CompressedImage)), frame)


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_a_bag_gives_frames_and_masks_back(
    tmp_path: Path, wire: dict[str, bytes], storage: StoragePlugin
) -> None:
    frames = [draw_road(seed)[0] for seed in (12, 13, 14)]
    types, mask = get_typestore(STORES[-1]), "lane_segmentation/mask"
    with Writer(tmp_path / "bag", version=9, storage_plugin=storage) as writer:
        images = writer.add_connection("/image", _name(Image), typestore=types)
        masks = writer.add_connection(f"/{mask}", _name(Image), typestore=types)
        for number, frame in enumerate(frames):
            message = image_message(frame, "bgr8", Header(stamp=from_ns(number), frame_id="front"))
            writer.write(images, number, serialize_message(message))
        writer.write(masks, len(frames), wire[mask])
    with Reader(tmp_path / "bag") as reader:
        read = [(one.topic, at, bytes(data)) for one, at, data in reader.messages()]
    assert [topic for topic, _, _ in read] == ["/image"] * 3 + [f"/{mask}"]
    for frame, (_, at, data) in zip(frames, read, strict=False):
        message = deserialize_message(data, Image)
        assert np.array_equal(frame_of(message), frame)
        assert message.header.stamp == from_ns(at)
    assert read[-1][2] == wire[mask]


def _but_padding(written: bytes, wire: bytes) -> bytes:
    """Return ``written`` with the gaps of ``wire`` before aligned fields.

    rosbags writes zeros there, Fast CDR nothing: what the memory held goes out.
    """
    gap, filled = 0, bytearray(written)
    for at, (ours, theirs) in enumerate(zip(written, wire, strict=True)):
        gap = gap + 1 if ours == 0 and theirs != 0 else 0
        if 0 < gap < 8:  # the largest alignment
            filled[at] = theirs
    return bytes(filled)


def _name(kind: type) -> str:
    """``sensor_msgs/msg/Image`` of the class."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def _header(types: Any) -> Any:
    """A stamp before the epoch and a frame_id that is not ASCII."""
    stamp = types.types["builtin_interfaces/msg/Time"](sec=-1, nanosec=999_999_999)
    return types.types["std_msgs/msg/Header"](stamp=stamp, frame_id="vorne/häß")


def _plain(value: Any) -> Any:
    """Return a message of either library as dicts, lists and scalars, without its constants."""
    if hasattr(value, "get_fields_and_field_types"):
        return {name: _plain(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name)) for name in names if name[0].islower()}
    if isinstance(value, (np.ndarray, array)):
        return value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value[0] if isinstance(value, bytes) else value  # a byte: a diagnostic's level
