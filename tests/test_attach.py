"""A device's latency in its bundle: what is kept, what is replaced, and what is refused."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_seg import attach as attaching
from edge_seg import bench
from edge_seg.attach import attach, require_attachable, samples
from edge_seg.bundle.archive import open_bundle, write_bundle
from edge_seg.bundle.container import MANIFEST, join, split
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.manifest import DeviceState, Latency, Machine, Manifest, decode, encode
from edge_seg.bundle.signature import SIGNATURE, verify
from edge_seg.comparison import Measured, measure
from edge_seg.device import Device
from edge_seg.frames import FrameSet
from edge_seg.pipeline import Timings
from edge_seg.segmenter import Segmenter

PI = "Raspberry Pi 4 Model B Rev 1.4"


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_bundle, tmp_path / "tiny.edgeseg"))


def measured(path: Path, model: str | None = PI, start: float = 10.0) -> Measured:
    """What a Pi might have measured: ``start``, ``start`` + 0.1, ... milliseconds."""
    timings = [Timings(1.0, start - 2, 1.0, start + index / 10) for index in range(100)]
    entry = bench.entry(path.name, "onnxruntime", "int8", timings, 50_000_000, 4096)
    benchmark = bench.Benchmark(
        machine=Machine("Cortex-A72", 4, ["asimd"]),
        device=Device(model=model, memory_bytes=4 * 2**30, governor="ondemand", max_clock_mhz=1500),
        before=DeviceState(clock_mhz=600.0, temperature_c=41.0, throttled=[]),
        after=DeviceState(clock_mhz=1500.0, temperature_c=63.5, throttled=["throttled since boot"]),
        frame_set="few-roads",
        entries=[entry],
        ratios={path.name: 1.0},
        stages=entry.stages,
        fps=entry.fps,
        warnings=["throttling reported"],
    )
    return Measured(benchmark, timings, open_bundle(path).digest)


def test_what_was_measured_is_in_the_manifest(bundle: Path) -> None:
    attach(bundle, measured(bundle), threads=4)
    (latency,) = open_bundle(bundle).manifest.latencies
    assert (latency.device, latency.frames, latency.threads) == (PI, 100, 4)
    assert latency.stages["total"] == {"p50": 14.95, "p90": 18.91, "p99": 19.801}
    assert latency.samples_ms == [round(10 + index / 10, 3) for index in range(100)]
    assert latency.runtime == "onnxruntime" and latency.runtime_version
    assert latency.machine == Machine("Cortex-A72", 4, ["asimd"])
    assert (latency.governor, latency.max_clock_mhz) == ("ondemand", 1500.0)
    assert (latency.before.temperature_c, latency.after.temperature_c) == (41.0, 63.5)
    assert latency.after.throttled == ["throttled since boot"]
    assert latency.warnings == ["throttling reported"]
    assert (latency.memory_bytes, latency.peak_rss_bytes) == (4 * 2**30, 50_000_000)


def test_every_member_stays_as_it_was(bundle: Path, few_frames: FrameSet) -> None:
    before = split(bundle.read_bytes())
    attach(bundle, measured(bundle))
    after = split(bundle.read_bytes())
    assert {**after, MANIFEST: b""} == {**before, MANIFEST: b""}
    old, new = decode(bytes(before[MANIFEST])), decode(bytes(after[MANIFEST]))
    assert msgspec.structs.replace(new, latencies=[]) == old
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]
    with Segmenter(bundle, threads=1) as segmenter:
        frame = few_frames.image(0)
        assert segmenter(frame).shape == frame.shape[:2]


def test_the_same_device_runtime_and_threads_take_the_earlier_ones_place(bundle: Path) -> None:
    for start, model, threads in ((10, PI, 4), (20, PI, 1), (30, "other", 4), (40, PI, 4)):
        attach(bundle, measured(bundle, model, start), threads)
    found = [
        (entry.device, entry.threads, entry.samples_ms[0])
        for entry in open_bundle(bundle).manifest.latencies
    ]
    assert found == [(PI, 1, 20.0), ("other", 4, 30.0), (PI, 4, 40.0)]


def test_a_device_without_a_name_is_its_processor(bundle: Path) -> None:
    attach(bundle, measured(bundle, model=None))
    assert open_bundle(bundle).manifest.latencies[0].device == "Cortex-A72"


def test_many_frames_are_thinned_evenly() -> None:
    timings = [Timings(0.0, 0.0, 0.0, float(index)) for index in range(2001)]
    kept = samples(timings)
    assert len(kept) == attaching.SAMPLES
    assert kept == sorted(kept) and (kept[0], kept[-1]) == (0.0, 2000.0)
    assert max(b - a for a, b in pairwise(kept)) <= 5
    assert samples(timings[:1]) == [0.0]


def test_a_signed_bundle_is_signed_anew_or_refused(bundle: Path) -> None:
    key = Ed25519PrivateKey.generate()
    opened = open_bundle(bundle)
    members = {name: opened.read(name) for name in opened.manifest.members}
    write_bundle(bundle, opened.manifest, members, key)
    before = bundle.read_bytes()
    found = measured(bundle)
    with pytest.raises(BundleError, match=r"is signed, .* sign it anew with --sign KEY"):
        require_attachable(bundle)
    with pytest.raises(BundleError, match="is signed"):
        attach(bundle, found)
    assert bundle.read_bytes() == before
    require_attachable(bundle, key)
    attach(bundle, found, signing_key=key)
    again = open_bundle(bundle)
    verify(again.manifest_bytes, again.signature, key.public_key())
    assert len(again.manifest.latencies) == 1


def rewritten(path: Path, **fields: object) -> Path:
    """Change fields of a bundle's manifest, also to such as this version does not know."""
    members = split(path.read_bytes())
    members.pop(SIGNATURE, None)
    manifest = {**msgspec.json.decode(bytes(members[MANIFEST])), **fields}
    path.write_bytes(join({**members, MANIFEST: msgspec.json.encode(manifest)}))
    return path


