"""The card that travels in a bundle: what the model is, what was measured, what it is not for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_seg.bundle.manifest import Candidate, Manifest
from edge_seg.figures import figure

if TYPE_CHECKING:
    from edge_seg.models.model import Model


def model_card(
    manifest: Manifest, model: Model, method: Sequence[str], doubts: Sequence[str]
) -> str:
    """Return the card as Markdown, with the figures of the manifest.

    ``method`` says what was done to the weights and what it found, ``doubts`` what to see to first.
    """
    size = f"{manifest.input.height}x{manifest.input.width}"
    winner = next(c for c in manifest.candidates if c.label == manifest.winner)
    evaluation, calibration = manifest.evaluation, manifest.calibration
    assert evaluation is not None and calibration is not None
    return f"""# {manifest.name}

{model.name}, quantized for {manifest.target} ({manifest.engine.name}, {manifest.precision}).

{_warnings(doubts)}- Weights: {model.source}
- Input: a uint8 BGR frame of any size; the network sees {size}
- Output: a uint8 mask of the frame's size; {_values(manifest)}
- Calibrated on {calibration.name} ({calibration.frames} frames)
{_lines("- ", method)}- Evaluated on {evaluation.name} ({evaluation.frames} frames)

{_table(winner)}

A mask says what the network saw in frames like those it was trained on. It is no safety
function: measure it on frames of the place where it will drive (`edge-seg eval`).
"""


def _warnings(doubts: Sequence[str]) -> str:
    return _lines("**Warning**: ", doubts) + "\n" if doubts else ""


def _lines(begin: str, said: Sequence[str]) -> str:
    return "".join(f"{begin}{line[:1].upper()}{line[1:]}\n" for line in said)


def _values(manifest: Manifest) -> str:
    """Return what the mask's values mean."""
    scale = manifest.classes.depth
    if scale is not None:
        ends = f"{scale.near_m:g} m to {scale.far_m:g} m"
        return f"0 to 254 are distances, {ends}, even in their logarithm"
    names = enumerate(manifest.classes.names)
    return "classes " + ", ".join(f"{index} {name}" for index, name in names)


def _table(winner: Candidate) -> str:
    if winner.depth is not None:
        errors = winner.depth
        return (
            "| SSIM, % | drop, points | RMSE, m | relative error, % | within 1.25, % |\n"
            "|---|---|---|---|---|\n"
            f"| {figure(errors.ssim)} | {figure(winner.drop)} | {figure(errors.rmse_m)} | "
            f"{figure(errors.abs_rel)} | {figure(errors.within_125)} |"
        )
    return f"| class | IoU, % | drop, points |\n|---|---|---|\n{_rows(winner)}"


def _rows(winner: Candidate) -> str:
    rows = [("mean", winner.miou, winner.drop)]
    rows += [(name, iou, winner.class_drop.get(name)) for name, iou in winner.iou.items()]
    return "\n".join(f"| {name} | {figure(iou)} | {figure(drop)} |" for name, iou, drop in rows)
