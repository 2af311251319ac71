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
- Output: a uint8 mask of the frame's size; classes {_classes(manifest)}
- Calibrated on {calibration.name} ({calibration.frames} frames)
{_lines("- ", method)}- Evaluated on {evaluation.name} ({evaluation.frames} frames)

| class | IoU, % | drop, points |
|---|---|---|
{_rows(winner)}

A mask says what the network saw in frames like those it was trained on. It is no safety
function: measure it on frames of the place where it will drive (`edge-seg eval`).
"""


def _warnings(doubts: Sequence[str]) -> str:
    return _lines("**Warning**: ", doubts) + "\n" if doubts else ""


def _lines(begin: str, said: Sequence[str]) -> str:
    return "".join(f"{begin}{line[:1].upper()}{line[1:]}\n" for line in said)


def _classes(manifest: Manifest) -> str:
    return ", ".join(f"{index} {name}" for index, name in enumerate(manifest.classes.names))


def _rows(winner: Candidate) -> str:
    rows = [("mean", winner.miou, winner.drop)]
    rows += [(name, iou, winner.class_drop.get(name)) for name, iou in winner.iou.items()]
    return "\n".join(f"| {name} | {figure(iou)} | {figure(drop)} |" for name, iou, drop in rows)
