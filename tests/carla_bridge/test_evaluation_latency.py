"""Latency in the loop: which frames are dropped, when answers come, and what may be named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from carla_bridge.evaluation.latency import NONE, Delay, Latency, fixed
from carla_bridge.evaluation.latency_spec import (
    LANE_UNET_GMAC,
    PRESETS,
    estimate,
    of_bundle,
    parse,
)
from edge_seg.bundle.manifest import Latency as Measured
from edge_seg.errors import EdgeSegError

DT_S = 0.05
MASK = np.zeros((2, 2), np.uint8)


def played(latency: Latency, ticks: int, seed: int = 0) -> tuple[list[int], dict[int, int]]:
    """Return the ticks whose frames were dropped, and by tick of arrival the answered frame."""
    delay, dropped, arrived = Delay(latency, seed), [], {}
    for tick in range(ticks):
        time_s = tick * DT_S
        answers = delay.due(time_s)
        if delay.accepts(time_s):
            delay.start(time_s, MASK)
            answers += delay.due(time_s)
        else:
            dropped.append(tick)
        for answer in answers:
            arrived[tick] = round(answer.taken_at_s / DT_S)
    assert delay.dropped == len(dropped)
    return dropped, arrived


def test_without_latency_every_frame_is_answered_at_once() -> None:
    assert played(NONE, 4) == ([], {0: 0, 1: 1, 2: 2, 3: 3})


def test_an_answer_takes_effect_at_the_first_step_that_is_not_before_it() -> None:
    """30 ms: done before the next frame, so none is dropped, but each is a step late."""
    assert played(fixed(30.0), 4) == ([], {1: 0, 2: 1, 3: 2})


def test_a_latency_of_whole_steps_drops_no_frame_more_than_needed() -> None:
    """50 ms is one step; 3 x 0.05 is not 0.15 in binary, and must not make it two."""
    assert played(fixed(50.0), 20) == ([], {tick: tick - 1 for tick in range(1, 20)})


def test_frames_that_come_while_busy_are_dropped() -> None:
    """120 ms: frame 0 is answered at tick 3, which frame 3 finds idle; 1 and 2 are lost."""
    assert played(fixed(120.0), 7) == ([1, 2, 4, 5], {3: 0, 6: 3})


def test_drawn_latencies_repeat_with_their_seed() -> None:
    drawn = parse("normal:120,40")
    assert played(drawn, 200, seed=1) == played(drawn, 200, seed=1)
    assert played(drawn, 200, seed=1) != played(drawn, 200, seed=2)


def test_a_number_is_that_many_milliseconds() -> None:
    latency = parse("55")
    assert (latency.name, latency.source, latency.samples_ms) == ("55 ms", "given", (55.0,))
    assert parse("55ms") == latency and latency.info.fixed


def test_a_normal_distribution_has_its_mean_and_deviation() -> None:
    latency = parse("normal:80,10")
    assert np.mean(latency.samples_ms) == pytest.approx(80.0, abs=0.01)
    assert np.std(latency.samples_ms) == pytest.approx(10.0, rel=0.02)
    assert latency.percentile(99.0) == pytest.approx(80 + 10 * 2.326, abs=0.5)
    assert min(parse("normal:10,10").samples_ms) == 0.0


def test_percentiles_become_fixed_latencies() -> None:
    slow = parse("normal:80,10").at(99.0)
    assert slow.name.endswith("p99") and len(slow.samples_ms) == 1
    assert slow.info.p50_ms == slow.info.p99_ms


def test_a_preset_is_an_estimate_and_says_from_what() -> None:
    """The Pi 5's 4.0 ms for 0.30 GMAC are 13.3 ms a GMAC: 81 ms for lane-unet."""
    latency = parse("pi5", gmac=LANE_UNET_GMAC)
    assert latency.source == "estimate" and "estimate" in latency.name
    assert latency.percentile(50.0) == pytest.approx(4.0 / 0.3 * 6.07, rel=0.001)
    assert "published" in latency.note and "6.07 GMAC" in latency.note
    assert "estimate" in latency.at(99.0).name and latency.at(99.0).info.source == "estimate"


def test_every_preset_grows_with_the_network() -> None:
    for name in PRESETS:
        small, large = estimate(name, 1.0), estimate(name, 6.0)
        assert small.percentile(50.0) < large.percentile(50.0)
        assert small.source == large.source == "estimate"
    orin = estimate("jetson-orin-nano", 13.4)  # the network that it was published for
    assert orin.percentile(50.0) == pytest.approx(36.5, abs=0.05)


BOARD = Measured(
    device="Raspberry Pi 5 Model B Rev 1.0",
    frames=200,
    stages={"total": {"p50": 60.0, "p90": 66.0, "p99": 80.0}},
    samples_ms=[60.0, 61.0, 80.0],
    runtime="ai-edge-litert",
    runtime_version="2.3.0",
    precision="int8",
)


def test_a_device_is_found_by_a_part_of_its_name() -> None:
    latency = parse("raspberry pi 5", [BOARD])
    assert latency.samples_ms == (60.0, 61.0, 80.0)
    assert latency.source == "measured" and "200 frames" in latency.note


def test_a_device_without_samples_has_its_quantiles() -> None:
    import msgspec

    latency = of_bundle(msgspec.structs.replace(BOARD, samples_ms=[]))
    assert latency.percentile(50.0) == pytest.approx(60.0, abs=0.1)
    assert latency.percentile(90.0) == pytest.approx(66.0, abs=0.2)
    assert latency.percentile(99.0) == pytest.approx(80.0, abs=0.3)
    assert min(latency.samples_ms) == 54.0


def test_files_of_bench_and_lists_are_read(tmp_path: Path) -> None:
    total = {"p50_ms": 60.0, "p90_ms": 66.0, "p99_ms": 80.0}
    bench = {"device": {"model": "A board"}, "machine": {"cpu": "x"}, "stages": {"total": total}}
    files = {"bench": bench, "list": [10, 20.5], "entry": {"device": "B", "samples_ms": [7]}}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    read = parse(str(tmp_path / "bench.json"))
    assert (read.name, read.device, read.source) == ("bench", "A board", "file")
    assert read.percentile(99.0) == pytest.approx(80.0, abs=0.3)
    assert parse(str(tmp_path / "list.json")).samples_ms == (10.0, 20.5)
    assert parse(str(tmp_path / "entry.json")).samples_ms == (7.0,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "is no JSON"),
        ("[]", "holds no latencies"),
        ('{"stages": 3}', "holds no latencies"),
        ('["a"]', "holds no latencies"),
        ("[-1]", "choose 0 to"),
        ("[1e99]", "choose 0 to"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(EdgeSegError, match=message) as refused:
        parse(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pi6", "did you mean 'pi"),
        ("nan", "choose 0 to"),
        ("-5", "choose 0 to"),
        ("normal:80", "is no latency"),
        ("normal:80,-1", "choose 0 up to the mean"),
        ("normal:5,10", "choose 0 up to the mean"),
        ("missing.json", "cannot read missing.json"),
    ],
)
def test_bad_latencies_are_refused(text: str, message: str) -> None:
    with pytest.raises(EdgeSegError, match=message):
        parse(text, [BOARD])
