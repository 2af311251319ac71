"""A study from end to end on a little network: rows, records, resuming, failures."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from filelock import FileLock
from rogue import install
from safetensors.numpy import save
from study_of import in_this_process, write_plan

from edge_seg import metrics
from edge_seg.errors import EdgeSegError, NoSpaceError
from edge_seg.files import sha256, write_bytes
from edge_seg.frames import FrameSet
from edge_seg.study.conduct import conduct
from edge_seg.study.crew import Tell
from edge_seg.study.evaluating import score, stored_bytes
from edge_seg.study.expand import expand
from edge_seg.study.jobs import Job
from edge_seg.study.page import write_page
from edge_seg.study.plan import Plan, read_plan
from edge_seg.study.records import (
    Measured,
    Timed,
    Trained,
    failed,
    open_folder,
    read_record,
    read_records,
    record_path,
    write_record,
)
from edge_seg.study.results import Results, read_results, to_csv, write_results
from edge_seg.study.run import remove_broken
from edge_seg.study.timing import plan_timing

FLOAT, PTQ = "net-onnxruntime-float32-s0", "net-onnxruntime-int8-ptq-s0"
TAUGHT = "net-onnxruntime-int8-taught-s0"
GRID = """
    [methods.taught]
    base = "qat"
    labels = true
    lesson = {steps = 2, batch = 2}
    [grid]
    engines = ["onnxruntime"]
    bits = [7, 2]
    rows = [{engine = "rogue"}, {engine = "onnxruntime", method = "taught"}]
    [timing]
    frames = 8
"""


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, road_frames: FrameSet, few_frames: FrameSet
) -> tuple[Plan, Path, Results]:
    """A finished study with a row that fails: the folder may be copied, not changed."""
    base = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        patch.syspath_prepend(base)
        install(base / "site", patch, behaviour="raises")
        plan = read_plan(write_plan(base, road_frames, few_frames, GRID))
        results = conduct(plan, base / "out", in_this_process)
    return plan, base / "out", results


@pytest.fixture
def again(
    done: tuple[Plan, Path, Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Plan, Path]:
    """A copy of the finished study, and what its jobs need; the rogue engine is well again."""
    plan, folder, _ = done
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
    monkeypatch.syspath_prepend(folder.parent)
    install(tmp_path / "site", monkeypatch, behaviour="raises")
    shutil.copytree(folder, tmp_path / "out")
    return plan, tmp_path / "out"


class Counted:
    """Hands that note which jobs they got."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __call__(self, jobs: Sequence[Job], folder: Path, tell: Tell):  # type: ignore[no-untyped-def]
        self.keys += [job.key for job in jobs]
        return in_this_process(jobs, folder, tell)


