"""The training loop, flat: batch, forward, loss, backward, step, average, now and then look.

    train(settings, train_frames, val_frames, Path("lane.safetensors"), resume=True)

Writes ``lane.safetensors`` (the averaged weights), ``lane.history.json`` and ``lane.png`` (loss
and IoU over the steps); while it runs, ``lane.checkpoint.safetensors``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch

from edge_seg.errors import EdgeSegError
from edge_seg.files import write_bytes
from edge_seg.metrics import Confusion
from edge_seg.models.weights_file import SCHEMA, Header, save
from edge_seg.preprocess import InputSpec, Mask
from edge_seg.training import state as states
from edge_seg.training.curve import plot
from edge_seg.training.data import prefetched
from edge_seg.training.losses import LOSSES
from edge_seg.training.settings import Settings
from edge_seg.training.state import Record, State
from edge_seg.training.validation import measure

if TYPE_CHECKING:
    from edge_seg.frames import FrameSet

WINDOW = 20
"""Steps between two lines of the history."""
GRADIENT_NORM = 5.0
"""Gradients are cut to this length: one odd batch cannot throw the weights away."""

Report = Callable[[Record], None]


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
    frames: FrameSet,
    validation: FrameSet,
    output: Path,
    *,
    start: Path | None = None,
    resume: bool = False,
    pace: Pace | None = None,
    report: Report | None = None,
) -> State:
    """Train and write the weights; returns the last state.

    Raises `EdgeSegError` where the frame sets do not fit, a checkpoint is in the way, or the
    loss becomes NaN (the last checkpoint stays).
    """
    settings.check()
    pace = pace or Pace()
    checkpoint = output.with_name(f"{output.stem}.checkpoint.safetensors")
    state = _begin(settings, frames, validation, checkpoint, start, resume)
    crop = InputSpec(settings.crop_height, settings.crop_width)
    weights = torch.tensor(settings.class_weights) if settings.class_weights else None
    losses: list[float] = []
    seen = Confusion(len(frames.classes))
    clock = kept = time.monotonic()
    for step, images, masks in prefetched(frames, settings, crop, state.step):
        logits, loss = _step(state, images, masks, weights, step)
        losses.append(loss)
        seen.add(_stacked(logits.argmax(dim=1)), _stacked(masks))
        now = time.monotonic()
        state.seconds += now - clock
        clock = now
        last = state.step == settings.steps
        if state.step % WINDOW == 0 or last:
            state.history.append(_record(state, losses, seen, frames.classes.names))
            losses, seen = [], Confusion(len(frames.classes))
            if state.step % pace.validate_every == 0 or last:
                limit = None if last else pace.validation_frames
                _validate(state, validation, limit)
            if report is not None:
                report(state.history[-1])
            if now - kept > pace.checkpoint_seconds and not last:
                _keep(state, output, checkpoint)
                kept = time.monotonic()
    _finish(state, frames, output)
    checkpoint.unlink(missing_ok=True)
    return state


def _begin(
    settings: Settings,
    frames: FrameSet,
    validation: FrameSet,
    checkpoint: Path,
    start: Path | None,
    resume: bool,
) -> State:
    """Return the state to go on from, with the frame set's digest in its settings."""
    if not frames.has_masks or not validation.has_masks:
        bare = frames if not frames.has_masks else validation
        raise EdgeSegError(f"the frame set {bare.name} has frames without masks: train needs all")
    if frames.classes.names != validation.classes.names:
        raise EdgeSegError(
            f"{frames.name} has the classes {', '.join(frames.classes.names)}, {validation.name} "
            f"has {', '.join(validation.classes.names)}: they must be the same"
        )
    if settings.class_weights and len(settings.class_weights) != len(frames.classes):
        raise EdgeSegError(
            f"{len(settings.class_weights)} class weights for {len(frames.classes)} classes"
        )
    settings = msgspec.structs.replace(settings, frames=frames.digest)
    classes = len(frames.classes)
    if checkpoint.exists():
        if not resume:
            raise EdgeSegError(
                f"{checkpoint} is an unfinished training: go on with --resume, or delete it"
            )
        return states.load_checkpoint(checkpoint, settings, classes)
    state = states.fresh(settings, classes)
    if start is not None:
        states.start_from(state, start)
    return state


