"""One fine-tuning on its way: teacher, student, the optimizer, and how far they are.

lesson = Lesson(graph, recipe, frames, teacher, settings)
lesson.learn(0)      # one step
lesson.check(1)      # judged on the frames that are held out; the best is remembered
save(path, lesson)   # whole or not at all; resume(path, lesson) goes on with the same numbers
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from safetensors.torch import save as dump
from torch import Tensor
from torch.nn import functional

from edge_seg.files import sha256, write_bytes
from edge_seg.masks import FARTHEST
from edge_seg.preprocess import Frame, Mask
from edge_seg.quantize.learn.curve import Check
from edge_seg.quantize.learn.grids import Grids
from edge_seg.quantize.learn.program import Program, batch, spread
from edge_seg.quantize.qdq import quantize_graph
from edge_seg.quantize.recipe import Recipe, encode

IGNORED = 255
HELD_OUT = 8
"""One frame in so many judges, and does not teach."""
MOST_HELD_OUT = 8
RANGE_RATE = 0.1
"""Of the rate: a range moves in parts of itself, a hundredth is two of its steps."""


def held_out(count: int) -> list[int]:
    """Return the indices of the frames, of so many, that judge and do not teach."""
    return spread(list(range(count)), min(MOST_HELD_OUT, max(1, count // HELD_OUT)))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to fine-tune.

    ``rate`` is in steps of a weight's grid a training step, at its highest: it rises over the first
    tenth and falls to nothing on a cosine. ``delay`` steps are taken in float first, which only
    labels teach anything: without them the float network is its own teacher.
    """

    steps: int = 100
    batch: int = 2
    rate: float = 0.002
    delay: int = 0
    check_every: int = 20
    seed: int = 0


class Lesson:
    """Teacher, student, the optimizer, and how far they are."""

    def __init__(
        self,
        graph: onnx.ModelProto,
        recipe: Recipe,
        frames: Sequence[Frame],
        teacher: onnx.ModelProto,
        settings: Settings,
        labels: Sequence[Mask] | None = None,
    ) -> None:
        quantized = quantize_graph(graph, recipe)
        asked = encode(recipe) + msgspec.json.encode(settings)
        for given in (graph, teacher):
            asked += given.SerializeToString(deterministic=True)
        shown = b"".join(image.tobytes() for image in (*frames, *(labels or ())))
        self.of = sha256(asked + shown)
        self._teacher, self._float, self._student = map(Program, (teacher, graph, quantized))
        self.grids = Grids(graph, quantized, recipe)
        self._settings = settings
        everything = list(range(len(frames)))
        held = held_out(len(frames))
        self._held = batch([frames[index] for index in held])
        self._held_masks = None if labels is None else _masks(labels, held)
        self._taught = [index for index in everything if index not in held] or everything
        self._frames, self._labels = frames, labels
        ranges = [part.delta for part in self.grids.ranges]
        others = [part.delta for part in self.grids.weights]
        others += [part.delta for part in self.grids.biases]
        self.optimizer = torch.optim.Adam(
            [{"params": others, "part": 1.0}, {"params": ranges, "part": RANGE_RATE}], lr=0.0
        )
        self.step = 0
        self._losses: list[float] = []
        with torch.inference_mode():
            self._answers = self._teacher(self._held)
        self.best = self.grids.state()
        self.curve: list[Check] = []
        self.check(0)

    def learn(self, step: int) -> bool:
        """Take one step; return False where the loss is not finite."""
        settings = self._settings
        rng = np.random.default_rng([settings.seed, step])
        chosen = rng.choice(self._taught, settings.batch, len(self._taught) < settings.batch)
        mirrored = rng.random() < 0.5
        frames = batch([self._frames[index] for index in chosen])
        frames = frames.flip(2) if mirrored else frames
        with torch.no_grad():
            answers = self._teacher(frames)
        for group in self.optimizer.param_groups:
            group["lr"] = group["part"] * rate(settings, step)
        self.optimizer.zero_grad()
        given = self._answer(frames, in_float=step < settings.delay)
        masks = None if self._labels is None else _masks(self._labels, chosen)
        loss = _loss(answers, given, masks.flip(2) if mirrored and masks is not None else masks)
        if not math.isfinite(float(loss.detach())):
            return False
        loss.backward()
        self.optimizer.step()
        self._losses.append(float(loss.detach()))
        return True

    def _answer(self, frames: Tensor, in_float: bool) -> Tensor:
        if in_float:
            return self._float(frames, self.grids.in_float())
        return self._student(frames, self.grids())

    def check(self, step: int) -> None:
        """Judge on the frames that are held out, and remember the best."""
        with torch.inference_mode():
            given = self._student(self._held, self.grids())
            held = float(_loss(self._answers, given, self._held_masks))
        mean = float(np.mean(self._losses)) if self._losses else held
        if all(held < point.held_out for point in self.curve):
            self.best = self.grids.state()
        self.curve.append(Check(step, mean, held))
        self.step, self._losses = step, []


