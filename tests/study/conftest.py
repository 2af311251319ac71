"""Let the little network that a plan names be found: planning loads it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Import from where a test writes its plan."""
    monkeypatch.syspath_prepend(tmp_path)
