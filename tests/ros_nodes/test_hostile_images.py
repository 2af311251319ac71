"""Whatever comes on the image topic, and however fast: the node lives, counts, answers, takes no
memory for it, and gives the right mask of each picture among it.
"""

from __future__ import annotations

import tracemalloc
from array import array
from pathlib import Path
from time import monotonic

import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="needs the extra 'ros'")

from drawn_roads import draw_road
from rclpy.serialization import serialize_message
from rig import Rig, pixels, rig, stamp_of
from sensor_msgs.msg import CompressedImage, Image

from edge_seg.segmenter import Segmenter
from ros_nodes.messages.images import ENCODINGS, MalformedImageError, frame_of

ANYTHING, NEARLY, PICTURE = range(3)
SIZES = (0, 1, 2, 3, 64, 65, 480, 640, 5000, 2**16, 2**31, 2**32 - 1)
STRANGE = ("", "BGR8", "bgr8 ", "16UC1", "bayer_rggb8", "h264", "bgr8\n", "\x01", "ü", "x" * 5000)
FRAME_IDS = ("", "front", "ü/\n\x7f", "f" * 5000)
LONGEST = 3 * 480 * 640
FATES = ("masks", "dropped", "skipped", "stale", "malformed", "failed")
GROWTH_BYTES, PEAK_BYTES = 20e6, 60e6
"""Of the resident memory after and during; a frame in every form the node has it in is 5 MB."""

TRAPS = [
    Image(height=1, width=2, step=2**32 - 1, encoding=encoding, data=array("B", bytes(16)))
    for encoding in ENCODINGS
]
"""One row, said to be 4 GB long: what follows its pixels is padding, which may be left out."""


def any_image(random: np.random.Generator, kind: int) -> Image:
    """Anything at all, what is one slip away from a picture, or a picture."""
    encoding = str(random.choice([*ENCODINGS, *(STRANGE if kind == ANYTHING else ())]))
    if kind == ANYTHING:
        height, width, step = (int(random.choice(SIZES)) for _ in range(3))
        length = int(random.choice([0, 1, 7, 1000, LONGEST]))
    else:
        samples, sample_bytes, _ = ENCODINGS[encoding]
        height, width = int(random.integers(1, 200)), 2 * int(random.integers(1, 150))
        step = width * samples * sample_bytes + int(random.integers(9))
        length = height * step
    if kind == NEARLY:
        slip = random.integers(4)
        length -= 9 + int(random.integers(length)) if slip == 0 else 0
        step -= 9 + int(random.integers(step)) if slip == 1 else 0
        height *= 1000 if slip == 2 else 1
        encoding += "?" if slip == 3 else ""
    data = random.integers(0, 256, max(0, length), np.uint8).tobytes()
    message = Image(height=height, width=width, step=max(0, step), encoding=encoding)
    message.is_bigendian = int(random.integers(256))
    message.data = array("B", data)
    message.header.frame_id = str(random.choice(FRAME_IDS))
    now = int(random.integers(1_500_000_000, 2_000_000_000))
    message.header.stamp.sec = int(random.choice([0, -(2**31), 2**31 - 1, now]))
    message.header.stamp.nanosec = int(random.choice([0, 5, 2**32 - 1]))
    return message


def test_the_kinds_are_what_they_are_called() -> None:
    random = np.random.default_rng(1)
    refused = {kind: sum(_is_refused(any_image(random, kind)) for _ in range(100))
               for kind in (ANYTHING, NEARLY, PICTURE)}  # fmt: skip
    assert refused[ANYTHING] > 70
    assert refused[NEARLY] > 90
    assert refused[PICTURE] == 0


@pytest.mark.parametrize("text", STRANGE)
def test_what_a_sender_wrote_is_told_in_one_plain_line(text: str) -> None:
    for message in (Image(height=1, width=1, encoding=text), CompressedImage(format=text)):
        with pytest.raises(MalformedImageError) as error:
            frame_of(message)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 500


