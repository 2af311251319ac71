from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_seg import cache as caches
from edge_seg.cache import LIMIT, Cache, code_digest
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


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_what_was_not_used_for_longest_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT, "1e-5")  # ten thousand bytes
    cache = Cache(tmp_path)
    for hour, name in enumerate("abcd"):
        cache.put(name.encode() * 2000, name)
        os.utime(max(tmp_path.iterdir(), key=lambda p: p.stat().st_mtime), (hour, hour))
    assert cache.get("a") == b"a" * 2000  # used just now: b is the oldest from here on
    cache.put(b"e" * 2000, "e")
    assert [name for name in "abcde" if cache.get(name)] == ["a", "c", "d", "e"]
    assert stored(tmp_path) <= 9000


def test_the_newest_entry_stays_however_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT, "0")
    cache = Cache(tmp_path)
    assert cache.put(b"old", "old") == b"old" and cache.get("old") == b"old"
    cache.put(b"new" * 1000, "new")
    assert cache.get("new") == b"new" * 1000 and cache.get("old") is None
    theirs = tmp_path / f"{temporary_prefix()}abc"  # another process is writing it
    theirs.write_bytes(b"half")
    cache.put(b"newer", "newer")
    assert theirs.exists() and cache.get("new") is None


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(LIMIT, text)
    with pytest.raises(EdgeSegError, match=f"{LIMIT} is '{text}': name gigabytes"):
        Cache(tmp_path)


def _fill(folder: Path, seed: int) -> None:
    cache = Cache(folder)
    for index in range(60):
        payload = bytes([seed]) * (500 + index)
        assert cache.put(payload, str(seed), str(index)) == payload
        assert cache.get(str(seed), str(index - 3)) in (None, bytes([seed]) * (497 + index))


def test_processes_that_remove_at_once_take_nothing_amiss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT, "5e-6")
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_fill, args=(tmp_path, seed)) for seed in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    cache = Cache(tmp_path)
    cache.put(b"last", "last")
    assert stored(tmp_path) <= 5000 and cache.get("last") == b"last"
