"""The monitor's figures, by cases worked by hand."""

from __future__ import annotations

import math

import msgspec
import pytest

from ros_nodes.monitor.statistics import Record, report, sent_and_missed, spread

MS = 1_000_000
SECOND = 1000 * MS
TOPICS = {"image": "/image", "mask": "/mask"}


def record_of(frames: list[int], masks: list[tuple[int, int]]) -> Record:
    """Return a record of frames by their stamp, masks by (stamp, latency); milliseconds."""
    record = Record()
    for stamp in frames:
        record.frame(stamp * MS, (stamp + 1) * MS)
    for stamp, latency in masks:
        record.mask(stamp * MS, (stamp + latency) * MS)
    return record


def test_five_frames_of_which_one_is_missed() -> None:
    # Masks come at 20, 130, 220, 410: intervals 110, 90, 190; jitters 20, 100.
    masks = [(0, 20), (100, 30), (200, 20), (400, 10)]
    measured = report(record_of([0, 100, 200, 300, 400], masks), TOPICS, 10 * SECOND, 9.5)
    assert (measured.received, measured.frames_seen, measured.seconds) == (4, 5, 9.5)
    metrics = measured.metrics
    assert (metrics.num_frames_sent, metrics.num_missed_frames) == (5, 1)
    assert metrics.received_duration == pytest.approx(390)
    assert metrics.mean_frame_rate == pytest.approx(4 / 0.39)
    assert measured.rate_hz == pytest.approx(3 / 0.39)
    assert metrics.mean_playback_frame_rate == pytest.approx(5 / 0.4)
    latencies = (metrics.min_latency, metrics.mean_latency, metrics.max_latency)
    assert latencies == pytest.approx((10, 20, 30))
    assert metrics.min_jitter == pytest.approx(20)
    assert metrics.mean_jitter == pytest.approx(60)
    assert metrics.max_jitter == pytest.approx(100)
    assert metrics.std_dev_jitter == pytest.approx(40)
    intervals = measured.intervals
    assert intervals is not None
    assert intervals.gaps == 1  # 190 is more than 1.5 times 110
    assert (intervals.mean_ms, intervals.range_ms, intervals.max_ms) == pytest.approx(
        (130, 100, 190)
    )
    assert intervals.std_ms == pytest.approx(math.sqrt((20**2 + 40**2 + 60**2) / 3))


def test_quantiles_between_two_values() -> None:
    row = spread([10.0, 20.0, 30.0])
    assert row is not None
    assert (row.mean_ms, row.p50_ms, row.max_ms) == (20, 20, 30)
    assert (row.p90_ms, row.p99_ms) == pytest.approx((28, 29.8))
    assert spread([]) is None


@pytest.mark.parametrize(
    ("frames", "masks", "end_ms", "expected"),
    [
        ([0, 100, 200], [(100, 5), (200, 5)], 5000, (2, 0)),  # the node began with the second
        ([0, 100, 200], [(0, 5)], 1150, (2, 1)),  # 200 may still be at work, 100 is not
        ([0, 100, 200], [], 5000, (3, 3)),  # a node that gives nothing
        ([0, 100, 200], [], 500, (0, 0)),  # nor need it have, yet
        ([0, 200], [(0, 5), (100, 5), (200, 5)], 5000, (3, 0)),  # one was not seen by us
        ([0, 0, 100], [(0, 5), (0, 6), (100, 5)], 5000, (2, 0)),  # stamps that come twice
    ],
)
def test_which_frames_count(
    frames: list[int], masks: list[tuple[int, int]], end_ms: int, expected: tuple[int, int]
) -> None:
    assert sent_and_missed(record_of(frames, masks), end_ms * MS) == expected


def test_stages_are_in_milliseconds_and_the_unknown_is_left_out() -> None:
    record = Record()
    record.stages({"inference": 0.02, "transport": math.nan})
    record.stages({"inference": 0.04, "transport": math.nan})
    stages = report(record, TOPICS, SECOND, 1.0).stages
    assert list(stages) == ["inference"]
    assert stages["inference"].mean_ms == pytest.approx(30)


def test_nothing_is_null_not_zero_and_not_nan() -> None:
    payload = msgspec.json.decode(
        msgspec.json.encode(report(Record(), {"mask": "/mask"}, SECOND, 1.0))
    )
    assert payload["schema"] == "edge-seg/ros-latency-1"
    assert payload["received"] == 0
    assert (payload["rate_hz"], payload["latency"], payload["frames_seen"]) == (None, None, None)
    assert set(payload["metrics"].values()) == {None}


def test_one_mask_has_a_latency_but_no_rate() -> None:
    measured = report(record_of([0], [(0, 20)]), TOPICS, SECOND, 1.0)
    assert measured.metrics.mean_latency == 20
    assert (measured.rate_hz, measured.intervals, measured.metrics.mean_jitter) == (None,) * 3


def test_metrics_are_called_as_in_ros2_benchmark() -> None:
    payload = msgspec.to_builtins(report(Record(), TOPICS, SECOND, 1.0).metrics)
    assert {"MEAN_FRAME_RATE", "NUM_MISSED_FRAMES", "STD_DEV_JITTER", "MAX_LATENCY"} <= set(payload)
