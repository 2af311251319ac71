"""The node in a process of its own, from far side to far side: pixels, stamps, counts, states."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the extra 'ros'")

from diagnostic_msgs.msg import DiagnosticStatus
from drawn_roads import draw_road
from rig import Rig, pixels, rig, stamp_of
from sensor_msgs.msg import Image

from edge_seg.bundle.archive import open_bundle
from edge_seg.draw import colour_mask, overlay
from edge_seg.frames.images import encode_image
from edge_seg.segmenter import Segmenter
from ros_nodes.messages.images import compressed_message
from ros_nodes.qos import qos
from ros_nodes.segmentation.counts import STAGES

STALE = DiagnosticStatus.STALE
FRAMES = [draw_road(seed)[0] for seed in range(300, 306)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Rig]:
    """A node for the whole module; each test leaves it active."""
    with rig(tmp_path_factory.mktemp("node"), bundle=tiny_bundle) as running:
        running.listened()
        yield running


@pytest.fixture(scope="module")
def segmenter(tiny_bundle: Path) -> Iterator[Segmenter]:
    with Segmenter(tiny_bundle, threads=1) as opened:
        yield opened


def answered(here: Rig, frame: np.ndarray, encoding: str = "bgr8") -> Image:
    """Send a frame, wait for its mask."""
    stamp = here.send(frame, encoding)
    here.until(lambda: here.masks and stamp_of(here.masks[-1]) == stamp)
    return here.masks[-1]


def test_masks_are_the_segmenter_s_with_the_frame_s_header(here: Rig, segmenter: Segmenter) -> None:
    for frame in FRAMES:
        mask = answered(here, frame)
        assert mask.encoding == "mono8"
        assert mask.header.frame_id == "front"
        assert np.array_equal(pixels(mask), segmenter(frame))
    assert len({pixels(mask).tobytes() for mask in here.masks[-len(FRAMES) :]}) > 1


def test_an_encoding_in_mid_stream_changes_nothing(here: Rig, segmenter: Segmenter) -> None:
    expected = segmenter(FRAMES[0])
    assert np.array_equal(pixels(answered(here, FRAMES[0][:, :, ::-1], "rgb8")), expected)
    alpha = np.dstack([FRAMES[0], np.full(FRAMES[0].shape[:2], 7, np.uint8)])
    assert np.array_equal(pixels(answered(here, alpha, "bgra8")), expected)


def test_a_size_in_mid_stream(here: Rig, segmenter: Segmenter) -> None:
    for size in ((1, 1), (37, 53), (480, 640)):
        frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        assert np.array_equal(pixels(answered(here, frame)), segmenter(frame))


def test_each_mask_has_its_latency_by_stamp(here: Rig) -> None:
    mask = answered(here, FRAMES[1])
    here.until(lambda: stamp_of(here.latencies[-1]) == stamp_of(mask))
    latency = here.latencies[-1]
    seconds = dict(zip(latency.name, latency.position, strict=True))
    assert tuple(seconds) == STAGES
    assert all(0.0 <= value < 5.0 for value in seconds.values())
    parts = sum(seconds[stage] for stage in STAGES[:-1])
    assert parts == pytest.approx(seconds["total"], abs=2e-3)


def test_labels_are_latched(here: Rig, tiny_bundle: Path) -> None:
    here.until(lambda: here.labels)
    labels = json.loads(here.labels[-1])
    assert labels["bundle"] == open_bundle(tiny_bundle).digest
    assert [row["name"] for row in labels["classes"]] == ["background", "road", "lane_marking"]
    assert [row["id"] for row in labels["classes"]] == [0, 1, 2]
    assert labels["classes"][1]["color"] == [128, 64, 128]


def test_pictures_only_while_somebody_looks(here: Rig, segmenter: Segmenter) -> None:
    node = here.here.node
    assert node.count_publishers("/lane_segmentation/overlay") == 1
    seen: dict[str, list[Image]] = {"overlay": [], "mask_color": []}
    subscriptions = [
        node.create_subscription(
            Image, f"/lane_segmentation/{name}", seen[name].append, qos("reliable")
        )
        for name in seen
    ]
    here.until(lambda: answered(here, FRAMES[2]) and all(seen.values()))
    mask = segmenter(FRAMES[2])
    for name, expected in (
        ("overlay", overlay(FRAMES[2], mask, segmenter.classes)),
        ("mask_color", colour_mask(mask, segmenter.classes)),
    ):
        picture = seen[name][-1]
        assert picture.encoding == "bgr8"
        assert bytes(picture.data) == expected.tobytes()
    for subscription in subscriptions:
        node.destroy_subscription(subscription)


def test_diagnostics_tell_what_runs_and_how_it_goes(here: Rig, tiny_bundle: Path) -> None:
    answered(here, FRAMES[0])
    here.next_status()
    status, value = here.next_status(), here.value
    assert status.level in (DiagnosticStatus.OK, STALE)
    assert value["bundle digest"] == open_bundle(tiny_bundle).digest
    assert value["engine"] == "onnxruntime int8"
    fates = ("masks", "dropped", "skipped", "stale", "malformed", "failed")
    assert int(value["received"]) == sum(int(value[fate]) for fate in fates)
    assert 0.0 < float(value["inference p50 (ms)"]) <= float(value["inference p99 (ms)"])


def test_no_frames_is_stale_and_the_camera_may_come_back(here: Rig) -> None:
    answered(here, FRAMES[0])
    here.until(lambda: here.beats[-1] > 1.0)
    here.until(lambda: here.next_status().level == STALE)
    assert "no frames come" in here.statuses[-1].message
    answered(here, FRAMES[0])
    here.until(lambda: here.beats[-1] < 1.0)
    # Told once a second, of which one mask is good for less than one.
    here.until(lambda: answered(here, FRAMES[0]) and here.statuses[-1].level != STALE)


def test_stamps_of_the_past_are_stale_and_counted(here: Rig) -> None:
    here.next_status()
    before = int(here.value["stale"])
    for _ in range(3):
        here.send(FRAMES[0], stamp_ns=here.now_ns() - 5 * 10**9)
        here.here.spin(0.1)
    here.until(lambda: int(here.value["stale"]) == before + 3)


@pytest.mark.parametrize("kind", ["zero", "future"])
def test_a_stamp_without_sense_gives_a_mask_and_no_latency(here: Rig, kind: str) -> None:
    stamp = here.send(FRAMES[0], stamp_ns=0 if kind == "zero" else here.now_ns() + 10**9)
    here.until(lambda: stamp_of(here.latencies[-1]) == stamp)
    seconds = dict(zip(here.latencies[-1].name, here.latencies[-1].position, strict=True))
    assert math.isnan(seconds["transport"])
    assert math.isnan(seconds["total"])
    assert seconds["inference"] > 0.0
    if kind == "future":
        here.until(lambda: "in the future" in here.statuses[-1].message)
        assert any(float(_value(one, "clock skew (ms)")) > 900 for one in here.statuses)


def _value(status: DiagnosticStatus, key: str) -> str:
    return next(str(pair.value) for pair in status.values if pair.key == key)


def test_a_malformed_image_is_counted_and_told(here: Rig) -> None:
    here.next_status()
    before = int(here.value["malformed"])
    here.send(FRAMES[0], "bgr9")
    here.until(lambda: int(here.value["malformed"]) == before + 1)
    assert "did you mean 'bgr8'" in here.value["last malformed"]
    answered(here, FRAMES[0])


def test_every_second_frame(here: Rig) -> None:
    assert here.set(frame_skip=1).successful
    here.next_status()
    here.next_status()  # taken up with the diagnostics
    before = int(here.value["skipped"])
    for _ in range(4):
        here.send(FRAMES[0])
        here.here.spin(0.15)
    here.until(lambda: int(here.value["skipped"]) == before + 2)
    assert here.set(frame_skip=0).successful
    here.next_status()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"frame_skip": -1}, "range"),
        ({"max_age_ms": "soon"}, "no number"),
        ({"max_age_ms": -1}, "range"),
        ({"max_age_ms": True}, "no number"),
        ({"image": "other"}, "deactivate"),
        ({"transport": "smoke"}, "known: compressed, raw"),
    ],
)
def test_what_cannot_be_set_is_refused(here: Rig, values: dict[str, object], reason: str) -> None:
    result = here.set(**values)
    assert not result.successful
    assert reason in result.reason.lower()
    answered(here, FRAMES[0])


def test_a_whole_number_will_do(here: Rig) -> None:
    assert here.set(max_age_ms=400).successful
    answered(here, FRAMES[0])


def test_round_the_lifecycle_and_back(here: Rig) -> None:
    assert here.state() == "active"
    for transition, state in (
        ("deactivate", "inactive"),
        ("cleanup", "unconfigured"),
        ("configure", "inactive"),
        ("activate", "active"),
    ):
        assert here.change(transition)
        assert here.state() == state
    here.listened()
    answered(here, FRAMES[0])


@pytest.mark.parametrize("transition", ["configure", "cleanup", "activate"])
def test_an_invalid_transition_is_refused_and_the_node_goes_on(here: Rig, transition: str) -> None:
    assert not here.change(transition)
    assert here.state() == "active"
    answered(here, FRAMES[0])


def test_inactive_takes_no_frames(here: Rig) -> None:
    assert here.change("deactivate")
    count = len(here.masks)
    here.send(FRAMES[0])
    here.here.spin(0.3)
    assert len(here.masks) == count
    assert here.camera.get_subscription_count() == 0
    assert here.change("activate")
    here.listened()
    answered(here, FRAMES[0])


def test_compressed_frames_of_another_topic(
    tmp_path: Path, tiny_bundle: Path, segmenter: Segmenter
) -> None:
    topic = "/front/camera"
    with rig(
        tmp_path, bundle=tiny_bundle, transport="compressed", image=topic, topic=topic
    ) as here:
        here.listened()
        header = Image().header
        header.stamp = here.here.node.get_clock().now().to_msg()
        here.compressed.publish(compressed_message(encode_image(FRAMES[3], "png"), "png", header))
        here.until(lambda: here.masks)
        assert np.array_equal(pixels(here.masks[0]), segmenter(FRAMES[3]))
