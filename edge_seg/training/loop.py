"""The training loop, flat: batch, forward, loss, backward, step, average, now and then look.

    train(settings, FrameSetSource(frames), val_frames, Path("lane.safetensors"), resume=True)

Writes ``lane.safetensors`` (the averaged weights), ``lane.history.json`` and ``lane.png`` (loss
and IoU over the steps); while it runs, ``lane.checkpoint.safetensors``. SIGTERM and Ctrl-C keep
a checkpoint of the step that was running and raise `StoppedError`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import nn

from edge_seg.classes import require_same
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.metrics import Confusion
from edge_seg.preprocess import InputSpec, Mask
from edge_seg.training import state as states
from edge_seg.training.data import Batch, prefetched, to_input
from edge_seg.training.losses import DEPTH_LOSSES, LOSSES
from edge_seg.training.outputs import Outputs
from edge_seg.training.precision import quickened
from edge_seg.training.settings import Settings
from edge_seg.training.sources import FrameSetSource, Source
from edge_seg.training.state import Record, State
from edge_seg.training.stop import Stop, StoppedError
from edge_seg.training.team import Team
from edge_seg.training.validation import measure, measure_depth

WINDOW = 20
"""Steps between two lines of the history."""
COUNTED = 5
"""The IoU of every fifth batch is counted: to count takes 2 % of a step on a CPU."""
GRADIENT_NORM = 5.0
"""Gradients are cut to this length: one odd batch cannot throw the weights away."""
GPU_LOADERS = 4
"""Threads that augment for a GPU; a CPU is slower than one thread."""

Report = Callable[[Record], None]
Check = Callable[[], None]


class Pace(msgspec.Struct, frozen=True):
    """How often to look and to keep: changes no number of the training.

    ``validate_every`` steps are looked at where they are a multiple of `WINDOW`.
    """

    validate_every: int = 200
    validation_frames: int = 48
    checkpoint_seconds: float = 60.0


def learning_rate(step: int, settings: Settings) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine down to a hundredth.

    The cosine is Loshchilov and Hutter's (2017, arXiv:1608.03983), without restarts.
    """
    warmup = min(settings.warmup, settings.steps // 10)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, settings.steps - warmup)
    return settings.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def train(
    settings: Settings,
    frames: Source | FrameSet,
    validation: FrameSet,
    output: Path,
    *,
    start: Path | None = None,
    resume: bool = False,
    pace: Pace | None = None,
    report: Report | None = None,
) -> State:
    """Train and write the weights; returns the last state.

    Raises `EdgeSegError` where the frames do not fit, a checkpoint is in the way, or the loss
    becomes NaN (the last checkpoint stays), and `StoppedError` where a signal ended it.
    """
    settings.check()
    pace = pace or Pace()
    source = FrameSetSource(frames) if isinstance(frames, FrameSet) else frames
    require_fitting(settings, source, validation)
    team = Team(settings.bf16)
    positions = team.share(settings.batch)
    outputs = Outputs(output, writes=team.first)
    state = outputs.begin(
        source.identify(settings), len(source.classes), start, resume, team.device
    )
    team.wait()  # nobody writes before everybody has looked what is there
    network = team.prepare(quickened(state.network, team.device, settings.bf16)).train()
    crop = InputSpec(settings.crop_height, settings.crop_width)
    with Stop() as stop:
        # In a team all stop after the same step: one that left earlier would be waited for.
        check = stop.check if team.size == 1 else _nothing
        loaders = 1 if team.device.type == "cpu" else GPU_LOADERS
        batches = prefetched(source, state.settings, crop, state.step, positions, loaders, check)
        clock = kept = time.monotonic()
        try:
            with closing(batches):
                if team.first:
                    _look(state, validation, pace, check)  # where a signal ended this look
                for batch in batches:
                    _step(state, network, team, batch, crop, outputs)
                    now = time.monotonic()
                    state.seconds += now - clock
                    clock = now
                    if state.step % WINDOW == 0 or state.step == settings.steps:
                        _add_line(state, source.classes.names)
                        if team.first:
                            _look(state, validation, pace, check)
                            if report is not None:
                                report(state.history[-1])
                    if now - kept > pace.checkpoint_seconds and state.step < settings.steps:
                        outputs.keep(state)
                        kept = time.monotonic()
                    if number := team.agreed(stop.number):
                        raise StoppedError(number)
        except StoppedError as stopped:
            outputs.keep(state)
            where = f"after step {state.step} of {settings.steps}: go on with --resume"
            raise StoppedError(stopped.number, where) from None
    outputs.finish(state, source)
    return state


def _nothing() -> None:
    """Check for nothing."""


def require_fitting(settings: Settings, source: Source, validation: FrameSet) -> None:
    """Raise `EdgeSegError` where frames, validation and settings are not of one kind."""
    if not validation.has_masks:
        raise EdgeSegError(
            f"the frame set {validation.name} has frames without masks: train needs all"
        )
    require_same(
        validation.classes,
        source.classes,
        (f"validation set '{validation.name}'", f"'{source.name}'"),
        "train and validate on sets that are labelled alike",
    )
    known = LOSSES if source.classes.depth is None else DEPTH_LOSSES
    if settings.loss not in known:
        raise EdgeSegError(
            f"the masks of {source.name} are for {source.classes.task}, which is not learnt by the "
            f"loss {settings.loss}: take {', '.join(known)}"
        )
    if settings.class_weights and source.classes.depth is not None:
        raise EdgeSegError(
            f"class weights are for classes, and the masks of {source.name} hold distances: leave "
            "--class-weights out"
        )
    if settings.class_weights and len(settings.class_weights) != len(source.classes):
        raise EdgeSegError(
            f"{len(settings.class_weights)} class weights for {len(source.classes)} classes"
        )


def _step(
    state: State,
    network: nn.Module,
    team: Team,
    batch: Batch,
    crop: InputSpec,
    outputs: Outputs,
) -> None:
    """Do one step, and note its loss and now and then its masks."""
    settings = state.settings
    torch.manual_seed(settings.seed * 1_000_003 + batch.step)  # dropout follows from the step
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(batch.step, settings)
    images = to_input(team.move(batch.images), crop)
    logits, masks = team.whole(network(images), team.move(batch.masks).long())
    weights = logits.new_tensor(settings.class_weights) if settings.class_weights else None
    loss = (LOSSES | DEPTH_LOSSES)[settings.loss](logits, masks, weights)
    if not bool(torch.isfinite(loss)):
        way_out = (
            "the last checkpoint is kept; go on with --resume and"
            if outputs.has_checkpoint
            else "there is no checkpoint yet; begin again with"
        )
        raise EdgeSegError(
            f"the loss became {loss.item()} at step {batch.step}: {way_out} a smaller --lr "
            f"(now {settings.lr})"
        )
    state.optimizer.zero_grad(set_to_none=True)
    team.backward(loss)
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), GRADIENT_NORM)
    state.optimizer.step()
    state.step = batch.step + 1
    states.update_average(state)
    state.losses.append(float(loss.detach()))
    if batch.step % COUNTED == 0 and settings.loss in LOSSES:
        state.seen.add(_stacked(logits.detach().argmax(dim=1)), _stacked(masks))


