"""`FrameSet`: read a folder of frames and masks, checking every byte against its digest.

frames = FrameSet.open("lane-mini")     # a shipped set, or a folder
len(frames), frames.has_masks, frames.digest
frames[0].image                         # (H, W, 3) uint8 BGR
frames[0].mask                          # (H, W) uint8 class ids, or None
frames.take(range(32))                  # a smaller set with a digest of its own
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_seg.classes import IGNORE, ClassMap
from edge_seg.errors import EdgeSegError, closest
from edge_seg.files import sha256, sha256_file
from edge_seg.frames import manifest as manifests
from edge_seg.frames.images import decode_image, decode_mask
from edge_seg.frames.manifest import FrameEntry, Manifest
from edge_seg.preprocess import Frame, Mask

SHIPPED = "calibration_sets"
"""The package whose folders are the frame sets that ship."""


@dataclass(frozen=True)
class LabelledFrame:
    """A frame (H, W, 3) uint8 BGR with its id, and its mask (H, W) uint8 where it has one."""

    id: str
    image: Frame
    mask: Mask | None


class FrameSet:
    """Frames with optional masks, in a fixed order; files are read when asked for.

    ``FrameSet.open`` is the way in. Law: two sets with equal ``digest`` give equal pixels.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self._manifest = manifest

    @classmethod
    def open(cls, path_or_name: str | Path) -> FrameSet:
        """Open a folder that holds ``frameset.json``, or a shipped set by its name.

        Raises `EdgeSegError` for an unknown name, a broken manifest, a missing file, a
        path that leaves the folder, and a set without frames.
        """
        folder = Path(path_or_name)
        if not folder.exists():
            folder = _shipped_folder(str(path_or_name))
        return cls(folder, manifests.read(folder))

    @property
    def name(self) -> str:
        """The set's name."""
        return self._manifest.name

    @property
    def classes(self) -> ClassMap:
        """What the ids in the masks mean."""
        return self._manifest.classes

    @property
    def licence(self) -> str:
        """The terms the frames come under."""
        return self._manifest.licence

    @property
    def source(self) -> str:
        """Where the frames come from."""
        return self._manifest.source

    @property
    def scored(self) -> tuple[str, ...] | None:
        """Names of the classes that the masks can judge; None: all of them."""
        return self._manifest.scored

    @property
    def merge(self) -> dict[str, str]:
        """Predicted class name -> the class it counts as, where the masks don't tell them apart."""
        return self._manifest.merge

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over the canonical manifest, which holds every file's SHA-256."""
        return manifests.digest(self._manifest)

    @property
    def recorded_digest(self) -> str:
        """The digest that the manifest claims; differs from ``digest`` where it was edited."""
        return self._manifest.digest

    @property
    def entries(self) -> tuple[FrameEntry, ...]:
        """Ids, paths and digests, in order."""
        return self._manifest.frames

    @property
    def has_masks(self) -> bool:
        """Whether every frame has a mask."""
        return all(entry.mask is not None for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[LabelledFrame]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> LabelledFrame:
        image = self.image(index)
        mask = self.mask(index)
        if mask is not None and mask.shape != image.shape[:2]:
            entry = self.entries[index]
            raise EdgeSegError(
                f"{self.path / str(entry.mask)} is {_size(mask)} but its frame {entry.frame} is "
                f"{_size(image)}: masks must have the frame's size"
            )
        return LabelledFrame(self.entries[index].id, image, mask)

    def image(self, index: int) -> Frame:
        """Read one frame, (H, W, 3) uint8 BGR."""
        entry = self.entries[index]
        return decode_image(*self._read(entry.frame, entry.frame_sha256))

    def mask(self, index: int) -> Mask | None:
        """Read one mask, (H, W) uint8 of 0..classes-1 or 255; None where there is none."""
        entry = self.entries[index]
        if entry.mask is None or entry.mask_sha256 is None:
            return None
        payload, path = self._read(entry.mask, entry.mask_sha256)
        mask = decode_mask(payload, path)
        check_mask_values(mask, self.classes, path)
        return mask

    def take(self, indices: Iterable[int]) -> FrameSet:
        """Return the set of these frames, in this order, with a digest of its own."""
        entries = tuple(self.entries[index] for index in indices)
        if not entries:
            raise EdgeSegError(f"no frame of {self.name} was taken: a frame set needs at least one")
        taken = msgspec.structs.replace(self._manifest, frames=entries)
        return FrameSet(self.path, msgspec.structs.replace(taken, digest=manifests.digest(taken)))

    def describe(self) -> dict[str, Any]:
        """Return what the set is as a JSON-ready dict, without reading a frame."""
        return {
            "name": self.name,
            "path": str(self.path),
            "frames": len(self),
            "masks": sum(entry.mask is not None for entry in self.entries),
            "classes": list(self.classes.names),
            "scored": list(self.scored or self.classes.names),
            "merge": self.merge,
            "licence": self.licence,
            "source": self.source,
            "digest": self.digest,
        }

    def verify(self) -> None:
        """Check the manifest's digest and that of every file, or raise `EdgeSegError`."""
        if self.recorded_digest != self.digest:
            raise EdgeSegError(
                f"{self.path / manifests.MANIFEST} was changed after it was written: "
                "its digest does not match; restore it or import the frames again"
            )
        for entry in self.entries:
            for name, expected in (
                (entry.frame, entry.frame_sha256),
                (entry.mask, entry.mask_sha256),
            ):
                if name is not None and sha256_file(self.path / name) != expected:
                    raise _changed(self.path / name)

    def _read(self, name: str, expected: str) -> tuple[bytes, Path]:
        path = self.path / name
        try:
            payload = path.read_bytes()
        except OSError as error:
            raise EdgeSegError(f"cannot read {path}: {error.strerror or error}") from error
        if sha256(payload) != expected:
            raise _changed(path)
        return payload, path


def check_mask_values(mask: Mask, classes: ClassMap, path: Path | str) -> None:
    """Refuse a mask (H, W) uint8 with an id that is neither a class nor 255 (ignore).

    Of a depth every value is one.
    """
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=IGNORE + 1))
    foreign = [int(value) for value in present if classes.values <= value < IGNORE]
    if foreign:
        raise EdgeSegError(
            f"{path} holds the ids {foreign[:5]}, but the class map has 0..{len(classes) - 1} "
            f"({', '.join(classes.names)}) and 255 for ignore: "
            f"map them, as in `--map {foreign[0]}=1`, or import with your classes: `--classes`"
        )


def shipped_names() -> list[str]:
    """Names of the frame sets that ship with this installation."""
    return sorted(path.parent.name for path in _shipped_root().glob(f"*/{manifests.MANIFEST}"))


def _shipped_root() -> Path:
    spec = importlib.util.find_spec(SHIPPED)
    if spec is None or not spec.submodule_search_locations:
        raise EdgeSegError(f"the package {SHIPPED!r} is not installed: install edge-seg again")
    return Path(next(iter(spec.submodule_search_locations)))


def _shipped_folder(name: str) -> Path:
    names = shipped_names()
    if name not in names:
        raise EdgeSegError(
            f"no frame set {name!r}: neither a folder nor a shipped set; {closest(name, names)}"
        )
    return _shipped_root() / name


def _changed(path: Path) -> EdgeSegError:
    return EdgeSegError(
        f"{path} was changed after the frame set was written: its digest does not match; "
        "restore it or import the frames again"
    )


def _size(pixels: Frame | Mask) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