def test_another_architectures_bundle_is_for_the_device_itself(bundle: Path) -> None:
    rewritten(bundle, architecture="riscv64")
    with pytest.raises(BundleError, match=r"is for 'riscv64': .* measured on the device itself"):
        require_attachable(bundle)


def test_what_a_newer_version_packed_is_not_lost(bundle: Path) -> None:
    rewritten(bundle, invented="later")
    with pytest.raises(BundleError, match="upgrade with pip"):
        require_attachable(bundle)


def test_what_an_older_version_packed_is_taken(bundle: Path) -> None:
    manifest = msgspec.json.decode(open_bundle(bundle).manifest_bytes)
    older = {"device": PI, "frames": 9, "stages": {"total": {"p50": 5.0}}}
    del manifest["proven"]
    members = split(bundle.read_bytes())
    payload = msgspec.json.encode({**manifest, "latencies": [older]})
    bundle.write_bytes(join({**members, MANIFEST: payload}))
    (latency,) = open_bundle(bundle).manifest.latencies
    assert latency == Latency(PI, 9, {"total": {"p50": 5.0}})
    assert (latency.samples_ms, latency.before.throttled) == ([], None)
    attach(bundle, measured(bundle))
    assert len(open_bundle(bundle).manifest.latencies) == 2  # of another runtime: it named none


def test_a_bundle_that_was_replaced_meanwhile_is_left_alone(bundle: Path) -> None:
    found = measured(bundle)
    other = rewritten(bundle, name="another").read_bytes()
    with pytest.raises(BundleError, match="was replaced while it was measured"):
        attach(bundle, found)
    assert bundle.read_bytes() == other


def test_a_folder_that_takes_no_file_is_found_before_the_work(bundle: Path) -> None:
    with pytest.raises(BundleError, match="no such file"):
        require_attachable(bundle.parent / "none.edgeseg")
    link = bundle.with_name("link.edgeseg")
    link.symlink_to(bundle.name)
    attach(link, measured(link))
    assert link.is_symlink() and open_bundle(bundle).manifest.latencies


def test_any_latency_survives_the_manifest(bundle: Path) -> None:
    attach(bundle, measured(bundle))
    manifest: Manifest = open_bundle(bundle).manifest
    assert decode(encode(manifest)) == manifest


def test_measured_here_and_attached(bundle: Path, few_frames: FrameSet) -> None:
    found = measure(bundle, [str(bundle)], few_frames, 20, threads=1)
    attach(bundle, found, threads=1)
    (latency,) = open_bundle(bundle).manifest.latencies
    assert latency.frames == len(latency.samples_ms) == 20
    assert min(latency.samples_ms) <= latency.stages["total"]["p50"] <= max(latency.samples_ms)
    assert latency.frame_set == "few-roads"
    assert latency.memory_bytes and latency.peak_rss_bytes and latency.machine
