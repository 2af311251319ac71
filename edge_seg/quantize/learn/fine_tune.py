"""Quantization-aware fine-tuning: the quantized network learns to give the float one's answers.

    learnt = fine_tune(graph, recipe, frames, teacher, Settings(steps=100))
    learnt.graph, learnt.recipe

The Q/DQ graph that the engines get is run with straight-through gradients (Jacob et al. 2018,
arXiv:1712.05877), its weights, biases and ranges (Esser et al. 2020, arXiv:1902.08153) learn, and
the float network on the same frames is the teacher (Hinton et al. 2015, arXiv:1503.02531: the
divergence of the class probabilities), so that no labels are needed. Batch norm was folded before:
it is frozen from the first step on. Some frames are held out, and what is kept is what was best on
them; with none better, the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import onnx

from edge_seg.preprocess import Frame, Mask
from edge_seg.progress import Track, silent
from edge_seg.quantize.learn.curve import Check, best
from edge_seg.quantize.learn.lesson import Lesson, Settings, resume, save
from edge_seg.quantize.ranges import collect_ranges
from edge_seg.quantize.recipe import Recipe


@dataclass(frozen=True)
class Learnt:
    """What came of it. ``stopped`` says why it ended early, if it did."""

    graph: onnx.ModelProto
    recipe: Recipe
    curve: list[Check]
    stopped: str = ""

    @property
    def summary(self) -> str:
        """What was learnt, in a line."""
        first, kept = self.curve[0], best(self.curve)
        ended = f"; {self.stopped}" if self.stopped else ""
        return (
            f"fine-tuning: the loss on held-out frames went from {first.held_out:.3g} to "
            f"{kept.held_out:.3g}, best at step {kept.step} of "
            f"{self.curve[-1].step}{ended}"
        )


def fine_tune(
    graph: onnx.ModelProto,
    recipe: Recipe,
    frames: Sequence[Frame],
    teacher: onnx.ModelProto,
    settings: Settings | None = None,
    labels: Sequence[Mask] | None = None,
    track: Track = silent,
    checkpoint: Path | None = None,
) -> Learnt:
    """Fine-tune a float graph for its recipe; ``frames`` are uint8 BGR at the network's size.

    ``teacher`` is the float graph whose answers are learnt: ``graph`` itself, or what it was
    before its biases were corrected for the grid.
    ``labels`` are masks of the frames at that size, class ids with 255 for what is not labelled.
    With ``checkpoint`` a run that was cut off goes on where it last checked. Raises
    `EdgeSegError` where an operator of the graph has no gradient here.
    """
    settings = settings or Settings()
    lesson = Lesson(graph, recipe, frames, teacher, settings, labels)
    if checkpoint is not None:
        resume(checkpoint, lesson)
    stopped = ""
    left = range(lesson.step, settings.delay + settings.steps)
    for step in track(left, "fine-tuning", len(left)):
        if not lesson.learn(step):
            stopped = f"the loss was not finite at step {step}: the best until then is kept"
            break
        if (step + 1) % settings.check_every == 0 or step == left[-1]:
            lesson.check(step + 1)
            if checkpoint is not None:
                save(checkpoint, lesson)
    lesson.grids.restore(lesson.best)
    tuned, learnt = lesson.grids.learnt(graph)
    # What lies inside a fusion has no grid in this graph, and may have one in another engine's.
    ranges = collect_ranges(tuned, frames, rule=recipe.range_rule) | learnt
    decided = msgspec.structs.replace(recipe, ranges=dict(sorted(ranges.items())))
    return Learnt(tuned, decided, lesson.curve, stopped)
