"""Files that appear whole or not at all, and their digests.

    with atomic_write(path) as file:
        file.write(payload)

A reader of ``path`` sees the old content or the new, never a part: the bytes go to a
temporary file beside the goal, are flushed to the disk, and are renamed over it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from edge_seg.errors import EdgeSegError, NoSpaceError

TEMPORARY_PREFIX = ".edge-seg-"
"""Every temporary file of this project begins so; `remove_stale` clears what a kill left."""


def temporary_prefix() -> str:
    """Return how this process's temporary names begin: who made them, and in which container.

    A process number means something in its own namespace only (pid_namespaces(7)); containers
    may share a folder.
    """
    return f"{TEMPORARY_PREFIX}{_namespace()}-{os.getpid()}-"


def _namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:  # no Linux
        return "0"


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes ``path`` on success and vanishes on failure.

    Raises `EdgeSegError` when the folder is missing or read-only, or the disk is full.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=temporary_prefix())
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def write_bytes(path: Path | str, payload: bytes) -> None:
    """Write ``payload`` to ``path``, whole or not at all."""
    with atomic_write(path) as file:
        file.write(payload)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explain(error: OSError, path: Path | str) -> EdgeSegError:
    """Turn an operating system error at ``path`` into one line with the way out."""
    if error.errno == errno.EISDIR:
        return EdgeSegError(f"cannot write {path}: it is a folder; name a file in it")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return EdgeSegError(f"cannot write {path}: a file is in the way of a folder of its name")
    if error.errno == errno.ENOSPC:
        return NoSpaceError(f"no space left on the disk of {path}: free some, then run again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return EdgeSegError(f"cannot write {path}: permission denied; choose another place")
    if error.errno == errno.ENOENT and Path(path).parent.is_dir():
        return EdgeSegError(f"cannot write {path}: this place takes no files; choose another")
    if error.errno == errno.ENOENT:
        return EdgeSegError(f"cannot write {path}: the folder does not exist; create it first")
    return EdgeSegError(f"cannot write {path}: {error.strerror or error}")


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a temporary folder that vanishes at the end; what earlier kills left vanishes too."""
    place = Path(tempfile.gettempdir())
    remove_stale(place)
    try:
        folder = tempfile.mkdtemp(prefix=temporary_prefix(), dir=place)
    except OSError as error:
        raise explain(error, place) from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def libraries_in_scratch() -> Iterator[None]:
    """Have what libraries write to the temporary folder go to a scratch folder meanwhile.

    Their own folders stay for ever after a kill; ours are taken away by the next command.
    """
    with scratch_folder() as folder:
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before


def require_writable(path: Path) -> None:
    """Raise `EdgeSegError` where ``path`` could not be written: better now than after the work."""
    if path.is_dir():
        raise EdgeSegError(f"cannot write {path}: it is a folder; name a file in it")
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(b"x")
    except OSError as error:
        raise explain(error, path) from error


def require_apart(goals: Sequence[Path], inputs: Sequence[Path] = ()) -> None:
    """Raise `EdgeSegError` where one file is to be written twice, or is also read."""
    places = [path.resolve() for path in goals]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise EdgeSegError(f"{goals[index]} is named for two results: name two files")
        if any(path.exists() and path.resolve() == place for path in inputs):
            raise EdgeSegError(
                f"{goals[index]} is also what is read: it would be lost; name another"
            )


def require_space(folder: Path, needed: int) -> None:
    """Raise `NoSpaceError` where fewer than ``needed`` bytes are free: better now than halfway."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoSpaceError(
            f"{folder} has {free / 1e6:.0f} MB free and {needed / 1e6:.0f} MB are needed: "
            "free some, then run again"
        )


def remove_stale(folder: Path) -> None:
    """Remove temporary files and folders in ``folder`` whose process is gone (left by a kill)."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}{_namespace()}-*"):
        owner = leftover.name[len(TEMPORARY_PREFIX) :].split("-")[1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
                continue
            with contextlib.suppress(OSError):
                leftover.unlink()


def sha256(payload: bytes) -> str:
    """Return the hex SHA-256 digest of ``payload``."""
    return hashlib.sha256(payload).hexdigest()


def sha256_file(path: Path | str) -> str:
    """Return the hex SHA-256 digest of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
