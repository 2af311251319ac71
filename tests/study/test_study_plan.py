"""A study's file: what is read from it, what its quick form changes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch
from study_of import write_plan

from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.models.architectures import architecture
from edge_seg.study import plan as plans
from edge_seg.study.conclusion import ALIKE
from edge_seg.study.evaluating import stored_bytes
from edge_seg.study.expand import expand
from edge_seg.study.jobs import digest_of
from edge_seg.study.plan import Lesson, Method, Row, read_plan
from edge_seg.training.state import config_of

TEXT = """
schema = "edge-seg/study-1"
threads = 2
[study]
name = "mine"
title = "Mine"
[[variants]]
name = "small"
model = "lane-unet"
weights = "train"
size = "96x192"
options = {base = 16}
train = {steps = 400, crop = "64x128"}
[[variants]]
name = "deep"
model = "deeplabv3plus-mobilenetv2"
[methods.long]
base = "qat"
labels = true
lesson = {steps = 300, delay = 50}
[grid]
engines = ["onnxruntime"]
methods = ["ptq", "long"]
rows = [{engine = "litert", precision = "float16"}]
[quick.study]
title = "Mine, quickly"
[quick.variants.small]
train = {steps = 20}
[quick.methods.long.lesson]
steps = 30
[quick.grid]
methods = ["ptq"]
"""


def write(folder: Path, text: str = TEXT) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_plan_is_read_by_value(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path))
    small, deep = plan.variants
    assert (small.weights, small.size, small.options) == ("train", "96x192", {"base": 16})
    assert small.train is not None and (small.train.steps, small.train.crop) == (400, "64x128")
    assert (deep.weights, deep.size, deep.train) == ("shipped", "", None)
    assert plan.methods == {
        "long": Method(base="qat", labels=True, lesson=Lesson(steps=300, delay=50))
    }
    assert plan.grid.rows == (Row(engine="litert", precision="float16"),)
    assert (plan.grid.seeds, plan.grid.bits, plan.threads) == ((0,), (7,), 2)
    assert not plan.is_quick and plan.folder == str(tmp_path)


def test_quick_merges_tables_and_replaces_all_else(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path), quick=True)
    assert plan.is_quick and plan.study.title == "Mine, quickly" and plan.study.name == "mine"
    small, deep = plan.variants
    assert small.train is not None and (small.train.steps, small.train.crop) == (20, "64x128")
    assert deep.name == "deep"
    assert plan.methods["long"].lesson == Lesson(steps=30, delay=50)
    assert plan.grid.methods == ("ptq",) and plan.grid.engines == ("onnxruntime",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("threads = 2", "threds = 2", "unknown key 'threds': did you mean 'threads'?"),
        ("methods = [", "method = [", "unknown key 'method' in grid: did you mean 'methods'?"),
        ("labels = true", "label = true", "in methods: did you mean 'labels'?"),
        ("steps = 400", "step = 400", "unknown key 'step' in variants.train"),
        ('size = "96x192"', 'size = "96*192"', "[0].size: a size is HEIGHTxWIDTH, such as 256x512"),
        ('crop = "64x128"', 'crop = "64"', "crop: a size is HEIGHTxWIDTH, such as 256x512"),
        ('name = "mine"', 'name = "my own"', "study.name: a name is of letters, digits"),
        ("threads = 2", "is_quick = true", "unknown key 'is_quick'"),
        ("study-1", "study-9", "is of schema 'edge-seg/study-9': this edge-seg reads"),
        ("threads = 2", "threads = ", "is no TOML"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in TEXT
    path = write(tmp_path, TEXT.replace(old, new, 1))
    with pytest.raises(EdgeSegError) as caught:
        read_plan(path)
    assert said in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_quick_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match=r"no variant 'smal': did you mean 'small'"):
        read_plan(
            write(tmp_path, TEXT.replace("quick.variants.small", "quick.variants.smal")), True
        )
    with pytest.raises(EdgeSegError, match="has no quick form"):
        read_plan(write(tmp_path, TEXT.partition("[quick.study]")[0]), True)
    with pytest.raises(EdgeSegError, match=r"no study 'deeplab_ptq_qt'.*did you mean"):
        plans.find("deeplab_ptq_qt")


def test_every_shipped_study_can_be_read_in_both_forms() -> None:
    assert plans.shipped()
    for name, path in plans.shipped().items():
        for quick in (False, True):
            plan = read_plan(path, quick)
            assert plan.study.name == name and plan.study.question
            trainings, runs = expand(plan)
            keys = [job.key for job in (*trainings, *runs)]
            assert len(set(keys)) == len(keys)


def test_the_small_network_in_eight_bits_is_as_large_as_the_big_one_in_four() -> None:
    _, runs = expand(read_plan(plans.shipped()["bits_and_widths"], quick=True))
    trainings, _ = expand(read_plan(plans.shipped()["bits_and_widths"]))
    counts = {}
    for training in trainings:
        config = config_of(training.settings, 3, training.settings.height, training.settings.width)
        with torch.device("meta"):
            network = architecture("lane-unet").build(config)
        counts[training.variant] = sum(p.numel() for p in network.parameters() if p.dim() == 4)
    assert stored_bytes(counts["small"], "int8", 7) == pytest.approx(
        stored_bytes(counts["big"], "int8", 4), rel=ALIKE - 1
    )
    int8 = {(r.method, r.bits) for r in runs if (r.engine, r.precision) == ("onnxruntime", "int8")}
    assert int8 == {(method, bits) for method in ("ptq", "qat") for bits in (7, 4, 2, 1)}
    others = {(run.engine, run.precision) for run in runs if run.precision != "int8"}
    assert {("litert", name) for name in ("float16", "dynamic", "w8a16")} < others
    assert ("openvino", "bfloat16") in others


def test_the_grid_is_crossed_and_every_row_is_there_once(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    grid = """
        [methods.long]
        base = "qat"
        [grid]
        engines = ["onnxruntime", "litert"]
        precisions = ["int8", "float16", "float32"]
        methods = ["ptq", "long"]
        bits = [7, 4]
        per_channel = [true, false]
        seeds = [0, 1, 2]
        rows = [{engine = "onnxruntime"}]
    """
    trainings, runs = expand(read_plan(write_plan(tmp_path, road_frames, few_frames, grid)))
    assert trainings == []
    int8 = [run for run in runs if run.precision == "int8"]
    # 2 engines, 2 widths, 2 grids; ptq once, as it has no chance in it, long for 3 seeds.
    assert len(int8) == 2 * 2 * 2 * (1 + 3)
    others = [(run.engine, run.precision) for run in runs if run.precision != "int8"]
    # The reference, and LiteRT's own two: ONNX Runtime has no float16.
    assert others == [("onnxruntime", "float32"), ("litert", "float16"), ("litert", "float32")]
    assert {run.reference for run in runs} == {"net-onnxruntime-float32-s0"}
    assert len({run.key for run in runs}) == len({digest_of(run) for run in runs}) == len(runs)
    assert {run.size for run in runs} == {(32, 64)} and {run.threads for run in runs} == {1}


def test_a_trained_variant_has_a_float_row_for_every_seed(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    grid = """
        weights = "train"
        train = {steps = 5, crop = "32x64"}
        [grid]
        engines = ["onnxruntime"]
        seeds = [3, 4]
    """
    path = write_plan(tmp_path, road_frames, few_frames, grid)
    text = path.read_text().replace("little_network:make", "lane-unet")
    path.write_text(text.replace("[data]", f'[data]\ntrain = "{road_frames.path}"'))
    trainings, runs = expand(read_plan(path))
    assert [training.settings.seed for training in trainings] == [3, 4]
    assert [run.key for run in runs] == [
        "net-onnxruntime-float32-s3",
        "net-onnxruntime-float32-s4",
        "net-onnxruntime-int8-ptq-s3",
        "net-onnxruntime-int8-ptq-s4",
    ]
    assert [run.training for run in runs] == 2 * ["net-train-s3", "net-train-s4"]
    assert runs[0].weights == trainings[0].output != runs[1].weights
    assert all(run.learns for run in runs)
    path.write_text(path.read_text().replace("[grid]", "options = {bas = 16}\n[grid]"))
    plan = read_plan(path)
    with pytest.raises(EdgeSegError, match="did you mean 'base'"):
        expand(plan)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ('engines = ["openvio"]', "did you mean 'openvino'"),
        ('engines = ["onnxruntime"]\nprecisions = ["int9"]', "did you mean 'int8'"),
        (
            'engines = ["onnxruntime"]\nmethods = ["ptp"]',
            "unknown method 'ptp': did you mean 'ptq'",
        ),
        ('rows = [{engine = "onnxruntime", precision = "float16"}]', "has no precision 'float16'"),
        ('engines = ["litert"]\nvariants = ["nets"]', "did you mean 'net'"),
        ("seeds = [1]", "the grid has no rows"),
    ],
)
def test_what_cannot_be_run_is_found_before_anything_runs(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet, grid: str, said: str
) -> None:
    plan = read_plan(write_plan(tmp_path, road_frames, few_frames, f"[grid]\n{grid}"))
    with pytest.raises(EdgeSegError) as caught:
        expand(plan)
    assert said in str(caught.value)


METHOD = '[methods.long]\nbase = "rounding+qat"\n'
GRID = '[grid]\nengines = ["onnxruntime"]\n'
USED = GRID + 'methods = ["ptq", "long"]'


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (METHOD + GRID, "no row uses methods.long: known: ptq; name it in the grid"),
        (METHOD.replace("long", "qats") + GRID + 'methods = ["qat"]', "did you mean 'qat'?"),
        (GRID + "seeds = [1, 2, 1]", "grid.seeds has 1 2 times: name it once"),
        (GRID + 'methods = ["ptq", "ptq"]', "grid.methods has ptq 2 times"),
        (GRID + "bits = [7, 4, 4]", "grid.bits has 4 2 times"),
        (
            '[grid]\nrows = [{engine = "litert"}, {engine = "litert", method = "ptq", bits = 7}]',
            "grid.rows has litert int8 ptq 7 bit per channel 2 times: name it once",
        ),
        (
            '[grid]\nrows = [{engine = "litert", precision = "float16", method = "ptq"}]',
            "litert float16 names method, which only int8 has",
        ),
        (
            '[grid]\nrows = [{engine = "litert", precision = "float32", bits = 7}]',
            "litert float32 names bits, which only int8 has",
        ),
        (
            '[grid]\nmethods = ["qat"]\nrows = [{engine = "litert"}]',
            "grid.methods is crossed with grid.engines: name some",
        ),
        (
            '[grid]\nengines = ["litert"]\nprecisions = ["float16"]\nbits = [4]',
            "grid.bits is for int8, which grid.precisions has not",
        ),
        (
            '[grid]\nengines = ["openvino", "fbgemm"]\nfold = [true, false]',
            "fold = false is not for fbgemm: its toolchain starts from the PyTorch module",
        ),
        (
            '[grid]\nrows = [{engine = "litert", fold = false}]',
            "fold = false is not for litert",
        ),
        (METHOD + "lesson = {rate = -1}\n" + USED, "lesson.rate is above 0"),
        (METHOD + "lesson = {rate = nan}\n" + USED, "lesson.rate is above 0"),
        (GRID + 'methods = ["auto"]', "method 'auto' is for one pack"),
        (METHOD + "lesson = {delay = 5}\n" + USED, "methods.long: in float the network already"),
        (
            METHOD.replace("rounding+qat", "rounding") + "labels = true\n" + USED,
            "methods.long: labels: for fine-tuning alone",
        ),
        (
            METHOD.replace("rounding+qat", "equalized") + "lesson = {steps = 5}\n" + USED,
            "methods.long: lesson: for fine-tuning alone",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet, rest: str, said: str
) -> None:
    plan = read_plan(write_plan(tmp_path, road_frames, few_frames, rest))
    with pytest.raises(EdgeSegError) as caught:
        expand(plan)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_quick_form_may_do_without_a_method_but_not_change_it_in_vain(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    rest = METHOD + USED + '\n[quick.grid]\nmethods = ["ptq"]\n'
    path = write_plan(tmp_path, road_frames, few_frames, rest)
    assert [run.method for run in expand(read_plan(path, quick=True))[1]] == ["", "ptq"]
    path.write_text(path.read_text() + "[quick.methods.long]\nlesson = {steps = 5}\n")
    with pytest.raises(EdgeSegError, match=r"no row uses methods\.long"):
        expand(read_plan(path, quick=True))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("32x64", "100x100", "variant 'net': a lane-unet of depth 4 needs an input size"),
        ('size = "32x64"', 'weights = "none.safetensors"', "variant 'net': there are no weights"),
        ('size = "32x64"', 'weights = "torn.safetensors"', "variant 'net': "),
        ("lane-unet", "lane-unt", "unknown model 'lane-unt': did you mean 'lane-unet'"),
        ("lane-unet", "little_network:made", "variant 'net': little_network has no factory 'made'"),
        ('calibration = "', 'calibration = "/nowhere', "data.calibration: "),
        ('evaluation = "', 'evaluation = "/nowhere', "data.evaluation: "),
        ('calibration = "', 'train = "/nowhere"\ncalibration = "', "data.train: "),
    ],
)
def test_a_variant_that_cannot_be_loaded_is_named_before_anything_runs(
    tmp_path: Path,
    road_frames: FrameSet,
    few_frames: FrameSet,
    old: str,
    new: str,
    said: str,
) -> None:
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    path = write_plan(tmp_path, road_frames, few_frames, GRID)
    text = path.read_text().replace("little_network:make", "lane-unet")
    if "train" in new:
        text = text.replace("[grid]", 'weights = "train"\ntrain = {steps = 5}\n[grid]')
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(EdgeSegError) as caught:
        expand(read_plan(path))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_training_is_checked_at_its_own_size_and_not_only_at_its_crops(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    rest = 'weights = "train"\ntrain = {steps = 5, crop = "32x64"}\n' + GRID
    path = write_plan(tmp_path, road_frames, few_frames, rest)
    text = path.read_text().replace('size = "32x64"', 'size = "100x100"')
    text = text.replace("little_network:make", "lane-unet")
    path.write_text(text.replace("[data]", f'[data]\ntrain = "{road_frames.path}"'))
    with pytest.raises(EdgeSegError, match="variant 'net': a lane-unet of depth 4 needs"):
        expand(read_plan(path))


def test_a_jobs_digest_follows_content_and_not_places(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    path = write_plan(tmp_path, road_frames, few_frames, '[grid]\nengines = ["onnxruntime"]')
    _, (run, *_) = expand(read_plan(path))
    moved = msgspec.structs.replace(run.calibration, place="/elsewhere")
    assert digest_of(msgspec.structs.replace(run, calibration=moved)) == digest_of(run)
    other = msgspec.structs.replace(run.calibration, digest="another")
    assert digest_of(msgspec.structs.replace(run, calibration=other)) != digest_of(run)
    assert digest_of(msgspec.structs.replace(run, threads=2)) != digest_of(run)
