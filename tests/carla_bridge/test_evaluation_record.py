"""Records are read as they were written, and what is none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from drive_results_by_hand import write_folder

from carla_bridge.evaluation.driven import driven_of
from carla_bridge.evaluation.record import read_results, read_run, read_trace, write_record
from edge_seg.errors import EdgeSegError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    results = write_folder(tmp_path)
    assert read_results(tmp_path) == results
    run = next(run for run in results.runs if run.trace and (tmp_path / run.trace).exists())
    trace = read_trace(tmp_path, run)
    write_record(tmp_path / "again.json", trace)
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / run.trace).read_bytes()


def test_a_bundle_remembers_its_own_driver_only(tmp_path: Path) -> None:
    results = write_folder(tmp_path)
    rows = [row for row in results.summary if row.driver == results.request.driver]
    driven = driven_of(results)
    assert [entry.latency for entry in driven] == [row.latency for row in rows]
    assert [entry.estimate for entry in driven] == [row.estimate for row in rows]


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"schema": 3}', b"\xff\xfe"])
def test_what_is_no_record_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EdgeSegError, match=r"run\.json") as refused:
        read_run(path)
    assert "\n" not in str(refused.value)
