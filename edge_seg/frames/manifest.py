"""``frameset.json``: what a frame set holds, and the digest that identifies it.

    {"schema": "edge-seg/frameset-1", "name": "street", "licence": "CC0-1.0",
     "source": "my camera", "classes": {"names": [...], "palette": [...]},
     "scored": null, "merge": {},
     "frames": [{"id": "0", "frame": "frames/0.jpg", "frame_sha256": "...",
                 "mask": "masks/0.png", "mask_sha256": "..."}],
     "digest": "..."}

``scored`` and ``merge`` say what the masks can judge. Most sets label every class and leave
``scored`` null. A set that labels the road but not the paint on it has
``"scored": ["road"], "merge": {"lane_marking": "road"}``: a predicted marking counts as road,
and only the road is reported. One that labels nothing but paint has
``"scored": ["lane_marking"]``: paint against the rest.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath

import msgspec

from edge_seg.classes import ClassMap
from edge_seg.errors import EdgeSegError, closest, in_one_line
from edge_seg.files import sha256

MANIFEST = "frameset.json"
SCHEMA = "edge-seg/frameset-1"
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,150}")
"""What a frame may be called: fit for a file name on any system, and never a path."""


class FrameEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One frame: paths are relative to the set's folder and use forward slashes."""

    id: str
    frame: str
    frame_sha256: str
    mask: str | None = None
    mask_sha256: str | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``frameset.json``."""

    schema: str
    name: str
    licence: str
    source: str
    classes: ClassMap
    frames: tuple[FrameEntry, ...]
    digest: str = ""
    scored: tuple[str, ...] | None = None
    merge: dict[str, str] = {}


def digest(manifest: Manifest) -> str:
    """Return the SHA-256 of the manifest's canonical JSON, its own digest left out.

    Canonical is msgspec's compact encoding with sorted keys. The digests of all files are
    in the manifest, so two sets with the same digest hold the same bytes.
    """
    unsigned = msgspec.structs.replace(manifest, digest="")
    return sha256(msgspec.json.encode(unsigned, order="sorted"))


def encode(manifest: Manifest) -> bytes:
    """Return readable JSON bytes of a manifest with its digest filled in."""
    signed = msgspec.structs.replace(manifest, digest=digest(manifest))
    return msgspec.json.format(msgspec.json.encode(signed), indent=1) + b"\n"


def read(folder: Path) -> Manifest:
    """Read and check a folder's manifest; every file it names is inside and exists.

    Raises `EdgeSegError` for a broken manifest, a newer schema, a path that leaves the
    folder, a missing file and a set without frames.
    """
    path = folder / MANIFEST
    try:
        payload = path.read_bytes()
        schema = msgspec.json.decode(payload, type=dict).get("schema")
        if schema != SCHEMA:
            raise EdgeSegError(
                f"{path}: schema {schema!r} is not {SCHEMA!r}: "
                "update edge-seg, or import the frames again"
            )
        manifest = msgspec.json.decode(payload, type=Manifest)
    except FileNotFoundError:
        raise EdgeSegError(
            f"{folder} is not a frame set: it has no {MANIFEST}; "
            f"make one with `edge-seg frames import {folder} OUT`"
        ) from None
    except OSError as error:
        raise EdgeSegError(f"cannot read {path}: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EdgeSegError(
            f"{path} is broken: {in_one_line(error)}; import the frames again"
        ) from error
    _check(manifest, folder, path)
    return manifest


def check_labels(classes: ClassMap, scored: tuple[str, ...] | None, merge: dict[str, str]) -> None:
    """Refuse ``scored`` or ``merge`` that name a class which the map does not have."""
    for name in (*(scored or ()), *merge, *merge.values()):
        if name not in classes.names:
            raise EdgeSegError(f"unknown class {name!r}: {closest(name, classes.names)}")
    if scored is not None and not scored:
        raise EdgeSegError("'scored' names no class: name at least one, or leave it out")


def _check(manifest: Manifest, folder: Path, path: Path) -> None:
    if not manifest.frames:
        raise EdgeSegError(f"{path} lists no frames: add some, or choose another frame set")
    try:
        check_labels(manifest.classes, manifest.scored, manifest.merge)
    except EdgeSegError as error:
        raise EdgeSegError(f"{path}: {error}") from None
    for entry in manifest.frames:
        if not IDENTIFIER.fullmatch(entry.id):  # masks are written under it
            raise EdgeSegError(f"{path}: the frame id {entry.id[:60]!r} is no file name: refused")
    identifier, times = Counter(entry.id for entry in manifest.frames).most_common(1)[0]
    if times > 1:
        raise EdgeSegError(f"{path}: the frame id {identifier!r} occurs {times} times")
    root = folder.resolve()
    for entry in manifest.frames:
        if (entry.mask is None) != (entry.mask_sha256 is None):
            raise EdgeSegError(
                f"{path}: frame {entry.id!r} has a mask without a digest, or a digest without one"
            )
        for name, expected in ((entry.frame, entry.frame_sha256), (entry.mask, entry.mask_sha256)):
            if name is not None and expected is not None:
                _check_file(root, name, expected, path)


def _check_file(root: Path, name: str, expected: str, manifest: Path) -> None:
    pure = PurePosixPath(name)
    outside = pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name
    if outside or not (root / pure).resolve().is_relative_to(root):
        raise EdgeSegError(f"{manifest}: {name!r} leads out of the frame set's folder: refused")
    if not (root / pure).is_file():
        raise EdgeSegError(f"{manifest} names {name}, which is missing: restore it or import again")
    if not _HEX_DIGEST.fullmatch(expected):
        raise EdgeSegError(f"{manifest}: {name} has no valid SHA-256 digest: import again")