def test_every_row_is_measured_or_says_why_not(
    done: tuple[Plan, Path, Results], few_frames: FrameSet
) -> None:
    _, folder, results = done
    by_key = {row.key: row for row in results.rows}
    coarse_key, rogue_key = "net-onnxruntime-int8-ptq-2bit-s0", "net-rogue-int8-ptq-s0"
    assert list(by_key) == [FLOAT, PTQ, coarse_key, rogue_key, TAUGHT]
    rogue = by_key["net-rogue-int8-ptq-s0"]
    assert rogue.status == "failed" and rogue.reason == "no such kernel"
    assert (rogue.miou, rogue.p50_ms, rogue.size_bytes) == (None, None, None)
    float_row, ptq, coarse = (by_key[key] for key in list(by_key)[:3])
    assert float_row.drop == 0 and float_row.agreement_float == 100
    assert float_row.agreement_simulation is None and float_row.share_of_time == 1.0
    for row in (float_row, ptq, coarse):
        assert row.miou is not None and float_row.miou is not None
        assert row.drop == pytest.approx(float_row.miou - row.miou)
        assert row.class_drop["road"] == pytest.approx(
            (float_row.iou["road"] or 0) - (row.iou["road"] or 0)
        )
        assert len(row.image_miou) == len(few_frames) == len(row.image_iou["road"])
        assert row.agreement_float == pytest.approx(np.mean(row.image_agreement))
        assert row.p50_ms is not None and row.p99_ms is not None and 0 < row.p50_ms <= row.p99_ms
        assert len(row.total_ms) == 8 and row.peak_rss_bytes and row.peak_rss_bytes > 2**20
    assert results.agreements[PTQ][FLOAT] == pytest.approx(ptq.agreement_float)
    assert results.agreements[PTQ][FLOAT] == results.agreements[FLOAT][PTQ]
    assert ptq.agreement_simulation is not None and ptq.agreement_simulation > 99
    assert float_row.agreement_float is not None and ptq.agreement_float is not None
    assert coarse.agreement_float is not None and coarse.agreement_float < ptq.agreement_float
    # 3x3x3x8 and 3x3x8x8 and 8x3 weights, and the normalisation's none.
    weights = 27 * 8 + 9 * 64 + 24
    assert float_row.weight_bytes == 4 * weights and ptq.weight_bytes == weights
    assert coarse.weight_bytes == weights // 4
    assert ptq.size_bytes == (folder / "files" / f"{PTQ}.onnx").stat().st_size
    assert by_key[TAUGHT].learns and not ptq.learns and not ptq.notes
    assert by_key[TAUGHT].notes[0].startswith("fine-tuning: ")
    assert set(results.profiles) == {FLOAT, PTQ}
    assert results.profiles[FLOAT]["Conv"] > 0 and results.profiles[PTQ]["QLinearConv"] > 0


def test_packed_weights_are_counted_in_bits() -> None:
    assert [stored_bytes(9, "int8", bits) for bits in (1, 2, 3, 4, 7)] == [2, 3, 4, 5, 9]
    assert [stored_bytes(9, p, 0) for p in ("float32", "float16", "dynamic")] == [36, 18, 9]


def test_scores_of_frames_pool_to_those_of_the_set(few_frames: FrameSet) -> None:
    masks = [np.roll(few_frames.mask(index), 5, axis=1) for index in range(len(few_frames))]  # type: ignore[arg-type]
    found, left = score(few_frames, masks), iter(masks)
    whole = metrics.evaluate(lambda frame: next(left), few_frames)
    assert found.miou == pytest.approx(whole.miou) and found.iou == pytest.approx(whole.iou)
    assert found.dice == pytest.approx(whole.dice)
    assert found.boundary_f1 == pytest.approx(whole.boundary_f1)
    assert found.image_miou == whole.per_frame_miou


def test_what_is_finished_is_kept_and_what_failed_is_tried_again(
    done: tuple[Plan, Path, Results], again: tuple[Plan, Path]
) -> None:
    plan, folder = again
    hands = Counted()
    results = conduct(plan, folder, hands)
    assert hands.keys == ["net-rogue-int8-ptq-s0"]
    assert results.rows[:3] == done[2].rows[:3] and results.rows[4] == done[2].rows[4]
    assert results.conclusion == done[2].conclusion


