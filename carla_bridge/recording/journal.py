"""The working folder of a recording: every frame is on the disk, whole, as soon as it is taken.

    with Journal.open(Path("my_set"), request) as journal:
        if slot.index not in journal.entries:
            journal.add(entry, frame_jpeg, mask_png)

Beside the goal ``my_set`` lies ``my_set.part`` with ``request.json``, the frames and masks, and
``journal.jsonl``: a line a frame, written after its files and with their digests. After a kill at
any moment, a line that is cut off or whose files are not as it says counts as not written.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType

import msgspec
from filelock import FileLock, Timeout

from carla_bridge.recording.places import Bend, Pose
from carla_bridge.recording.plan import Request
from edge_seg.errors import EdgeSegError
from edge_seg.files import explain, remove_stale, sha256, sha256_file, write_bytes

REQUEST, LINES, LOCK = "request.json", "journal.jsonl", "lock"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One slot of the plan, done: a frame, or (without digests) none after all tries."""

    slot: int
    map: str
    weather: str
    light: str
    bend: Bend
    camera: Pose
    cars_around: int
    skipped: tuple[str, ...] = ()
    """Why earlier tries were not kept, a word each."""
    frame_sha256: str = ""
    mask_sha256: str = ""
    picture: str = ""
    """The frame's difference hash, hexadecimal."""

    @property
    def kept(self) -> bool:
        """Whether there is a frame."""
        return bool(self.frame_sha256)


class Journal:
    """An open working folder; one process may have it."""

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.folder = folder
        self.entries: dict[int, Entry] = {}
        self._lock = lock

    @classmethod
    def open(cls, goal: Path, request: Request) -> Journal:
        """Open the working folder beside ``goal``; what an earlier run took is in ``entries``.

        Raises `EdgeSegError` where ``goal`` exists, another recording is in its working folder,
        or another process has it open.
        """
        if goal.exists():
            raise EdgeSegError(f"{goal} exists already: remove it or choose another name")
        folder = working_folder(goal)
        try:
            for place in (folder, folder / "frames", folder / "masks"):
                place.mkdir(parents=True, exist_ok=True)
                remove_stale(place)
        except OSError as error:
            raise explain(error, folder) from error
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise EdgeSegError(
                f"another process records into {folder}: wait for it, or choose another name"
            ) from None
        journal = cls(folder, lock)
        try:
            journal._claim(request)
            journal._read()
        except BaseException:
            lock.release()
            raise
        return journal

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def frame(self, slot: int) -> Path:
        """Where a slot's frame is."""
        return self.folder / "frames" / f"{slot:06d}.jpg"

    def mask(self, slot: int) -> Path:
        """Where a slot's mask is."""
        return self.folder / "masks" / f"{slot:06d}.png"

    def add(self, entry: Entry, frame: bytes = b"", mask: bytes = b"") -> None:
        """Write a slot's files and then its line; ``frame`` is empty where none was kept."""
        if frame:
            write_bytes(self.frame(entry.slot), frame)
            write_bytes(self.mask(entry.slot), mask)
            entry = msgspec.structs.replace(
                entry, frame_sha256=sha256(frame), mask_sha256=sha256(mask)
            )
        try:
            with open(self.folder / LINES, "ab") as lines:
                lines.write(msgspec.json.encode(entry) + b"\n")
                lines.flush()
                os.fsync(lines.fileno())
        except OSError as error:
            raise explain(error, self.folder / LINES) from error
        self.entries[entry.slot] = entry

    def remove(self) -> None:
        """Take the working folder away: its frames are in the set now."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _claim(self, request: Request) -> None:
        path = self.folder / REQUEST
        wanted = msgspec.json.format(msgspec.json.encode(request), indent=1)
        if not path.exists():
            write_bytes(path, wanted)
        elif (there := path.read_bytes()) != wanted:
            raise EdgeSegError(
                f"{self.folder} holds an unfinished recording with {_differing(there, request)}: "
                "finish it with its own options, or remove it"
            )

    def _read(self) -> None:
        """Take over the whole lines whose files are as they say, and leave only those."""
        path = self.folder / LINES
        if not path.exists():
            return
        payload = path.read_bytes()
        lines = []
        for line in payload.splitlines(keepends=True):
            entry = _decoded(line)
            if entry is not None and self._is_whole(entry):
                lines.append(line)
                self.entries[entry.slot] = entry
        if b"".join(lines) != payload:
            write_bytes(path, b"".join(lines))

    def _is_whole(self, entry: Entry) -> bool:
        files = (
            (self.frame(entry.slot), entry.frame_sha256),
            (
                self.mask(entry.slot),
                entry.mask_sha256,
            ),
        )
        return not entry.kept or all(
            path.is_file() and sha256_file(path) == digest for path, digest in files
        )


def working_folder(goal: Path) -> Path:
    """Return where a recording is kept until it is finished."""
    return goal.with_name(goal.name + ".part")


def _decoded(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry) if line.endswith(b"\n") else None
    except msgspec.MsgspecError:
        return None


def _differing(there: bytes, request: Request) -> str:
    """Return how another request differs, in words: "seed 3 instead of 4"."""
    try:
        other = msgspec.json.decode(there, type=Request)
    except msgspec.MsgspecError:
        return "options that this version does not know"
    names = [f for f in request.__struct_fields__ if getattr(other, f) != getattr(request, f)]
    return ", ".join(f"{f} {_short(getattr(other, f))} instead of {_short(getattr(request, f))}"
                     for f in names)  # fmt: skip


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
