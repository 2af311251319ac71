"""The loop: it learns, a killed training goes on with the same numbers, a NaN stops it."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch
from drawn import road_set

from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.models import registry, weights_file
from edge_seg.training import loop, state
from edge_seg.training.command import prepare
from edge_seg.training.loop import Pace, learning_rate, train
from edge_seg.training.settings import Scenes, Settings, first_difference
from edge_seg.training.sources import FrameSetSource
from edge_seg.training.state import Record
from edge_seg.training.stop import StoppedError as SignalledError

SMALL = Settings(
    options={"depth": 2},
    steps=40,
    batch=2,
    warmup=4,
    height=96,
    width=128,
    crop_height=64,
    crop_width=96,
)
EVERY_LINE = Pace(validate_every=20, validation_frames=2, checkpoint_seconds=0)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameSet, FrameSet]:
    folder = tmp_path_factory.mktemp("sets")
    return road_set(folder / "train", 12), road_set(folder / "val", 3, 1000)


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class StoppedError(Exception):
    """Stands for a kill: raised out of the loop right after a checkpoint."""


def stop_at(step: int) -> loop.Report:
    def report(record: Record) -> None:
        if record.step > step:
            raise StoppedError

    return report


@pytest.mark.parametrize(
    "model", ["lane-unet", pytest.param("deeplabv3plus-mobilenetv2", marks=pytest.mark.slow)]
)
def test_resumed_training_is_the_uninterrupted_one_bit_for_bit(
    sets: tuple[FrameSet, FrameSet], tmp_path: Path, model: str
) -> None:
    options = {"depth": 2} if model == "lane-unet" else {}
    settings = msgspec.structs.replace(SMALL, model=model, options=options)
    whole = train(settings, *sets, tmp_path / "whole.safetensors", pace=EVERY_LINE)
    with pytest.raises(StoppedError):
        train(settings, *sets, tmp_path / "cut.safetensors", pace=EVERY_LINE, report=stop_at(20))
    checkpoint = tmp_path / "cut.checkpoint.safetensors"
    assert checkpoint.exists()
    with pytest.raises(EdgeSegError, match="go on with --resume"):
        train(settings, *sets, tmp_path / "cut.safetensors")
    resumed = train(settings, *sets, tmp_path / "cut.safetensors", resume=True, pace=EVERY_LINE)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name
    assert [r.loss for r in resumed.history] == [r.loss for r in whole.history]
    first, second = (tmp_path / f"{name}.safetensors" for name in ("whole", "cut"))
    assert first.read_bytes() == second.read_bytes()
    assert not checkpoint.exists()


class SignallingSource(FrameSetSource):
    """Sends the process a signal when it is asked for the frames of a step."""

    def __init__(self, frames: FrameSet, step: int, number: int) -> None:
        super().__init__(frames)
        self.step, self.number = step, number

    def open(self, settings: Settings, first: int, positions: range) -> object:
        feed = super().open(settings, first, positions)
        original = feed.frame

        def frame(step: int, position: int) -> object:
            if step == self.step:
                self.step = -1
                os.kill(os.getpid(), self.number)
            return original(step, position)

        feed.frame = frame
        return feed


def test_stopped_by_signals_time_and_again_it_is_the_uninterrupted_training(
    sets: tuple[FrameSet, FrameSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = Pace(validate_every=20, validation_frames=2)
    whole = train(SMALL, *sets, tmp_path / "whole.safetensors", pace=pace)
    output, stops = tmp_path / "cut.safetensors", []
    # The last one comes while the network is being measured, at step 20.
    look = loop.measure
    monkeypatch.setattr(
        loop, "measure", lambda *args: os.kill(os.getpid(), signal.SIGTERM) or look(*args)
    )
    for step, number in ((6, signal.SIGTERM), (17, signal.SIGINT), (-1, signal.SIGTERM)):
        source = SignallingSource(sets[0], step, number)
        with pytest.raises(SignalledError, match=r"after step \d+ of 40: go on") as stopped:
            train(SMALL, source, sets[1], output, resume=True, pace=pace)
        stops.append(int(str(stopped.value).split()[5]))
        assert stopped.value.exit_code == 128 + number
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    monkeypatch.setattr(loop, "measure", look)
    assert 0 < stops[0] < stops[1] < stops[2] == 20
    resumed = train(SMALL, *sets, output, resume=True, pace=pace)
    assert output.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name
    lines = [
        [msgspec.structs.replace(record, seconds=0.0) for record in done.history]
        for done in (whole, resumed)
    ]
    assert lines[0] == lines[1]


def test_a_finished_training_is_not_begun_again(
    sets: tuple[FrameSet, FrameSet], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(SMALL, steps=2)
    train(settings, *sets, tmp_path / "lane.safetensors", resume=True)
    with pytest.raises(EdgeSegError, match="is a finished training: name another"):
        train(settings, *sets, tmp_path / "lane.safetensors", resume=True)


def test_it_learns_and_leaves_weights_history_and_curve(
    sets: tuple[FrameSet, FrameSet], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(SMALL, steps=120, batch=4, augment=False, lr=5e-3, ema=0.9)
    settings = msgspec.structs.replace(settings, crop_height=96, crop_width=128)
    done = train(settings, *sets, tmp_path / "lane.safetensors")
    assert done.history[-1].loss < done.history[0].loss / 2
    assert (done.history[-1].val_iou or {})["road"] > 85
    model = registry.load("lane-unet", tmp_path / "lane.safetensors")
    assert (model.input.height, model.input.width) == (96, 128)
    assert "12 frames of train, 120 steps, seed 0" in model.source
    history = msgspec.json.decode((tmp_path / "lane.history.json").read_bytes())
    assert [line["step"] for line in history["history"]] == list(range(20, 121, 20))
    assert (tmp_path / "lane.png").read_bytes().startswith(b"\x89PNG")


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_checkpoint(
    sets: tuple[FrameSet, FrameSet], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(SMALL, class_weights=(1.0, 1.0, 1.0))
    poison = {"at": 0}

    def report(record: Record) -> None:
        poison["at"] = record.step

    original = loop.LOSSES[settings.loss]
    try:
        loop.LOSSES[settings.loss] = lambda logits, masks, weights: (
            original(logits, masks, weights) * (float("nan") if poison["at"] else 1.0)
        )
        with pytest.raises(EdgeSegError, match=r"nan at step 20.*--resume and a smaller --lr"):
            train(settings, *sets, tmp_path / "lane.safetensors", pace=EVERY_LINE, report=report)
    finally:
        loop.LOSSES[settings.loss] = original
    assert not (tmp_path / "lane.safetensors").exists()
    slower = msgspec.structs.replace(settings, lr=1e-4)
    train(slower, *sets, tmp_path / "lane.safetensors", resume=True)


def test_a_loss_that_is_none_before_a_checkpoint_is_not_to_be_resumed(
    sets: tuple[FrameSet, FrameSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {SMALL.loss: lambda logits, masks, weights: logits.sum() * float("inf")}
    monkeypatch.setattr(loop, "LOSSES", loop.LOSSES | broken)
    with pytest.raises(EdgeSegError, match=r"no checkpoint yet; begin again with a smaller --lr"):
        train(SMALL, *sets, tmp_path / "lane.safetensors")
    assert not list(tmp_path.iterdir())


def test_resume_with_other_settings_is_refused(
    sets: tuple[FrameSet, FrameSet], tmp_path: Path
) -> None:
    output = tmp_path / "lane.safetensors"
    with pytest.raises(StoppedError):
        train(SMALL, *sets, output, pace=EVERY_LINE, report=stop_at(20))
    with pytest.raises(EdgeSegError, match="batch was 2 and is now 3"):
        train(msgspec.structs.replace(SMALL, batch=3), *sets, output, resume=True)
    with pytest.raises(EdgeSegError, match="frames was"):
        train(SMALL, sets[1], sets[1], output, resume=True)
    checkpoint = tmp_path / "lane.checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(EdgeSegError, match="no checkpoint"):
        train(SMALL, *sets, output, resume=True)


def test_start_from_weights(sets: tuple[FrameSet, FrameSet], tmp_path: Path) -> None:
    first = train(SMALL, *sets, tmp_path / "a.safetensors")
    again = state.fresh(SMALL, 3)
    state.start_from(again, tmp_path / "a.safetensors")
    kept = first.average.state_dict()["head.weight"].half().float()
    assert torch.equal(again.network.state_dict()["head.weight"], kept)


def test_weights_name_every_training_they_went_through(
    sets: tuple[FrameSet, FrameSet], tmp_path: Path
) -> None:
    train(SMALL, *sets, tmp_path / "a.safetensors")
    settings = prepare(SMALL, tmp_path / "b.safetensors", tmp_path / "a.safetensors", 0)
    train(settings, *sets, tmp_path / "b.safetensors", start=tmp_path / "a.safetensors")
    header = weights_file.read(tmp_path / "b.safetensors").header
    one = f"12 frames of train, {SMALL.steps} steps, seed {SMALL.seed}"
    assert header is not None and header.trained_on == f"{one}; then {one}"


def test_learning_rate_warms_up_and_falls_to_a_hundredth() -> None:
    settings = Settings(steps=1000, warmup=100, lr=1.0)
    rates = [learning_rate(step, settings) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[99] == pytest.approx(1.0)
    assert rates[550] == pytest.approx(0.505, abs=0.001)
    assert rates[-1] == pytest.approx(0.01, abs=0.001)
    assert all(a >= b for a, b in itertools.pairwise(rates[100:]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"loss": "dise"}, "did you mean 'dice'"),
        ({"model": "lane-net"}, "did you mean 'lane-unet'"),
        ({"options": {"bass": 3}}, "no option 'bass': did you mean 'base'"),
        ({"steps": 0}, "steps must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0, not nan"),
        ({"class_weights": (1.0, 1.0, float("nan"))}, "class weights are 0 or above"),
        ({"options": {"base": "x"}}, "an option of lane-unet does not fit"),
        ({"options": {"height": 64}}, "'height' is no option: it comes from --size"),
        ({"class_weights": (1.0, 2.0)}, "2 class weights for 3 classes"),
    ],
)
def test_wrong_settings_are_one_line(
    sets: tuple[FrameSet, FrameSet], tmp_path: Path, change: dict[str, object], says: str
) -> None:
    with pytest.raises(EdgeSegError, match=says):
        train(msgspec.structs.replace(SMALL, **change), *sets, tmp_path / "x.safetensors")


def test_frames_without_masks_are_refused(sets: tuple[FrameSet, FrameSet], tmp_path: Path) -> None:
    from drawn import road

    from edge_seg.frames import FrameSetWriter

    with FrameSetWriter(tmp_path / "bare", name="bare", licence="x", source="x") as writer:
        writer.add(road(0)[0], id="a")
    bare = FrameSet.open(tmp_path / "bare")
    with pytest.raises(EdgeSegError, match="bare has frames without masks"):
        train(SMALL, bare, sets[1], tmp_path / "x.safetensors")


def test_the_first_difference_of_scenes_is_named() -> None:
    one, other = (Settings(scenes=Scenes(terms={"night": value})) for value in (0.0, 1.0))
    assert first_difference(one, one) == ""
    assert first_difference(other, one) == "terms was {'night': 0.0} and is now {'night': 1.0}"
    assert first_difference(Settings(), one).startswith("scenes was Scenes(")


def test_only_the_learning_rate_may_change() -> None:
    assert first_difference(Settings(lr=1.0), Settings(lr=2.0)) == ""
    assert first_difference(Settings(seed=1), Settings(seed=2)) == "seed was 2 and is now 1"


def test_a_difference_is_in_the_command_s_words() -> None:
    small, large = ({"options": {"depth": "2", "base": value}} for value in ("16", "32"))
    says = "--option base was 32 and is now 16"
    assert first_difference(Settings(**small), Settings(**large)) == says
    says = "--option depth was 2 and is now not given"
    assert first_difference(Settings(), Settings(options={"depth": "2"})) == says
    one, other = Settings(start="1" * 64), Settings(start="2" * 64)
    assert first_difference(one, other) == "--start was another file"
    assert first_difference(one, Settings()) == "--start was not given and is now"
    assert first_difference(Settings(), one) == "--start was given and is not now"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_command_leaves_a_checkpoint_to_resume_from(
    sets: tuple[FrameSet, FrameSet], tmp_path: Path, number: int
) -> None:
    words = [
        *(sys.executable, "-m", "edge_seg.cli", "train"),
        *("--train", str(sets[0].path), "--val", str(sets[1].path)),
        *("-o", str(tmp_path / "lane.safetensors"), "--option", "depth=2"),
        *("--steps", "60", "--batch", "2", "--size", "96x128", "--crop", "64x96"),
        *("--threads", "1", "--checkpoint-seconds", "0"),
    ]
    checkpoint = tmp_path / "lane.checkpoint.safetensors"
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):
        if checkpoint.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, errors = process.communicate()
    assert checkpoint.exists()
    assert not (tmp_path / "lane.safetensors").exists()
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert re.match(r"error: stopped by SIGTERM after step \d+ of 60: go on", errors)
        return
    done = subprocess.run([*words, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "validation" in done.stdout
    assert registry.load("lane-unet", tmp_path / "lane.safetensors").module is not None
