"""What ``--latency`` may name, read into a distribution.

    parse("55")                    # 55 ms each frame
    parse("normal:80,10")          # mean and standard deviation, milliseconds
    parse("pi5.json")              # `edge-seg bench --json`, or a list of milliseconds
    parse("pi5", gmac=6.07)        # an ESTIMATE for a device that nobody measured
    parse("Cortex-A76", bundle)    # what `edge-seg bench --attach` put into the bundle

A preset is derived from published figures (`PRESETS`), scaled by the network's
multiplications, and is called an estimate wherever it shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import msgspec

from carla_bridge.evaluation.latency import Latency, fixed
from edge_seg.bundle.manifest import Latency as Measured
from edge_seg.errors import EdgeSegError, closest

LANE_UNET_GMAC = 6.07
"""Of lane-unet at 256x512 (`edge-seg models`): what a preset takes where the network is unknown."""
LONGEST_MS = 10_000.0
QUANTILES = 500
"""Samples kept of a distribution that is given as a formula."""
SPREAD = 0.1
"""Standard deviation of an estimate over its mean: no published figure gives one."""


@dataclass(frozen=True)
class Preset:
    """A device's published figure: milliseconds for ``gmac``, and what each frame takes besides."""

    device: str
    ms: float
    gmac: float
    rest_ms: float
    source: str


PRESETS = {
    "pi5": Preset(
        device="Raspberry Pi 5",
        ms=4.0,
        gmac=0.3,
        rest_ms=0.0,
        source="published: MobileNetV2 224x224 (0.30 GMAC) int8 in 4.0 ms on a Raspberry Pi 5",
    ),
    "pi4": Preset(
        device="Raspberry Pi 4",
        ms=4.0 * 2.91 * 2.4 / 1.8,
        gmac=0.3,
        rest_ms=0.0,
        source="the Raspberry Pi 5's published figure, times 2.91 for the instructions that int8 "
        "lane-unet takes more on a Cortex-A72 (counted in QEMU, "
        "benchmarks/results/raspberry-pi-instructions.json) and 2.4/1.8 for the clocks",
    ),
    "jetson-orin-nano": Preset(
        device="Jetson Orin Nano",
        ms=8.6,
        gmac=13.4,
        rest_ms=27.9,
        source="published: YOLOX-S 640x640 (13.4 GMAC) int8, 8.6 ms of inference inside 36.5 ms "
        "end to end on a Jetson Orin Nano",
    ),
}


def parse(text: str, measured: Sequence[Measured] = (), gmac: float | None = None) -> Latency:
    """Return the latency that ``text`` names; see the module's text.

    ``measured`` is the bundle's own, found by any part of a device's name; ``gmac`` the network's
    multiplications in billions. Raises `EdgeSegError` where it names none.
    """
    if Path(text).suffix == ".json":
        return read_file(Path(text))
    if text in PRESETS:
        return estimate(text, gmac)
    for entry in measured:
        if text.lower() in entry.device.lower():
            return of_bundle(entry)
    kind, _, numbers = text.partition(":")
    try:
        if kind == "normal":
            mean, deviation = (float(number) for number in numbers.split(","))
            return normal(mean, deviation)
        return fixed(_checked(float(text.removesuffix("ms"))))
    except ValueError:
        names = [*PRESETS, *(entry.device for entry in measured)]
        raise EdgeSegError(
            f"'{text}' is no latency: write milliseconds (55), normal:MEAN,DEVIATION, a .json of "
            f"edge-seg bench, or a device: {closest(text, names)}"
        ) from None


def of_bundle(entry: Measured) -> Latency:
    """Return what was measured on a device and attached to the bundle."""
    ran = " ".join(part for part in (entry.runtime, entry.runtime_version, entry.precision) if part)
    return Latency(
        name=entry.device,
        source="measured",
        device=entry.device,
        samples_ms=tuple(entry.samples_ms) or _of_quantiles(entry.stages["total"]),
        note=f"measured on {entry.frames} frames ({ran})",
    )


