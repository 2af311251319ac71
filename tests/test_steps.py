"""Steps: what is told of them, what is shown while they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge_seg.steps import Step, Steps


def test_a_step_is_shown_while_it_runs_and_told_when_it_is_done() -> None:
    events: list[str] = []

    @contextmanager
    def show(name: str) -> Iterator[None]:
        events.append(f"begin {name}")
        yield
        events.append(f"end {name}")

    def notify(step: Step) -> None:
        events.append(f"told {step.name}: {step.detail}")

    steps = Steps(notify, show=show)
    with steps("fold") as step:
        step.detail = "23 layers"
    with pytest.raises(KeyError), steps("ranges"):
        raise KeyError
    assert events == ["begin fold", "end fold", "told fold: 23 layers", "begin ranges"]
    assert [name for name, seconds in steps.finished if seconds >= 0] == ["fold"]
