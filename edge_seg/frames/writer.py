"""`FrameSetWriter`: write a frame set that appears whole, or not at all.

    with FrameSetWriter("street", name="street", licence="CC0-1.0", source="my camera") as writer:
        writer.add(frame, mask)

Everything goes to a temporary folder beside the goal, which is renamed when the ``with``
block ends without an error. A kill leaves only that temporary folder; the next writer to
the same place removes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import msgspec

from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.files import (
    explain,
    remove_stale,
    sha256,
    sync_folder,
    temporary_prefix,
    write_bytes,
)
from edge_seg.frames import manifest as manifests
from edge_seg.frames.frameset import check_mask_values
from edge_seg.frames.images import encode_image, encode_mask
from edge_seg.frames.manifest import FrameEntry, Manifest
from edge_seg.preprocess import Frame, Mask


class FrameSetWriter:
    """Write frames and masks into a new folder; ``path`` must not exist yet.

    ``scored`` and ``merge`` say which classes the masks can judge (see `edge_seg.frames.manifest`).
    """

    def __init__(
        self,
        path: Path | str,
        name: str,
        classes: ClassMap = LANE,
        licence: str = "unknown",
        source: str = "unknown",
        scored: tuple[str, ...] | None = None,
        merge: dict[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        manifests.check_labels(classes, scored, merge or {})
        self._about = Manifest(
            manifests.SCHEMA, name, licence, source, classes, (), scored=scored, merge=merge or {}
        )
        self._entries: dict[str, FrameEntry] = {}
        self._folder = Path()

    def __len__(self) -> int:
        return len(self._entries)

    def __enter__(self) -> FrameSetWriter:
        if self.path.exists():
            raise EdgeSegError(f"{self.path} exists already: remove it or choose another name")
        parent = self.path.absolute().parent
        try:
            parent.mkdir(parents=True, exist_ok=True)
            remove_stale(parent)
            self._folder = Path(tempfile.mkdtemp(dir=parent, prefix=temporary_prefix()))
            (self._folder / "frames").mkdir()
            (self._folder / "masks").mkdir()
        except OSError as error:
            raise explain(error, self.path) from error
        return self

    def add(
        self,
        image: Frame,
        mask: Mask | None = None,
        id: str | None = None,
        format: str = "jpg",
        quality: int = 92,
    ) -> str:
        """Add a frame (H, W, 3) uint8 BGR and its mask (H, W) uint8; return the frame's id.

        ``format`` is ``jpg`` (lossy, ``quality`` 1..100) or ``png`` (bit-exact). Masks are PNG.
        """
        return self.add_encoded(encode_image(image, format, quality), format, image, mask, id)

    def add_encoded(
        self, payload: bytes, suffix: str, image: Frame, mask: Mask | None, id: str | None
    ) -> str:
        """Add a frame as the bytes of its file, so that an import loses nothing.

        ``image`` is ``payload`` decoded; ``suffix`` is the file name ending without a dot.
        """
        id = f"{len(self):06d}" if id is None else id
        if not manifests.IDENTIFIER.fullmatch(id):
            raise EdgeSegError(
                f"the frame id {id!r} is no file name: use letters, digits and . _ + -"
            )
        if id in self._entries:
            raise EdgeSegError(f"the frame id {id!r} was added before: ids must differ")
        frame_name, mask_name = f"frames/{id}.{suffix}", f"masks/{id}.png"
        if mask is None:
            entry = FrameEntry(id, frame_name, sha256(payload))
        else:
            if mask.shape != image.shape[:2]:
                raise EdgeSegError(
                    f"the mask of {id!r} is {mask.shape}, its frame {image.shape[:2]}: "
                    "sizes must match"
                )
            check_mask_values(mask, self._about.classes, f"the mask of {id!r}")
            mask_payload = encode_mask(mask)
            self._write(mask_name, mask_payload)
            entry = FrameEntry(id, frame_name, sha256(payload), mask_name, sha256(mask_payload))
        self._write(frame_name, payload)
        self._entries[id] = entry
        return id

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _finish(self) -> None:
        if not self._entries:
            raise EdgeSegError(f"no frame was added to {self.path}: nothing was written")
        manifest = msgspec.structs.replace(self._about, frames=tuple(self._entries.values()))
        write_bytes(self._folder / manifests.MANIFEST, manifests.encode(manifest))
        try:
            # Flushed here and not in `add`: by now the kernel has written most of it already.
            for file in sorted(self._folder.glob("*/*")):
                _flush(file)
            if not any((self._folder / "masks").iterdir()):
                (self._folder / "masks").rmdir()
            self._folder.chmod(0o755)
            for entry in (*self._folder.iterdir(), self._folder):
                if entry.is_dir():
                    sync_folder(entry)
            # rename() refuses a goal that is a folder with content: nothing is overwritten.
            self._folder.rename(self.path)
            sync_folder(self.path.absolute().parent)
        except OSError as error:
            raise explain(error, self.path) from error

    def _write(self, name: str, payload: bytes) -> None:
        try:
            (self._folder / name).write_bytes(payload)
        except OSError as error:
            raise explain(error, self.path) from error


def _flush(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