def estimate(name: str, gmac: float | None) -> Latency:
    """Return a preset for a network of so many billion multiplications."""
    preset = PRESETS[name]
    network = LANE_UNET_GMAC if gmac is None else gmac
    mean = preset.ms * network / preset.gmac + preset.rest_ms
    rest = f" and {preset.rest_ms:g} ms of other work a frame" if preset.rest_ms else ""
    return Latency(
        name=f"{name} (estimate)",
        source="estimate",
        device=preset.device,
        samples_ms=normal(mean, SPREAD * mean).samples_ms,
        note=f"an estimate, not measured: {preset.source}; scaled to {network:.2f} GMAC{rest}, "
        f"deviation {SPREAD:.0%}",
    )


def normal(mean_ms: float, deviation_ms: float) -> Latency:
    """Return a normal distribution, cut off at zero, as evenly spaced quantiles."""
    _checked(mean_ms)
    if not 0.0 <= deviation_ms <= mean_ms:
        raise EdgeSegError(
            f"a deviation of {deviation_ms:g} ms around {mean_ms:g} ms: choose 0 up to the mean"
        )
    if deviation_ms == 0.0:
        return fixed(mean_ms)
    curve = NormalDist(mean_ms, deviation_ms)
    places = ((index + 0.5) / QUANTILES for index in range(QUANTILES))
    samples = tuple(round(max(curve.inv_cdf(place), 0.0), 3) for place in places)
    name = f"normal {mean_ms:g} +- {deviation_ms:g} ms"
    return Latency(name=name, source="given", samples_ms=samples)


def read_file(path: Path) -> Latency:
    """Return the latency in a JSON file: of ``edge-seg bench --json``, or a list of numbers."""
    try:
        content = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise EdgeSegError(f"cannot read {path}: {error.strerror or error}") from error
    except msgspec.MsgspecError as error:
        raise EdgeSegError(f"{path} is no JSON: write one with edge-seg bench --json") from error
    device, samples = _in_file(content)
    if not samples:
        raise EdgeSegError(
            f"{path} holds no latencies: write one with edge-seg bench BUNDLE --json, or a list "
            "of milliseconds"
        )
    for sample in samples:
        _checked(sample)
    return Latency(
        name=path.stem,
        source="file",
        device=device,
        samples_ms=samples,
        note=f"from {path.name}",
    )


def _in_file(content: object) -> tuple[str, tuple[float, ...]]:
    """Return (device, samples in ms), no samples where the file holds something else."""
    numbers = (int, float)
    if isinstance(content, list) and all(isinstance(value, numbers) for value in content):
        return "", tuple(float(value) for value in content)
    if not isinstance(content, dict):
        return "", ()
    if isinstance(content.get("samples_ms"), list):
        return str(content.get("device", "")), _in_file(content["samples_ms"])[1]
    try:
        total = content["stages"]["total"]
        quantiles = {name: float(total[f"{name}_ms"]) for name in ("p50", "p90", "p99")}
        device = content["device"].get("model") or content["machine"]["cpu"]
    except (KeyError, TypeError, ValueError, AttributeError):
        return "", ()
    return str(device), _of_quantiles(quantiles)


def _of_quantiles(quantiles: dict[str, float]) -> tuple[float, ...]:
    """Return samples whose median, 90th and 99th percentile are these, straight lines between.

    The fast half is as far below the median as the 90th percentile is above, half of it at most.
    """
    p50, p90, p99 = (quantiles[name] for name in ("p50", "p90", "p99"))
    fastest = max(p50 - (p90 - p50), p50 / 2.0)
    places, values = (0.0, 0.5, 0.9, 0.99, 1.0), (fastest, p50, p90, p99, p99)
    samples = []
    for index in range(QUANTILES + 1):
        place = index / QUANTILES
        high = next(at for at in range(1, len(places)) if place <= places[at])
        share = (place - places[high - 1]) / (places[high] - places[high - 1])
        samples.append(round(values[high - 1] + share * (values[high] - values[high - 1]), 3))
    return tuple(samples)


def _checked(milliseconds: float) -> float:
    if not (math.isfinite(milliseconds) and 0.0 <= milliseconds <= LONGEST_MS):
        raise EdgeSegError(f"a latency of {milliseconds:g} ms: choose 0 to {LONGEST_MS:g}")
    return milliseconds
