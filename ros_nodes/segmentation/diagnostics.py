"""What /diagnostics says of the node: one status, its level decided by declared thresholds.

    status = status_of(report, settings)
    publisher.publish(DiagnosticArray(header=..., status=[status]))

ERROR: no masks, or far too late ones; STALE: active, and the last good mask is old; WARN: masks
come, and something is not as it should be. The first reason found is the message, all are values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from edge_seg.bundle.manifest import DeviceState
from ros_nodes.segmentation.counts import STAGES, Window
from ros_nodes.segmentation.network import Network
from ros_nodes.segmentation.parameters import Settings

FATES = ("received", "masks", "dropped", "skipped", "stale", "malformed", "failed", "lost")


@dataclass(frozen=True)
class Report:
    """Everything that a status is made from."""

    name: str
    state: str
    window: Window
    device: DeviceState
    network: Network | None = None
    active_s: float = 0.0
    fault: str = ""
    """Why it does not work."""
    notes: list[str] = field(default_factory=list)
    """What does not keep it from working: a refused bundle, no profile, a publisher of another
    reliability."""


def status_of(report: Report, settings: Settings) -> DiagnosticStatus:
    """Return the node's status."""
    level, reasons = _judge(report, settings)
    message = "; ".join(reasons) or report.state
    return DiagnosticStatus(
        level=level,
        name=report.name,
        message=message,
        values=[KeyValue(key=key, value=value) for key, value in _values(report).items()],
    )


def _judge(report: Report, settings: Settings) -> tuple[bytes, list[str]]:
    window = report.window
    total_ms = window.stages_ms.get("total", (0.0, 0.0))[0]
    if report.fault:
        return DiagnosticStatus.ERROR, [report.fault]
    stale_s = settings.stale_after_ms / 1e3
    warnings = _warnings(report, settings)
    if report.state == "active" and min(window.mask_age_s, report.active_s) > stale_s:
        return DiagnosticStatus.STALE, [_why_no_masks(window), *warnings]
    if 0.0 < settings.error_latency_ms < total_ms:
        late = f"frames take {total_ms:.0f} ms, error_latency_ms is {settings.error_latency_ms:g}"
        return DiagnosticStatus.ERROR, [late, *warnings]
    return (DiagnosticStatus.WARN if warnings else DiagnosticStatus.OK), warnings


def _why_no_masks(window: Window) -> str:
    """Say what becomes of the frames, where none becomes a mask."""
    since = "no mask yet" if math.isinf(window.mask_age_s) else (
        f"no mask for {window.mask_age_s:.1f} s"
    )  # fmt: skip
    fresh = window.fresh
    if not fresh.get("received"):
        return f"{since}: no frames come (topic, reliability, the camera's shared-memory profile?)"
    if fresh.get("stale"):
        return f"{since}: frames are older than max_age_ms (a bag without use_sim_time?)"
    if fresh.get("malformed"):
        return f"{since}: {window.last_malformed}"
    return f"{since}: the network is at work on a frame"


def _warnings(report: Report, settings: Settings) -> list[str]:
    window, fresh = report.window, report.window.fresh
    received = fresh.get("received", 0)
    total_ms = window.stages_ms.get("total", (0.0, 0.0))[0]
    warnings = list(report.notes)
    if received and fresh.get("dropped", 0) / received > settings.warn_dropped:
        warnings.append(f"{fresh['dropped']} of {received} frames dropped for newer ones")
    if 0.0 < settings.warn_latency_ms < total_ms:
        warnings.append(f"frames take {total_ms:.0f} ms, warn_latency_ms is "
                        f"{settings.warn_latency_ms:g}")  # fmt: skip
    if fresh.get("stale"):
        warnings.append(f"{fresh['stale']} frames older than max_age_ms")
    if fresh.get("malformed"):
        warnings.append(f"{fresh['malformed']} malformed: {window.last_malformed}")
    if fresh.get("failed"):
        warnings.append(f"the network failed on {fresh['failed']} frames")
    if fresh.get("lost"):
        warnings.append(f"{fresh['lost']} frames lost by the middleware")
    if window.skew_ms:
        warnings.append(f"stamps up to {window.skew_ms:.1f} ms in the future: synchronise clocks")
    if window.unstamped:
        warnings.append("frames without a stamp: no transport, no total, and no limit on them")
    heat = report.device.temperature_c
    if heat is not None and heat > settings.warn_temperature_c:
        warnings.append(f"{heat:.0f} degrees C")
    now = [words for words in report.device.throttled or () if words.endswith(" now")]
    if now:
        warnings.append(", ".join(now))
    return warnings


def _values(report: Report) -> dict[str, str]:
    window, network = report.window, report.network
    values = {"state": report.state, "fault": report.fault}
    if network is not None:
        values |= {
            "bundle": network.path,
            "bundle digest": network.digest,
            "engine": network.engine,
            "expected latency (ms)": f"{network.expected_ms:.2f}",
            "memory when opened (MB)": f"{network.memory_bytes / 1e6:.0f}",
        }
    values |= {
        "rate in (Hz)": f"{window.rate('received'):.2f}",
        "rate out (Hz)": f"{window.rate('masks'):.2f}",
        "last mask (s ago)": f"{window.mask_age_s:.3f}",
    }
    values |= {fate: str(window.total.get(fate, 0)) for fate in FATES}
    for stage in STAGES:
        for name, value in zip(
            ("p50", "p99"), window.stages_ms.get(stage, (math.nan, math.nan)), strict=True
        ):
            values[f"{stage} {name} (ms)"] = f"{value:.3f}"
    device = report.device
    return values | {
        "clock skew (ms)": f"{window.skew_ms:.3f}",
        "last malformed": window.last_malformed,
        "executor late (ms)": f"{window.late_ms:.2f}",
        "temperature (C)": "" if device.temperature_c is None else f"{device.temperature_c:.1f}",
        "throttled": "unknown" if device.throttled is None else ", ".join(device.throttled),
        "clock (MHz)": "" if device.clock_mhz is None else f"{device.clock_mhz:.0f}",
    }