def _step(
    state: State,
    images: torch.Tensor,
    masks: torch.Tensor,
    weights: torch.Tensor | None,
    step: int,
) -> tuple[torch.Tensor, float]:
    """Do one step; returns the logits (B, C, h, w) and the loss."""
    settings = state.settings
    torch.manual_seed(settings.seed * 1_000_003 + step)  # dropout follows from the step
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(step, settings)
    state.network.train()
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
        logits = state.network(images)
    logits = logits.float()
    loss = LOSSES[settings.loss](logits, masks, weights)
    if not bool(torch.isfinite(loss)):
        raise EdgeSegError(
            f"the loss became {loss.item()} at step {step}: the last checkpoint is kept; go on "
            f"with --resume and a smaller --lr (now {settings.lr})"
        )
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), GRADIENT_NORM)
    state.optimizer.step()
    state.step = step + 1
    states.update_average(state)
    return logits.detach(), float(loss.detach())


def _stacked(masks: torch.Tensor) -> Mask:
    """Return masks (B, h, w) as one tall mask (B * h, w) uint8, for counting."""
    return masks.flatten(0, 1).numpy().astype(np.uint8)


def percent(confusion: Confusion, names: tuple[str, ...]) -> dict[str, float]:
    """Return the IoU of each class that occurs, in percent."""
    each = zip(names, confusion.iou(), strict=True)
    return {name: round(100 * float(iou), 3) for name, iou in each if not math.isnan(iou)}


def _record(state: State, losses: list[float], seen: Confusion, names: tuple[str, ...]) -> Record:
    return Record(
        step=state.step,
        loss=round(sum(losses) / len(losses), 5),
        lr=learning_rate(state.step - 1, state.settings),
        seconds=round(state.seconds, 1),
        train_iou=percent(seen, names),
    )


def _validate(state: State, validation: FrameSet, limit: int | None) -> None:
    """Measure the averaged weights and add it to the newest line of the history."""
    spec = InputSpec(state.settings.height, state.settings.width)
    confusion = measure(state.average, spec, validation, limit, state.settings.bf16)
    record = state.history[-1]
    record.val_iou = percent(confusion, validation.classes.names)
    record.val_miou = round(100 * float(confusion.miou()), 3)


def _keep(state: State, output: Path, checkpoint: Path) -> None:
    """Write the checkpoint and what can be looked at meanwhile."""
    states.save_checkpoint(checkpoint, state)
    _write_history(state, output)


def _write_history(state: State, output: Path) -> None:
    document = {"settings": msgspec.to_builtins(state.settings), "history": state.history}
    write_bytes(output.with_name(f"{output.stem}.history.json"), msgspec.json.encode(document))
    plot(state.history, output.with_name(f"{output.stem}.png"))


def write_weights(state: State, frames: FrameSet, output: Path) -> None:
    """Write the averaged weights as a weights file that `registry.load` reads."""
    settings = state.settings
    config = states.config_of(settings, len(frames.classes), settings.height, settings.width)
    own = f"{len(frames)} frames of {frames.name}, {state.step} steps, seed {settings.seed}"
    header = Header(
        schema=SCHEMA,
        architecture=settings.model,
        config=msgspec.to_builtins(config),
        classes=frames.classes,
        input=InputSpec(settings.height, settings.width),
        trained_on="; then ".join(filter(None, [settings.start_trained_on, own])),
    )
    save(output, header, state.average.state_dict())


def _finish(state: State, frames: FrameSet, output: Path) -> None:
    write_weights(state, frames, output)
    _write_history(state, output)
