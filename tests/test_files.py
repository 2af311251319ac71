from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_seg.errors import EdgeSegError, NoSpaceError
from edge_seg.files import (
    TEMPORARY_PREFIX,
    atomic_write,
    explain,
    libraries_in_scratch,
    remove_stale,
    require_space,
    require_writable,
    scratch_folder,
    sha256,
    sha256_file,
    temporary_prefix,
    write_bytes,
)

DEAD = next(pid for pid in range(2**22 - 1, 1, -1) if not Path(f"/proc/{pid}").exists())
"""The id of a process that is not there."""
BY_THE_DEAD = temporary_prefix().replace(f"-{os.getpid()}-", f"-{DEAD}-")


def test_a_file_appears_whole_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    write_bytes(path, b"payload")
    assert path.read_bytes() == b"payload"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_until_the_end_a_reader_sees_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    write_bytes(path, b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, EdgeSegError])
def test_on_an_error_the_old_content_stays_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "x.bin"
    write_bytes(path, b"old")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match="the folder does not exist; create it first"):
        write_bytes(tmp_path / "no" / "x.bin", b"")


def test_a_folder_in_the_files_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.bin").mkdir()
    with pytest.raises(EdgeSegError, match=r"cannot write .*x\.bin"):
        write_bytes(tmp_path / "x.bin", b"")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.bin"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a disk of 64 kB cannot be mounted here: that takes root's rights")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_line_and_the_old_file_stays(small_disk: Path) -> None:
    path = small_disk / "x.bin"
    write_bytes(path, b"old")
    with pytest.raises(EdgeSegError, match=r"no space left on the disk of .*free some"):
        write_bytes(path, bytes(1 << 20))
    assert path.read_bytes() == b"old"
    assert list(small_disk.iterdir()) == [path]


def test_a_small_disk_is_refused_before_the_work(small_disk: Path) -> None:
    require_space(small_disk, 1000)
    with pytest.raises(NoSpaceError, match=r"MB free and 1000 MB are needed"):
        require_space(small_disk, 10**9)


def test_a_disk_that_fills_at_the_last_moment_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)  # where a network file system says so
    with pytest.raises(EdgeSegError, match="no space left"):
        write_bytes(tmp_path / "x.bin", b"payload")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that may not be written to, by a user who is not root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)  # nobody: root may write everywhere
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_a_read_only_folder_is_one_line(read_only: Path) -> None:
    for write in (lambda path: write_bytes(path, b""), require_writable):
        with pytest.raises(EdgeSegError, match="permission denied; choose another place"):
            write(read_only / "x.bin")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "permission denied"),
        (errno.ENOENT, "does not exist"),
        (errno.EIO, "Input/output error"),
        (errno.ENAMETOOLONG, "File name too long"),
    ],
)
def test_every_refusal_of_the_system_is_one_line_with_the_place(code: int, words: str) -> None:
    message = str(explain(OSError(code, os.strerror(code)), "nowhere/x.bin"))
    assert words in message and "nowhere/x.bin" in message and "\n" not in message


def test_what_could_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    require_writable(tmp_path / "old")
    require_writable(tmp_path / "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_what_could_not_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match="it is a folder"):
        require_writable(tmp_path)
    with pytest.raises(EdgeSegError, match="does not exist"):
        require_writable(tmp_path / "no" / "x")


def test_only_the_leftovers_of_dead_processes_are_removed(tmp_path: Path) -> None:
    dead_file = tmp_path / f"{BY_THE_DEAD}a"
    dead_folder = tmp_path / f"{BY_THE_DEAD}b"
    kept = [
        tmp_path / f"{temporary_prefix()}c",  # being written
        tmp_path / f"{TEMPORARY_PREFIX}notes",  # nobody's number
        tmp_path / f"{TEMPORARY_PREFIX}1-{DEAD}-e",  # of another container, where it may live
        tmp_path / f"mine-{DEAD}-d",
    ]
    dead_folder.mkdir()
    (dead_folder / "inner").write_bytes(b"")
    for path in (dead_file, *kept):
        path.write_bytes(b"")
    remove_stale(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_link_in_a_leftovers_place_is_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_bytes(b"")
    place = tmp_path / "place"
    place.mkdir()
    (place / f"{BY_THE_DEAD}a").symlink_to(mine, target_is_directory=True)
    remove_stale(place)
    assert (mine / "file").exists()
    assert not list(place.iterdir())


def test_a_scratch_folder_vanishes_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{BY_THE_DEAD}left"
    left.mkdir()
    with contextlib.suppress(ValueError), scratch_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder]
        (folder / "x").write_bytes(b"")
        raise ValueError
    assert not list(tmp_path.iterdir())


def test_an_error_inside_a_scratch_folder_is_passed_on_as_it_is() -> None:
    with pytest.raises(FileNotFoundError), scratch_folder():
        Path("/no/such/file").read_bytes()


def test_digests_are_sha256(tmp_path: Path) -> None:
    payload = bytes(range(256)) * 10_000  # more than one block
    (tmp_path / "x").write_bytes(payload)
    assert sha256(payload) == sha256_file(tmp_path / "x") == hashlib.sha256(payload).hexdigest()


def test_what_libraries_write_meanwhile_is_in_a_folder_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with libraries_in_scratch():
        folder = Path(tempfile.mkdtemp(prefix="library."))
        assert folder.parent.name.startswith(TEMPORARY_PREFIX)
        assert folder.parent.parent == tmp_path
    assert tempfile.gettempdir() == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
