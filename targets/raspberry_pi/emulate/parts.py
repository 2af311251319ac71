"""Folders that appear whole or not at all, kept by the digest of what they are made from.

    folder = part(cache, "wheels", digest, make)    # make(temporary) fills it, the first time

Law: a folder that `part` returns was filled by a ``make`` that ended well. It is built beside
its goal and renamed; a process that is killed leaves a temporary folder, which the next one
removes. Two processes that want the same part wait for each other.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from edge_seg.errors import EdgeSegError
from edge_seg.files import explain, remove_stale, sha256, temporary_prefix

LOCK_LIMIT_S = 1800.0
"""Longer than any part takes to make."""
KEPT = 4
KEPT_S = 3600.0
"""The parts of a name that were asked for last are kept, and all that were within an hour: code
that is worked on makes many."""


def cache_folder() -> Path:
    """Return the folder that keeps what was downloaded and unpacked, made where it is missing."""
    folder = Path(platformdirs.user_cache_dir("edge-seg")) / "raspberry-pi"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgeSegError(
            f"cannot keep packages in {folder} ({error.strerror}): set XDG_CACHE_HOME to a "
            "folder that you may write"
        ) from error
    return folder


def key(*inputs: str) -> str:
    """Return a short digest of all that a part is made from."""
    return sha256("\0".join(inputs).encode())[:16]


def part(folder: Path, name: str, digest: str, make: Callable[[Path], None]) -> Path:
    """Return the folder ``name-digest``, filled by ``make`` where it is not there yet."""
    goal = folder / f"{name}-{digest}"
    if not goal.is_dir():
        with _locked(folder / f"{name}.lock"):
            if not goal.is_dir():  # the process that had the lock made it
                _build(goal, make)
                _prune(folder, name)
    with contextlib.suppress(OSError):
        os.utime(goal)
    return goal


def _build(goal: Path, make: Callable[[Path], None]) -> None:
    remove_stale(goal.parent)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=temporary_prefix(), dir=goal.parent))
    except OSError as error:
        raise explain(error, goal) from error
    try:
        make(temporary)
        temporary.chmod(0o755)
        os.sync()  # thousands of files, which must be on the disk before their folder's name is
        temporary.rename(goal)
    except OSError as error:
        raise explain(error, goal) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _prune(folder: Path, name: str) -> None:
    """Remove parts that were not asked for lately."""
    parts = [path for path in folder.glob(f"{name}-*") if len(path.name) == len(name) + 17]
    ages = sorted((time.time() - path.stat().st_mtime, path) for path in parts)
    for age, path in ages[KEPT:]:
        if age > KEPT_S:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import filelock

    try:
        with filelock.FileLock(path, timeout=LOCK_LIMIT_S):
            yield
    except OSError as error:
        if not isinstance(error, filelock.Timeout):
            raise explain(error, path) from error
        raise EdgeSegError(
            f"another process has been making {path.stem} for {LOCK_LIMIT_S / 60:.0f} minutes: "
            "end it, then run again"
        ) from None
