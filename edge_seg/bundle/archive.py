"""Writing and reading a bundle: manifest, members, digests, in one file.

    write_bundle("lane.edgeseg", manifest, {"model.onnx": payload, "recipe.json": recipe})
    bundle = open_bundle("lane.edgeseg")
    bundle.read("model.onnx") == payload

Laws: the same manifest, members and key give the same bytes; what `open_bundle` returns
was checked whole, so no byte of a damaged or changed file reaches a runtime. Only a
signature (see `signature`) tells a changed file that was packed anew from the original.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_seg.bundle.container import MANIFEST, MAX_BYTES, join, split
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.manifest import MAX_MANIFEST_BYTES, Manifest, Member, decode, encode
from edge_seg.bundle.signature import SIGNATURE, Signature, decode_signature, encode_signature, sign
from edge_seg.errors import closest
from edge_seg.files import sha256, write_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True)
class Bundle:
    """A bundle whose every byte was checked; its files are in memory."""

    path: Path
    manifest: Manifest
    manifest_bytes: bytes = field(repr=False)
    signature: Signature | None
    size_bytes: int
    _members: Mapping[str, memoryview] = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, which holds the digest of all else: the bundle's identity.

        It is the same before and after signing.
        """
        return sha256(self.manifest_bytes)

    def read(self, name: str) -> bytes:
        """Return the content of one file; raises `BundleError` for a name it has not."""
        if name not in self._members:
            raise BundleError(
                f"{self.path}: has no file {name!r}; {closest(name, self.manifest.members)}"
            )
        return bytes(self._members[name])


def write_bundle(
    path: Path | str,
    manifest: Manifest,
    members: Mapping[str, bytes],
    signing_key: Ed25519PrivateKey | None = None,
) -> Bundle:
    """Write ``members`` and the manifest, which gets their sizes and digests, to ``path``.

    The file appears whole or not at all, and is read back by `open_bundle`'s checks before
    it appears. Raises `BundleError` when the manifest names a file that is not among
    ``members``, and `EdgeSegError` when the disk is full or the folder read-only.
    """
    listed = {name: Member(sha256(data), len(data)) for name, data in members.items()}
    manifest_bytes = encode(msgspec.structs.replace(manifest, members=listed))
    files = {**members, MANIFEST: manifest_bytes}
    if signing_key is not None:
        files[SIGNATURE] = encode_signature(sign(manifest_bytes, signing_key))
    data = join(files)
    bundle = parse_bundle(data, Path(path))
    write_bytes(path, data)
    return bundle


def open_bundle(path: Path | str) -> Bundle:
    """Read and check a bundle; raises `BundleError`, one line with the way out."""
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BundleError(f"{path}: is not a file; give the .edgeseg file itself")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        return parse_bundle(data, path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(f"{path}: no such file; `edge-seg pack` makes a bundle") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"{path}: cannot be read ({reason})") from error
    except MemoryError as error:
        raise BundleError(f"{path}: does not fit into this machine's memory") from error


def parse_bundle(data: bytes, path: Path) -> Bundle:
    """Check the bytes of a bundle as `open_bundle` does; ``path`` is for messages."""
    try:
        members = split(data)
        manifest_bytes = bytes(_take(members, MANIFEST, MAX_MANIFEST_BYTES))
        manifest = decode(manifest_bytes)
        signature = (
            decode_signature(bytes(members.pop(SIGNATURE))) if SIGNATURE in members else None
        )
        _check_members(manifest, members)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    return Bundle(path, manifest, manifest_bytes, signature, len(data), members)


def _take(members: dict[str, memoryview], name: str, limit: int) -> memoryview:
    if name not in members:
        raise BundleError(f"a zip archive but not a bundle: it has no {name}")
    if len(members[name]) > limit:
        raise BundleError(f"its {name} is larger than {limit} bytes")
    return members.pop(name)


def _check_members(manifest: Manifest, members: Mapping[str, memoryview]) -> None:
    """Compare what is there with what the manifest lists: names, sizes, digests."""
    for name in sorted(members.keys() ^ manifest.members.keys()):
        state = "not listed in its manifest" if name in members else "missing"
        raise BundleError(f"file {name[:60]!r} is {state}: do not use it, pack it again")
    for name in manifest.references():
        if name not in members:
            raise BundleError(f"its manifest names the file {name[:60]!r} but does not hold it")
    for name, payload in members.items():
        listed = manifest.members[name]
        digest = hashlib.sha256(payload).hexdigest()
        if len(payload) != listed.size or digest != listed.sha256:
            raise BundleError(f"file {name!r} is not the one that was packed: do not use it")
