"""The table that lives while a study runs, and the lines where there is no terminal."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from study_of import results_of, row, write_plan

from edge_seg.frames import FrameSet
from edge_seg.study.expand import expand
from edge_seg.study.live import Live, results_table
from edge_seg.study.plan import read_plan
from edge_seg.study.records import failed


def test_a_line_for_each_job_without_a_terminal(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    grid = '[grid]\nengines = ["onnxruntime"]'
    _, runs = expand(read_plan(write_plan(tmp_path, road_frames, few_frames, grid)))
    console = Console(file=io.StringIO(), width=120)
    with Live(console) as watch:
        watch.planned(runs, {runs[0].key: failed(runs[0], "")})
        watch.doing(runs[1].key, "fine-tuning 3/40")
        watch.done(failed(runs[1], "no kernel [for this]"))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2 jobs, 1 of them done before" in said
    assert "2/2  net-onnxruntime-int8-ptq-s0: failed: no kernel [for this]" in said
    assert "fine-tuning" not in said


def test_the_table_shows_what_runs_first(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    grid = '[grid]\nengines = ["onnxruntime"]\nbits = [7, 4]'
    _, runs = expand(read_plan(write_plan(tmp_path, road_frames, few_frames, grid)))
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
    watch = Live(console)
    watch.planned(runs, {})
    watch.doing(runs[2].key, "fine-tuning 3/40")
    watch.done(failed(runs[0], "no kernel"))
    console.print(watch._table())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    shown = [line for line in lines if "net-onnxruntime" in line]
    assert "fine-tuning 3/40" in shown[0]
    assert "waiting" in shown[1] and "net-onnxruntime-int8-ptq-s0" in shown[1]
    assert "failed no kernel" in shown[2]
    assert any("1 of 3 jobs done" in line for line in lines)


def test_the_last_table_has_every_row() -> None:
    console = Console(file=io.StringIO(), width=160)
    lost = row("qat", [90.0] * 3, status="failed", reason="no [kernel]", miou=None)
    console.print(results_table(results_of(row("float", [90.0] * 3), lost)))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "90.00" in said and "no [kernel]" in said
