from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_seg import cache as caches
from edge_seg.cache import Cache, code_digest
from edge_seg.errors import EdgeSegError
from edge_seg.files import temporary_prefix

KEYS = st.lists(st.text("abc/\\. é", max_size=4), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200), KEYS)
def test_get_returns_what_put_stored(shared: Cache, payload: bytes, key: list[str]) -> None:
    assert shared.put(payload, *key) == payload
    assert shared.get(*key) == payload
    assert Cache(shared.folder).get(*key) == payload


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeSegError, match=r"cannot keep results in .*set XDG_CACHE_HOME"):
        Cache(tmp_path / "file" / "pack")


def test_what_was_not_stored_is_absent(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put(b"x", "a", "b")
    for key in (("a",), ("b", "a"), ("ab",), ("a", "b", ""), ("", "a", "b")):
        assert cache.get(*key) is None


def test_a_damaged_entry_is_absent(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put(b"payload", "key")
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    for length in range(len(whole)):
        entry.write_bytes(whole[:length])
        assert cache.get("key") is None, length
    for index in range(len(whole)):
        entry.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        assert cache.get("key") is None, index
    entry.write_bytes(whole + b"!")
    assert cache.get("key") is None
    cache.put(b"payload", "key")
    assert cache.get("key") == b"payload"


def test_an_entry_that_cannot_be_read_is_absent(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put(b"payload", "key")
    (entry,) = tmp_path.iterdir()
    entry.unlink()
    entry.mkdir()
    assert cache.get("key") is None


def _hammer(folder: Path, seed: int) -> None:
    cache = Cache(folder)
    for _ in range(40):
        cache.put(bytes([seed]) * 50_000, "key")


def test_processes_that_write_at_once_never_leave_a_part(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_hammer, args=(tmp_path, seed)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    cache = Cache(tmp_path)
    seen = set()
    while any(writer.is_alive() for writer in writers):
        payload = cache.get("key")
        assert payload is None or payload in (b"\1" * 50_000, b"\2" * 50_000)
        seen.add(payload is None)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert cache.get("key") is not None
    assert len(list(tmp_path.iterdir())) == 1


def test_opening_removes_what_a_kill_left_and_nothing_else(tmp_path: Path) -> None:
    dead = next(pid for pid in range(2**22 - 1, 1, -1) if not Path(f"/proc/{pid}").exists())
    ours = tmp_path / f"{temporary_prefix()}abc"
    left = tmp_path / ours.name.replace(f"-{os.getpid()}-", f"-{dead}-")
    entry = tmp_path / ("0" * 64)
    for path in (left, ours, entry):
        path.write_bytes(b"")
    Cache(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([ours, entry])


def test_another_version_of_the_code_makes_its_results_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    (code / "quantize").mkdir(parents=True)
    for name in ("__init__.py", "preprocess.py", "metrics.py", "quantize/qdq.py"):
        (code / name).write_text("one = 1\n")
    cache = Cache(tmp_path / "cache")
    monkeypatch.setattr(caches.edge_seg, "__file__", str(code / "__init__.py"))
    try:
        code_digest.cache_clear()
        cache.put(b"old", "key")
        code_digest.cache_clear()
        assert cache.get("key") == b"old"
        (code / "quantize" / "qdq.py").write_text("one = 2\n")
        code_digest.cache_clear()
        assert cache.get("key") is None
    finally:
        monkeypatch.undo()
        code_digest.cache_clear()