def _masks(labels: Sequence[Mask], chosen: Iterable[int]) -> Tensor:
    return torch.from_numpy(np.stack([labels[index] for index in chosen])).long()


def _loss(answers: Tensor, given: Tensor, masks: Tensor | None) -> Tensor:
    """Return what is learnt by: the teacher's answers, and the labels where there are."""
    loss = divergence(answers, given)
    return loss if masks is None else loss + labelled_loss(given, masks)


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the mean divergence of two sets of logits (n, classes, h, w), in nats a pixel.

    Of one channel, a depth, there are no probabilities: it is the mean squared difference.
    """
    if teacher.shape[1] == 1:
        return functional.mse_loss(student, teacher)
    wanted = functional.log_softmax(teacher, 1)
    given = functional.log_softmax(student, 1)
    return (wanted.exp() * (wanted - given)).sum(1).mean()


def labelled_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean cross entropy of the labelled pixels, zero where there are none.

    Of one channel, a depth, it is the mean squared difference from the labels.
    """
    if logits.shape[1] == 1:
        known = masks != IGNORED
        wrong = (logits[:, 0] - masks / FARTHEST) ** 2
        return (wrong * known).sum() / known.sum().clamp(min=1)
    total = functional.cross_entropy(logits, masks, ignore_index=IGNORED, reduction="sum")
    return total / (masks != IGNORED).sum().clamp(min=1)


def rate(settings: Settings, step: int) -> float:
    """Return the rate of a step: a rise over the first tenth, then half a cosine to nothing."""
    total = settings.delay + settings.steps
    rise = max(1, total // 10)
    if step < rise:
        return settings.rate * (step + 1) / rise
    return settings.rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


class _Header(msgspec.Struct):
    """What a checkpoint's header says."""

    of: str
    step: int
    curve: list[Check]


def save(path: Path, lesson: Lesson) -> None:
    """Write where a lesson is, in one rename."""
    tensors = {f"now.{name}": value for name, value in lesson.grids.state().items()}
    tensors |= {f"best.{name}": value for name, value in lesson.best.items()}
    for index, moments in lesson.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
    header = msgspec.json.encode(_Header(lesson.of, lesson.step, lesson.curve)).decode()
    whole = {name: value.clone().contiguous() for name, value in tensors.items()}
    write_bytes(path, dump(whole, {"edge_seg": header}))


def resume(path: Path, lesson: Lesson) -> None:
    """Go on where a checkpoint is; one of another lesson, or a torn one, is passed over."""
    from safetensors import safe_open

    if not path.exists():
        return
    try:
        with safe_open(path, "pt") as file:
            header = msgspec.json.decode((file.metadata() or {})["edge_seg"], type=_Header)
        tensors = load(path.read_bytes())
    except (OSError, KeyError, SafetensorError, msgspec.MsgspecError):
        return
    if header.of != lesson.of:
        return
    lesson.grids.restore(_part(tensors, "now."))
    lesson.best = _part(tensors, "best.")
    lesson.step, lesson.curve = header.step, header.curve
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "adam.").items():
        index, moment = name.split(".", 1)
        state.setdefault(int(index), {})[moment] = value
    lesson.optimizer.load_state_dict({**lesson.optimizer.state_dict(), "state": state})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}
