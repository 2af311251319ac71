"""Diagnostics: which level and which words, case by case."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs the extra 'ros'")

from diagnostic_msgs.msg import DiagnosticStatus

from edge_seg.bundle.manifest import DeviceState
from ros_nodes.segmentation.counts import Window
from ros_nodes.segmentation.diagnostics import Report, status_of
from ros_nodes.segmentation.parameters import PARAMETERS, Settings

SETTINGS = Settings(**{declared.name: declared.default for declared in PARAMETERS})  # type: ignore[arg-type]
GOOD = Window(
    seconds=1.0,
    total={"received": 100, "masks": 100},
    fresh={"received": 30, "masks": 30},
    stages_ms={"total": (20.0, 30.0)},
    skew_ms=0.0,
    unstamped=False,
    last_malformed="",
    mask_age_s=0.03,
    late_ms=1.0,
)
OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE,
)  # fmt: skip


def report(device: DeviceState | None = None, fault: str = "", **window: Any) -> Report:
    return Report(
        name="node",
        state="active",
        window=dataclasses.replace(GOOD, **window),
        device=device or DeviceState(),
        active_s=10.0,
        fault=fault,
    )


@pytest.mark.parametrize(
    ("case", "level", "words"),
    [
        (report(), OK, "active"),
        (report(fault="no such file"), ERROR, "no such file"),
        (report(mask_age_s=1.5, fresh={}), STALE, "no mask for 1.5 s: no frames come"),
        (report(mask_age_s=math.inf, fresh={}), STALE, "no mask yet"),
        (report(mask_age_s=2.0, fresh={"received": 9, "stale": 9}), STALE, "use_sim_time"),
        (
            report(mask_age_s=2.0, fresh={"received": 9, "malformed": 9}, last_malformed="bgr9"),
            STALE,
            "bgr9",
        ),
        (report(mask_age_s=2.0, fresh={"received": 9}), STALE, "at work on a frame"),
        (report(stages_ms={"total": (120.0, 130.0)}), WARN, "frames take 120 ms"),
        (report(stages_ms={"total": (600.0, 630.0)}), ERROR, "error_latency_ms is 500"),
        (report(fresh={"received": 30, "dropped": 16}), WARN, "16 of 30 frames dropped"),
        (report(fresh={"received": 30, "dropped": 15}), OK, "active"),
        (report(fresh={"received": 30, "stale": 2}), WARN, "2 frames older"),
        (report(fresh={"received": 30, "lost": 2}), WARN, "2 frames lost"),
        (report(fresh={"received": 30, "failed": 1}), WARN, "failed on 1"),
        (report(skew_ms=12.34), WARN, "12.3 ms in the future"),
        (report(unstamped=True), WARN, "without a stamp"),
        (report(DeviceState(temperature_c=85.0)), WARN, "85 degrees"),
        (report(DeviceState(temperature_c=79.0)), OK, "active"),
        (report(DeviceState(throttled=["throttled now"])), WARN, "throttled now"),
        (report(DeviceState(throttled=["throttled since boot"])), OK, "active"),
    ],
)
def test_levels(case: Report, level: bytes, words: str) -> None:
    status = status_of(case, SETTINGS)
    assert status.level == level
    assert words in status.message
    assert status.name == "node"


def test_only_an_active_node_is_stale() -> None:
    inactive = dataclasses.replace(report(mask_age_s=9.0), state="inactive", active_s=0.0)
    assert status_of(inactive, SETTINGS).level == OK
    just_begun = dataclasses.replace(report(mask_age_s=math.inf), active_s=0.5)
    assert status_of(just_begun, SETTINGS).level == OK


def test_zero_switches_a_threshold_off() -> None:
    never = dataclasses.replace(SETTINGS, warn_latency_ms=0.0, error_latency_ms=0.0)
    assert status_of(report(stages_ms={"total": (9e3, 9e3)}), never).level == OK


def test_every_value_is_a_word_of_its_own() -> None:
    status = status_of(report(DeviceState(temperature_c=50.04, clock_mhz=1500.4)), SETTINGS)
    values = {pair.key: pair.value for pair in status.values}
    assert len(values) == len(status.values)
    assert values["rate in (Hz)"] == "30.00"
    assert values["total p99 (ms)"] == "30.000"
    assert values["inference p50 (ms)"] == "nan"
    assert values["temperature (C)"] == "50.0"
    assert values["throttled"] == "unknown"