def test_a_torn_record_is_done_again_and_no_other(again: tuple[Plan, Path]) -> None:
    plan, folder = again
    path = record_path(folder, PTQ)
    payload = path.read_bytes()
    path.write_bytes(payload[: len(payload) // 2])
    assert read_record(path) is None
    hands = Counted()
    conduct(plan, folder, hands)
    assert hands.keys == [PTQ, "net-rogue-int8-ptq-s0"]
    redone = read_record(path)
    assert redone is not None and isinstance(redone.result, Measured)


def _emptied(text: bytes) -> bytes:
    return b""


def _an_object(text: bytes) -> bytes:
    return b"{}"


def _torn(text: bytes) -> bytes:
    return text[: len(text) // 2]


def _without_figures(text: bytes) -> bytes:
    """A record whose lists and tables are empty, and which can be read all the same."""
    record = json.loads(text)
    result = record["result"]
    emptied = {name: type(v)() for name, v in result.items() if isinstance(v, list | dict)}
    kept = {"input": result["input"]} if "input" in result else {}
    return json.dumps({**record, "result": {**result, **emptied, **kept}}).encode()


def _of_a_row_less(text: bytes) -> bytes:
    record = json.loads(text)
    table = record["result"]["iou"] if "iou" in record["result"] else record["result"]["rows"]
    table.popitem()
    return json.dumps(record).encode()


@pytest.mark.parametrize("damage", [_emptied, _an_object, _torn, _without_figures, _of_a_row_less])
def test_a_damaged_record_is_no_record_and_the_others_are(
    again: tuple[Plan, Path], damage: Callable[[bytes], bytes]
) -> None:
    plan, folder = again
    runs = [run for run in expand(plan)[1] if run.engine != "rogue"]
    records = read_records(folder, runs)
    assert [*records] == [run.key for run in runs]
    ran = [run for run in runs if run.key in records]
    timing = plan_timing(ran, records, plan.timing.frames, plan.threads)
    assert timing is not None
    jobs: list[Job] = [*ran, timing]
    for broken in (FLOAT, TAUGHT, "timing"):
        path = record_path(folder, broken)
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        assert {job.key for job in jobs} - read_records(folder, jobs).keys() == {broken}
        path.write_bytes(whole)
    assert read_records(folder, jobs).keys() == {job.key for job in jobs}
    for place in ("files", "masks"):
        (file,) = (folder / place).glob(f"{PTQ}.*")
        whole = file.read_bytes()
        file.write_bytes(whole[:-1])
        assert {job.key for job in jobs} - read_records(folder, jobs).keys() == {PTQ}
        file.write_bytes(whole)


def test_a_damaged_timing_is_timed_again_and_nothing_else_is(again: tuple[Plan, Path]) -> None:
    plan, folder = again
    path = record_path(folder, "timing")
    path.write_bytes(b"{}")
    (folder / "study.txt").write_bytes(b"")
    hands = Counted()
    results = conduct(plan, folder, hands)
    assert hands.keys == ["net-rogue-int8-ptq-s0"]
    timed = read_record(path)
    assert timed is not None and isinstance(timed.result, Timed)
    assert [len(row.total_ms) for row in results.rows] == [8, 8, 8, 0, 8]
    assert (folder / "study.txt").read_text() == "little\n"


def test_what_is_torn_or_changed_of_a_training_is_removed_and_nothing_else(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    rest = """
        weights = "train"
        train = {steps = 2, batch = 2, crop = "32x64"}
        [grid]
        engines = ["onnxruntime"]
    """
    path = write_plan(tmp_path, road_frames, few_frames, rest)
    text = path.read_text().replace("little_network:make", "lane-unet")
    path.write_text(text.replace("[data]", f'[data]\ntrain = "{few_frames.path}"'))
    (job,), _ = expand(read_plan(path))
    folder = tmp_path / "out"
    open_folder(folder)
    output = folder / job.output
    whole = save({"weight": np.ones(3, np.float32)})
    history, checkpoint = (
        output.with_name(f"{output.stem}.{end}")
        for end in ("history.json", "checkpoint.safetensors")
    )
    trained = Trained(weights=job.output, digest=sha256(whole), steps=2, val_iou={})
    record = msgspec.structs.replace(failed(job, ""), status="done", result=trained)
    changed = whole[:-1] + bytes([whole[-1] ^ 1])

    def left(file: Path, payload: bytes) -> set[Path]:
        """What is kept where a file holds this and the others are whole."""
        write_record(folder, record)
        for path, right in (
            (output, whole), (history, b'{"history": [{"step": 2}]}'), (checkpoint, whole),
        ):  # fmt: skip
            path.write_bytes(payload if path == file else right)
        remove_broken(job, folder)
        return {path for path in (output, checkpoint) if path.exists()}

    assert left(output, whole) == {output, checkpoint}
    assert left(output, b"") == left(output, changed) == {checkpoint}
    assert left(history, b"{}") == left(history, b"") == {checkpoint}
    assert left(checkpoint, b"") == left(checkpoint, whole[:-1]) == {output}


def test_a_changed_file_or_plan_is_done_again(again: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, folder = again
    (folder / "files" / f"{FLOAT}.onnx").write_bytes(b"something else")
    hands = Counted()
    conduct(plan, folder, hands)
    assert hands.keys == [FLOAT, "net-rogue-int8-ptq-s0"]


def test_a_folder_of_something_else_is_left_alone(again: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, folder = again
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(EdgeSegError, match="holds something else than a study"):
        conduct(plan, tmp_path / "mine", in_this_process)
    (folder / "study.txt").write_text("another\n")
    with pytest.raises(EdgeSegError, match="holds the study 'another'"):
        conduct(plan, folder, in_this_process)


def test_one_command_has_a_folder_at_a_time(again: tuple[Plan, Path]) -> None:
    plan, folder = again
    with FileLock(folder / ".lock"), pytest.raises(EdgeSegError, match="another command works on"):
        conduct(plan, folder, in_this_process)


def test_a_full_disk_ends_the_study_and_loses_nothing(
    again: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder = again
    for key in (FLOAT, PTQ):
        record_path(folder, key).unlink()

    def full(path: Path, payload: bytes) -> None:
        if PTQ in str(path):
            raise NoSpaceError(f"no space left on the disk of {path}")
        write_bytes(path, payload)

    with monkeypatch.context() as patch:
        patch.setattr("edge_seg.study.evaluating.write_bytes", full)
        with pytest.raises(NoSpaceError):
            conduct(plan, folder, in_this_process)
    assert read_record(record_path(folder, FLOAT)) is not None
    assert not record_path(folder, PTQ).exists()
    hands = Counted()
    conduct(plan, folder, hands)
    assert hands.keys == [PTQ, "net-rogue-int8-ptq-s0"]


def test_a_training_that_failed_is_the_reason_of_its_rows(
    again: tuple[Plan, Path], tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    grid = """
        weights = "train"
        train = {steps = 5, crop = "32x64", lr = 1e30}
        [grid]
        engines = ["onnxruntime"]
    """
    path = write_plan(tmp_path, road_frames, few_frames, grid)
    text = path.read_text().replace("little_network:make", "lane-unet")
    path.write_text(text.replace("[data]", f'[data]\ntrain = "{road_frames.path}"'))
    results = conduct(read_plan(path), tmp_path / "trained", in_this_process)
    assert [row.status for row in results.rows] == ["failed", "failed"]
    assert all("its training failed: " in row.reason for row in results.rows)
    assert results.conclusion[0] == "2 of 2 rows failed and are not compared"


def test_results_go_to_json_and_csv_and_back(
    done: tuple[Plan, Path, Results], tmp_path: Path
) -> None:
    results = done[2]
    write_results(tmp_path, results)
    assert read_results(tmp_path / "results.json") == results
    assert (
        json.loads((tmp_path / "results.json").read_text())["schema"] == "edge-seg/study-result-1"
    )
    text = (tmp_path / "results.csv").read_text()
    assert text == to_csv(results)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["key"] for row in rows] == [row.key for row in results.rows]
    assert float(rows[1]["iou.road"]) == results.rows[1].iou["road"]
    assert float(rows[1]["p50_ms"]) == results.rows[1].p50_ms
    assert rows[3]["reason"] == "no such kernel" and rows[3]["miou"] == ""
    with pytest.raises(EdgeSegError, match="is no study's result"):
        read_results(tmp_path / "results.csv")


def test_the_page_of_a_real_study_shows_its_masks(
    done: tuple[Plan, Path, Results], few_frames: FrameSet, tmp_path: Path
) -> None:
    _, folder, results = done
    shutil.copytree(folder / "masks", tmp_path / "masks")
    write_page(tmp_path, results, few_frames)
    text = (tmp_path / "study.html").read_text()
    # Three frames, each as it is, labelled, and by the four rows that ran.
    assert text.count("data:image/jpeg;base64,") == 3 * 6
    assert "A little &lt;study&gt;" in text and "no such kernel" in text
