"""The curves of a training, as a picture: loss, and IoU of each class.

plot(history, Path("lane.png"))
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg.errors import MissingRuntimeError
from edge_seg.files import write_bytes

if TYPE_CHECKING:
    from edge_seg.training.state import Record

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
"""Paul Tol's "bright" scheme: seven colours that colour-blind readers tell apart."""


def plot(history: list[Record], path: Path) -> None:
    """Write a PNG, 1200x450 pixels; dots are validation, thin lines are training batches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingRuntimeError(
            "the curve needs matplotlib: pip install 'edge-seg[pack]'"
        ) from error
    figure = Figure(figsize=(12, 4.5), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [record.step for record in history]
    left.plot(steps, [record.loss for record in history], color=COLOURS[0])
    left.set(xlabel="step", ylabel="loss", title="Training loss")
    scores = [scored for record in history for scored in (record.train_iou, record.val_iou or {})]
    names = list(dict.fromkeys(name for scored in scores for name in scored))
    measure = "SSIM" if names == ["SSIM"] else "IoU"
    looked = [record for record in history if record.val_iou is not None]
    for index, name in enumerate(names):
        colour = COLOURS[index % len(COLOURS)]
        seen = [record.train_iou.get(name) for record in history]
        right.plot(steps, seen, color=colour, alpha=0.35, linewidth=1)
        right.plot(
            [record.step for record in looked],
            [(record.val_iou or {}).get(name) for record in looked],
            color=colour,
            marker="o",
            label=name,
        )
    right.set(
        xlabel="step",
        ylabel=f"{measure}, %",
        title=f"{measure}: validation (dots), training batches",
    )
    right.set_ylim(0, 100)
    if names:
        right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())
