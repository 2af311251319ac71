from __future__ import annotations

from pathlib import Path

import pytest

from edge_seg import bench
from edge_seg.comparison import measure
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.machine import RELEVANT_ISA, peak_rss_bytes, this_machine
from edge_seg.pipeline import STAGES, Timings


def timings(*totals: float) -> list[Timings]:
    return [Timings(1.0, total - 2.0, 1.0, total) for total in totals]


def test_quantiles_by_hand() -> None:
    stages = bench.quantiles(timings(30.0, 10.0, 50.0, 20.0, 40.0))
    assert tuple(stages) == STAGES
    assert stages["total"].p50_ms == 30.0
    assert stages["total"].p90_ms == pytest.approx(46.0)  # 40 + 0.6 * 10
    assert stages["total"].p99_ms == pytest.approx(49.6)
    assert stages["inference"].p50_ms == 28.0
    assert stages["preprocess"] == bench.Quantiles(1.0, 1.0, 1.0)


def test_one_frame_is_its_own_quantiles() -> None:
    assert bench.quantiles(timings(7.0))["total"] == bench.Quantiles(7.0, 7.0, 7.0)


def test_frames_per_second_are_of_the_median_frame() -> None:
    entry = bench.entry("one", "openvino", "int8", timings(10.0, 20.0, 1000.0), 123, 456)
    assert (entry.name, entry.engine, entry.precision) == ("one", "openvino", "int8")
    assert (entry.frames, entry.fps, entry.peak_rss_bytes, entry.size_bytes) == (3, 50.0, 123, 456)


class Recorder:
    """Notes in a list, shared with others, who is asked for how many frames."""

    def __init__(self, name: str, log: list[tuple[str, int]]) -> None:
        self.name, self.log = name, log

    def time(self, frames: Path, count: int) -> tuple[list[Timings], int]:
        self.log.append((self.name, count))
        return timings(*[10.0] * count), 1000 + len(self.log)


def test_entrants_take_turns_and_the_warm_up_does_not_count(tmp_path: Path) -> None:
    log: list[tuple[str, int]] = []
    workers = {name: Recorder(name, log) for name in ("a", "b")}
    found = bench.interleave(workers, tmp_path, 3 * bench.ROUNDS)
    assert log[:2] == [("a", bench.WARM_UP), ("b", bench.WARM_UP)]
    assert log[2:] == [("a", 3), ("b", 3)] * bench.ROUNDS
    assert {name: len(rows) for name, (rows, _) in found.items()} == {
        "a": 3 * bench.ROUNDS,
        "b": 3 * bench.ROUNDS,
    }
    assert found["b"][1] == 1000 + len(log)  # the peak is the last answer's


@pytest.mark.parametrize("count", [1, 9, 11])
def test_as_many_frames_as_asked_are_timed(count: int, tmp_path: Path) -> None:
    ((rows, _),) = bench.interleave({"a": Recorder("a", [])}, tmp_path, count).values()
    assert len(rows) == count


def test_a_bundle_and_another_engine_side_by_side(tiny_bundle: Path, few_frames: FrameSet) -> None:
    found = measure(
        tiny_bundle, ["openvino", str(tiny_bundle)], few_frames, 20, threads=1
    ).benchmark
    assert [entry.name for entry in found.entries] == [
        tiny_bundle.name,
        "openvino",
        f"{tiny_bundle.name} (2)",
    ]
    first = found.entries[0]
    assert found.ratios[first.name] == 1.0
    for entry in found.entries:
        ratio = entry.stages["total"].p50_ms / first.stages["total"].p50_ms
        assert found.ratios[entry.name] == pytest.approx(ratio)
        assert entry.frames == 20 and entry.size_bytes == first.size_bytes
        assert entry.peak_rss_bytes > 2**20
    assert (found.fps, found.stages) == (first.fps, first.stages)


def test_an_engine_that_reads_other_files_is_refused(
    tiny_bundle: Path, few_frames: FrameSet
) -> None:
    with pytest.raises(EdgeSegError, match=r"engine 'torch' does not read .*model\.onnx"):
        measure(tiny_bundle, ["torch"], few_frames, 10)
    with pytest.raises(EdgeSegError, match="did you mean 'openvino'"):
        measure(tiny_bundle, ["openvin"], few_frames, 10)


def test_this_machine_is_described() -> None:
    machine = this_machine()
    assert machine.cpu and machine.cores >= 1
    assert set(machine.isa) <= set(RELEVANT_ISA)


def test_peak_memory_grows_with_what_was_touched() -> None:
    before = peak_rss_bytes()
    assert before > 2**20
    block = bytearray(256 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_rss_bytes() >= before
    assert peak_rss_bytes() > 256 * 2**20
