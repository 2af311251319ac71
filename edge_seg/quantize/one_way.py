"""Networks that go another way for another frame: a graph has one way, and cannot hold them.

    require_one_way(model, example, warned)    # what the tracer warned of

The tracer takes the branch that its example takes, and only warns. Its warnings also come where a
shape is compared, which never changes here; torch.export, which follows values, tells them apart.
"""

from __future__ import annotations

import contextlib
import linecache
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg.errors import EdgeSegError
from edge_seg.quiet import quiet

if TYPE_CHECKING:
    import torch

    from edge_seg.models.model import Model

TOLD = "Converting a tensor to a Python"
"""How the tracer's warnings of a branch, or of a number that code computes with, begin."""


def require_one_way(
    model: Model, example: torch.Tensor, warned: Sequence[warnings.WarningMessage]
) -> None:
    """Raise `EdgeSegError` with the line where a model's way depends on what the frame shows."""
    import torch
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    places = [w for w in warned if str(w.message).startswith(TOLD)]
    if not places or model.module is None:
        return
    try:
        with quiet(), _no_logs(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.export(model.module, (example,), strict=False)
    except GuardOnDataDependentSymNode as error:
        line = "; ".join(dict.fromkeys(_line(place) for place in places))
        raise EdgeSegError(
            f"model '{model.name}' goes another way for another frame, and a packed network has "
            f"one: {line}. Compute both and choose with torch.where, or take the branch out"
        ) from error
    except Exception:  # not everything that can be traced can be exported: it says nothing here
        return


@contextlib.contextmanager
def _no_logs() -> Iterator[None]:
    """Keep torch from printing the graph that it got to: it logs that as an error."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _line(place: warnings.WarningMessage) -> str:
    code = linecache.getline(place.filename, place.lineno).strip()
    return f"{Path(place.filename).name} line {place.lineno}: {code}"
