"""A camera, and eyes for its masks, on Eclipse Cyclone DDS alone: no ROS in this process.

    python cyclone_camera.py frames.npz masks.npz

Publishes each frame of the one file on rt/image until its mask came on rt/lane_segmentation/mask,
and writes the masks with their headers into the other. The message types are written down here
from the fields of sensor_msgs/Image: that they match is part of what is tested.
"""

import json
import sys
from dataclasses import dataclass
from time import monotonic

import numpy as np
from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import int32, sequence, uint8, uint32
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

FRAME_S, AGAIN_S = 10.0, 0.5
RELIABLE = Qos(Policy.Reliability.Reliable(duration(seconds=1)), Policy.History.KeepLast(1))


@dataclass
class Time(IdlStruct, typename="builtin_interfaces::msg::dds_::Time_"):
    sec: int32
    nanosec: uint32


@dataclass
class Header(IdlStruct, typename="std_msgs::msg::dds_::Header_"):
    stamp: Time
    frame_id: str


@dataclass
class Image(IdlStruct, typename="sensor_msgs::msg::dds_::Image_"):
    header: Header
    height: uint32
    width: uint32
    encoding: str
    is_bigendian: uint8
    step: uint32
    data: sequence[uint8]


def mask_of(sent: Image, writer: DataWriter, reader: DataReader) -> Image:
    """Publish until the mask with this stamp is there."""
    end, again = monotonic() + FRAME_S, 0.0
    while monotonic() < end:
        if monotonic() > again:
            writer.write(sent)
            again = monotonic() + AGAIN_S
        for mask in reader.read_iter(timeout=duration(milliseconds=50)):
            if isinstance(mask, Image) and mask.header.stamp == sent.header.stamp:
                return mask
    raise SystemExit(f"no mask of {sent.header} in {FRAME_S} s")


def main(frames: str, masks: str) -> None:
    participant = DomainParticipant()  # of ROS_DOMAIN_ID: CYCLONEDDS_URI says so
    writer = DataWriter(participant, Topic(participant, "rt/image", Image), RELIABLE)
    reader = DataReader(
        participant, Topic(participant, "rt/lane_segmentation/mask", Image), RELIABLE
    )
    found: dict[str, np.ndarray] = {}
    headers = {}
    for number, (name, frame) in enumerate(np.load(frames).items()):
        height, width = frame.shape[:2]
        header = Header(Time(1_700_000_000 + number, 999_999_999 - number), f"front/{name}")
        sent = Image(header, height, width, "bgr8", 0, 3 * width, frame.ravel().tolist())
        mask = mask_of(sent, writer, reader)
        found[name] = np.array(mask.data, np.uint8).reshape(mask.height, mask.step)
        headers[name] = {
            "frame": [header.stamp.sec, header.stamp.nanosec, header.frame_id],
            "mask": [mask.header.stamp.sec, mask.header.stamp.nanosec, mask.header.frame_id],
            "encoding": mask.encoding,
            "size": [mask.height, mask.width],
        }
    np.savez(masks, **found)
    print(json.dumps(headers))


if __name__ == "__main__":
    main(*sys.argv[1:])
