"""A file that ends the process on load ends a child's, once, and that is one line."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest
import rogue

from edge_seg import engines, first_load, worker
from edge_seg.errors import EdgeSegError
from edge_seg.first_load import require_loads
from edge_seg.preprocess import InputSpec

SPEC = InputSpec(8, 8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda _: str(tmp_path / "cache"))
    rogue.install(tmp_path / "rogue", monkeypatch)


def test_a_crash_on_load_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match=r"cannot load the model: .*SIGILL") as caught:
        require_loads(engines.find("rogue"), b"killed-at-load", SPEC, {})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("cache/loaded/*"))


def test_what_loaded_once_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    require_loads(engines.find("rogue"), b"fine", SPEC, {})
    monkeypatch.setattr(worker, "Worker", None)
    require_loads(engines.find("rogue"), b"fine", SPEC, {})
    with pytest.raises(TypeError):
        require_loads(engines.find("rogue"), b"prints", SPEC, {})


def test_a_load_that_hangs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_load, "LIMIT_S", 0.01)
    with pytest.raises(EdgeSegError, match=r"no answer within 0 seconds"):
        require_loads(engines.find("rogue"), b"fine", SPEC, {})


def test_a_cache_that_cannot_be_written_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda _: str(tmp_path / "file"))
    require_loads(engines.find("rogue"), b"fine", SPEC, {})