@pytest.mark.parametrize("trap", TRAPS, ids=list(ENCODINGS))
def test_a_step_takes_no_memory(trap: Image) -> None:
    tracemalloc.start()
    try:
        frame = frame_of(trap)
        peak = tracemalloc.get_traced_memory()[1]
    except MalformedImageError:
        return
    finally:
        tracemalloc.stop()
    assert frame.shape == (1, 2, 3)
    assert peak < 1e6


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_malformed_images_do_no_harm(tmp_path: Path, tiny_bundle: Path, count: int) -> None:
    random = np.random.default_rng(count)
    with (
        rig(tmp_path, bundle=tiny_bundle, max_age_ms=0.0) as here,
        Segmenter(tiny_bundle, threads=1) as segmenter,
    ):
        before = memory_with_a_large_frame(here)
        for trap in TRAPS:
            here.camera.publish(trap)
            here.here.spin(0.2)
        slowest_s, checked = 0.0, 0
        while received(here) < count:
            pictures = burst(here, random)
            asked = monotonic()
            assert here.state() == "active"
            slowest_s = max(slowest_s, monotonic() - asked)
            for mask in here.masks:
                if mask.header.frame_id in pictures:
                    sent = pictures[mask.header.frame_id]
                    assert mask.header.stamp == sent.header.stamp
                    assert np.array_equal(pixels(mask), segmenter(frame_of(sent)))
                    checked += 1
            here.masks.clear()
        growth, peak = memory(here) - before, peak_memory(here) - before
        assert growth < GROWTH_BYTES
        assert peak < PEAK_BYTES
        assert slowest_s < 5.0
        assert checked > 0
        right_mask(here, segmenter)
        value = settled(here)
        assert int(value["received"]) == sum(int(value[fate]) for fate in FATES)
        assert int(value["malformed"]) > count / 4
        assert int(value["failed"]) == 0
        assert len(here.process.errors().splitlines()) < 20  # the log says nothing of them


def test_bytes_that_are_no_message_do_no_harm(tmp_path: Path, tiny_bundle: Path) -> None:
    random = np.random.default_rng(2)
    with (
        rig(tmp_path, bundle=tiny_bundle, max_age_ms=0.0) as here,
        Segmenter(tiny_bundle, threads=1) as segmenter,
    ):
        before = memory_with_a_large_frame(here)
        for _ in range(500):
            here.camera.publish(any_bytes(random))
            here.here.spin(0.002)
        assert here.state() == "active"
        right_mask(here, segmenter)
        value = settled(here)
        assert int(value["received"]) == sum(int(value[fate]) for fate in FATES)
        assert int(value["failed"]) == 0
        assert memory(here) - before < GROWTH_BYTES
        assert peak_memory(here) - before < PEAK_BYTES


def burst(here: Rig, random: np.random.Generator) -> dict[str, Image]:
    """Publish some of each kind, at a rate of its own; return the pictures by their frame_id."""
    pictures = {}
    pause_s = float(random.choice([0.0, 0.001, 0.005]))
    for number in range(int(random.integers(50))):
        kind = int(random.choice([ANYTHING, ANYTHING, NEARLY, PICTURE]))
        message = any_image(random, kind)
        if kind == PICTURE:
            message.header.frame_id = f"picture {number} {random.integers(2**60)}"
            pictures[message.header.frame_id] = message
        here.camera.publish(message)
        here.here.spin(pause_s)
    return pictures


def any_bytes(random: np.random.Generator) -> bytes:
    """Return a message cut off, overwritten in places, or what never was one."""
    good = bytearray(serialize_message(any_image(random, PICTURE)))
    kind = random.integers(4)
    if kind == 0:
        return bytes(good[: int(random.integers(len(good)))])
    if kind == 1:
        return random.integers(0, 256, int(random.integers(300)), np.uint8).tobytes()
    if kind == 2:
        return bytes(good[:4]) + b"\xff" * int(random.integers(200))
    for _ in range(5):
        good[int(random.integers(min(100, len(good))))] = int(random.integers(256))
    return bytes(good)


def right_mask(here: Rig, segmenter: Segmenter) -> None:
    frame = draw_road(400)[0]
    assert np.array_equal(answered(here, frame), segmenter(frame))


def answered(here: Rig, frame: np.ndarray) -> np.ndarray:
    """Send a frame; return its mask."""
    stamp = here.send(frame)
    here.until(lambda: here.masks and stamp_of(here.masks[-1]) == stamp)
    return pixels(here.masks[-1])


def received(here: Rig) -> int:
    return int(here.value["received"]) if here.statuses else 0


def settled(here: Rig) -> dict[str, str]:
    """The values of a diagnosis that began after all that was sent."""
    here.next_status()
    here.next_status()
    return here.value


def memory_with_a_large_frame(here: Rig) -> int:
    """Segment the largest frame there will be; return what is resident then, and forget the peak
    that opening the bundle was."""
    here.listened()
    answered(here, np.zeros((480, 640, 3), np.uint8))
    Path(f"/proc/{here.process.process.pid}/clear_refs").write_text("5")  # man 5 proc
    return memory(here)


def memory(here: Rig) -> int:
    return int(psutil.Process(here.process.process.pid).memory_info().rss)


def peak_memory(here: Rig) -> int:
    status = Path(f"/proc/{here.process.process.pid}/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmHWM:")]
    return 1024 * int(line.split()[1])


def _is_refused(message: Image) -> bool:
    try:
        frame_of(message)
    except MalformedImageError:
        return True
    return False
