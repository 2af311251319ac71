"""What is found out later, added to the bundle: what ``--attach`` of bench and drive does.

    require_attachable(path)                            # before the work: quick to refuse
    measured = measure(path, [], frames, count=200)
    attach(path, measured, threads=4)                   # a device's own latency
    attach_driven(path, digest, [driven])               # how it drove in closed loop

The file is whole at every moment.
Only the manifest changes: every member stays as it was packed, byte for byte. A signature covers
the manifest, so a signed bundle is signed anew or left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_seg import engines
from edge_seg.bundle.archive import Bundle, open_bundle, write_bundle
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.manifest import Driven, Latency, Manifest, check_runs_here, encode
from edge_seg.comparison import Measured
from edge_seg.files import require_writable
from edge_seg.pipeline import Timings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SAMPLES = 500
"""Frames whose totals are kept: enough to draw the slowest of a hundred from, 5 kB."""


def require_attachable(path: Path, signing_key: Ed25519PrivateKey | None = None) -> None:
    """Raise `EdgeSegError` where no latency could be attached: better now than after the work."""
    _check_device(require_rewritable(path, signing_key))


def require_rewritable(path: Path, signing_key: Ed25519PrivateKey | None = None) -> Bundle:
    """Raise `EdgeSegError` where the manifest could not be changed; return the bundle."""
    bundle = open_bundle(path)
    _check(bundle, signing_key)
    require_writable(path.resolve())
    return bundle


def attach(
    path: Path,
    measured: Measured,
    threads: int | None = None,
    signing_key: Ed25519PrivateKey | None = None,
) -> Bundle:
    """Add what `edge_seg.comparison.measure` measured of a bundle to its manifest.

    ``threads`` is what the engine was allowed. The entry takes the place of an earlier one of
    the same device, runtime and threads. Raises `EdgeSegError` as `require_attachable` does.
    """

    _check_device(open_bundle(path))

    def with_latency(manifest: Manifest) -> Manifest:
        latency = latency_of(manifest, measured, threads)
        kept = [entry for entry in manifest.latencies if _identity(entry) != _identity(latency)]
        return msgspec.structs.replace(manifest, latencies=[*kept, latency])

    return _rewrite(path, measured.digest, with_latency, signing_key)


def attach_driven(
    path: Path,
    digest: str,
    driven: Sequence[Driven],
    signing_key: Ed25519PrivateKey | None = None,
) -> Bundle:
    """Add how the bundle of this digest drove to its manifest.

    An entry takes the place of an earlier one of the same latency, simulator, maps, weather and
    speed. Raises `EdgeSegError` as `require_rewritable` does.
    """
    new = {_circumstances(entry) for entry in driven}

    def with_driven(manifest: Manifest) -> Manifest:
        kept = [entry for entry in manifest.driven if _circumstances(entry) not in new]
        return msgspec.structs.replace(manifest, driven=[*kept, *driven])

    return _rewrite(path, digest, with_driven, signing_key)


def _rewrite(
    path: Path,
    digest: str,
    change: Callable[[Manifest], Manifest],
    signing_key: Ed25519PrivateKey | None,
) -> Bundle:
    """Write the bundle of this digest anew with a changed manifest, every member as it was."""
    path = path.resolve()  # a link stays one: what it points at is rewritten
    bundle = open_bundle(path)
    _check(bundle, signing_key)
    if bundle.digest != digest:
        raise BundleError(f"{path}: was replaced while it was measured: run this command again")
    members = {name: bundle.read(name) for name in bundle.manifest.members}
    return write_bundle(path, change(bundle.manifest), members, signing_key)


def latency_of(manifest: Manifest, measured: Measured, threads: int | None) -> Latency:
    """Return the manifest's entry for the first entrant of a measurement."""
    benchmark = measured.benchmark
    entry = benchmark.entries[0]
    runtime, runtime_version, _ = engines.find(manifest.engine.name).installed_runtime()
    return Latency(
        device=benchmark.device.model or benchmark.machine.cpu,
        frames=entry.frames,
        stages={
            stage: {name: round(getattr(row, f"{name}_ms"), 3) for name in ("p50", "p90", "p99")}
            for stage, row in entry.stages.items()
        },
        samples_ms=samples(measured.timings),
        precision=entry.precision,
        runtime=runtime,
        runtime_version=runtime_version,
        threads=threads,
        machine=benchmark.machine,
        memory_bytes=benchmark.device.memory_bytes,
        governor=benchmark.device.governor,
        max_clock_mhz=benchmark.device.max_clock_mhz,
        before=benchmark.before,
        after=benchmark.after,
        peak_rss_bytes=entry.peak_rss_bytes,
        frame_set=benchmark.frame_set,
        warnings=benchmark.warnings,
    )


def samples(timings: list[Timings]) -> list[float]:
    """Return the frames' totals in order of time, evenly spaced where there are many."""
    count = min(len(timings), SAMPLES)
    places = np.linspace(0, len(timings) - 1, count).round().astype(int)
    return [round(timings[place].total_ms, 3) for place in places]


def _identity(latency: Latency) -> tuple[str, str, int | None]:
    return latency.device, latency.runtime, latency.threads


def _circumstances(driven: Driven) -> tuple[object, ...]:
    maps = tuple(driven.maps)
    return driven.latency, driven.simulator, maps, driven.weather, driven.speed_kmh


def _check(bundle: Bundle, signing_key: Ed25519PrivateKey | None) -> None:
    if bundle.signature is not None and signing_key is None:
        raise BundleError(
            f"{bundle.path}: is signed, and what is attached breaks the signature: "
            "sign it anew with --sign KEY"
        )
    if not _known(
        msgspec.json.decode(bundle.manifest_bytes), msgspec.json.decode(encode(bundle.manifest))
    ):
        raise BundleError(
            f"{bundle.path}: a newer edge-seg packed it with facts that this one would lose: "
            "upgrade with pip install -U edge-seg"
        )


def _check_device(bundle: Bundle) -> None:
    try:
        check_runs_here(bundle.manifest)
    except BundleError as error:
        raise BundleError(
            f"{bundle.path}: is for {bundle.manifest.architecture!r}: what is attached is measured "
            "on the device itself; run this command there"
        ) from error


def _known(packed: object, again: object) -> bool:
    """Say whether every field of a manifest is still there when it is written again."""
    if isinstance(packed, dict):
        return isinstance(again, dict) and all(
            name in again and _known(value, again[name]) for name, value in packed.items()
        )
    if isinstance(packed, list):
        return isinstance(again, list) and all(map(_known, packed, again))
    return True
