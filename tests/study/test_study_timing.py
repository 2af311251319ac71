"""Who is timed with whom: everyone beside the float row of its own, and no one more than needed."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest

from edge_seg.preprocess import InputSpec
from edge_seg.study.jobs import Frames, Run
from edge_seg.study.records import Measured, Record, failed
from edge_seg.study.timing import SESSION, operator_times, plan_timing


def run_of(variant: str, name: str) -> Run:
    return Run(
        key=f"{variant}-{name}",
        variant=variant,
        seed=0,
        model="net",
        weights="random",
        identity="",
        training="",
        size=None,
        engine="onnxruntime",
        runtime="",
        precision="float32" if name == "float" else "int8",
        calibration=Frames("roads", "a"),
        evaluation=Frames("few", "b"),
        threads=1,
        reference=f"{variant}-float",
    )


def record_of(run: Run, run_by: str = "") -> Record:
    measured = Measured(
        miou=None, iou={}, dice={}, boundary_f1={}, images=[], image_miou=[], image_iou={},
        image_dice={}, image_agreement=[], agreement_float=0.0, agreement_simulation=None,
        size_bytes=1, weights=1, weight_bytes=1, method_seconds=0.0, file=f"files/{run.key}",
        digest="", masks="", masks_digest="", input=InputSpec(8, 16), options={}, run_by=run_by,
    )  # fmt: skip
    return msgspec.structs.replace(failed(run, ""), status="done", result=measured)


def seats(runs: list[Run], records: dict[str, Record]) -> list[list[str]]:
    job = plan_timing(runs, records, frames=8, threads=1)
    assert job is not None
    return [[entrant.key for entrant in session] for session in job.sessions]


@pytest.mark.parametrize(
    ("variants", "others", "sessions"), [(12, 3, 4), (1, 3, 1), (3, 11, 3), (2, 30, 6), (5, 0, 1)]
)
def test_everyone_sits_once_with_its_own_float_row(
    variants: int, others: int, sessions: int
) -> None:
    runs = [
        run_of(f"net{variant}", name)
        for variant in range(variants)
        for name in ("float", *(f"row{index}" for index in range(others)))
    ]
    tables = seats(runs, {run.key: record_of(run) for run in runs})
    assert len(tables) == sessions and all(len(table) <= SESSION for table in tables)
    for table in tables:
        assert len(set(table)) == len(table)
        floats = {key.partition("-")[0] for key in table if key.endswith("float")}
        assert {key.partition("-")[0] for key in table} == floats
    counts = Counter(key for table in tables for key in table)
    assert counts.keys() == {run.key for run in runs}
    assert all(count == 1 for key, count in counts.items() if not key.endswith("float"))


def test_what_did_not_run_here_is_not_timed() -> None:
    runs = [run_of("net", name) for name in ("float", "own", "stood-in", "lost")]
    records = {run.key: record_of(run) for run in runs}
    records["net-stood-in"] = record_of(runs[2], run_by="onnxruntime")
    records["net-lost"] = failed(runs[3], "no kernel")
    assert seats(runs, records) == [["net-float", "net-own"]]
    records["net-float"] = failed(runs[0], "no kernel")
    assert seats(runs, records) == [["net-own"]]
    records["net-own"] = failed(runs[1], "no kernel")
    assert plan_timing(runs, records, frames=8, threads=1) is None
    assert plan_timing(runs, records, frames=0, threads=1) is None


def event(name: str, microseconds: float, operator: str = "", category: str = "Node") -> dict:
    """A line of a profile, in the form of Chrome's trace viewer."""
    return {
        "cat": category,
        "pid": 7,
        "tid": 9,
        "dur": microseconds,
        "ts": 3,
        "ph": "X",
        "name": name,
        "args": {"op_name": operator, "provider": "CPUExecutionProvider"} if operator else {},
    }


def test_times_of_operators_by_hand() -> None:
    """Two convolutions and a resize in the last of two runs: 1.5 and 0.25, and 2 ms."""
    profile = [
        event("one_kernel_time", 9000, "QLinearConv"),  # the first run's: warming up
        event("one_kernel_time", 1500, "QLinearConv"),
        event("two_kernel_time", 250, "QLinearConv"),
        event("up_kernel_time", 2000, "Resize"),
        event("model_run", 99000, category="Session"),
    ]
    assert operator_times(json.dumps(profile).encode(), 1) == {"Resize": 2.0, "QLinearConv": 1.75}


def test_times_are_of_a_frame_and_of_kernels_alone() -> None:
    """The last two runs of three: (4 + 1) / 2 ms of one node, (0.5 + 0.1) / 2 of another."""
    profile = [
        *(event("conv_kernel_time", time, "Conv") for time in (70000, 4000, 1000)),
        *(event("odd_kernel_time", time) for time in (8000, 500, 100)),  # it has no operator
        event("conv_fence_before", 3000, "Conv"),
        event("conv_kernel_time", 3000, "Conv", category="Session"),
    ]
    found = operator_times(json.dumps(profile).encode(), 2)
    assert list(found.items()) == [("Conv", 2.5), ("other", 0.3)]
    assert operator_times(b"[]", 2) == {}