def _stacked(masks: torch.Tensor) -> Mask:
    """Return masks (B, h, w) as one tall mask (B * h, w) uint8, for counting."""
    return masks.flatten(0, 1).cpu().numpy().astype(np.uint8)


def percent(confusion: Confusion, names: tuple[str, ...]) -> dict[str, float]:
    """Return the IoU of each class that occurs, in percent."""
    each = zip(names, confusion.iou(), strict=True)
    return {name: round(100 * float(iou), 3) for name, iou in each if not math.isnan(iou)}


def _add_line(state: State, names: tuple[str, ...]) -> None:
    """Add a line to the history, and begin to collect the next."""
    record = Record(
        step=state.step,
        loss=round(sum(state.losses) / len(state.losses), 5),
        lr=learning_rate(state.step - 1, state.settings),
        seconds=round(state.seconds, 1),
        train_iou=percent(state.seen, names),
    )
    state.history.append(record)
    state.losses, state.seen = [], Confusion(len(names))


def _look(state: State, validation: FrameSet, pace: Pace, check: Check) -> None:
    """Measure the averaged weights where the newest line is due and has no measure yet."""
    settings, record = state.settings, state.history[-1] if state.history else None
    last = state.step == settings.steps
    if record is None or record.step != state.step or record.val_iou is not None:
        return
    if state.step % pace.validate_every and not last:
        return
    spec = InputSpec(settings.height, settings.width)
    limit = None if last else pace.validation_frames
    if validation.classes.depth is not None:
        errors = measure_depth(state.average, spec, validation, limit, settings.bf16, check)
        record.val_iou = {"SSIM": round(errors.ssim, 3)} if errors else {}
        return
    confusion = measure(state.average, spec, validation, limit, settings.bf16, check)
    record.val_iou = percent(confusion, validation.classes.names)
    record.val_miou = round(100 * float(confusion.miou()), 3)
