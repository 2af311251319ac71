"""The zip layout of a bundle: one way to write it, and nothing else is read.

    data = join({"manifest.json": b"{}", "model.onnx": b"..."})
    split(data)["model.onnx"]           # memoryview, no copy

Law: ``join(split(data)) == data``, checked on every read. Whatever a zip file can hide
(two directories that disagree, bytes before, between or after the members, overlapping or
compressed members, comments, links, flags) breaks it, so one comparison refuses it all.
The checks before it only say more precisely what is wrong.

The layout is written here and not by ``zipfile`` because it must be the same bytes on
every Python version. It is PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16:
stored members, no zip64, no extra fields, no comments, 1 January 1980, mode 0644;
``manifest.json`` first, then by name. Any unzip opens it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from edge_seg.bundle.errors import BundleError

MANIFEST = "manifest.json"
MAX_BYTES = 2**30
"""Of a whole bundle. Models for the edge take a few MB; zip's own limit is 4 GiB."""
MAX_MEMBERS = 1000
MAX_NAME = 200

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_COMMON = struct.Struct("<HHHHHIIIHH")
"""What both headers share: version, flags, method, time, date, crc, sizes, name, extra."""
_CENTRAL_TAIL = struct.Struct("<HHHII")
"""Comment length, disk, internal attributes, external attributes, local header's offset."""
_END_TAIL = struct.Struct("<HHHHIIH")
"""Disk, directory's disk, members here, members, directory's size and offset, comment."""
_LOCAL_SIZE = len(_LOCAL) + _COMMON.size
_CENTRAL_SIZE = len(_CENTRAL) + 2 + _COMMON.size + _CENTRAL_TAIL.size
_END_SIZE = len(_END) + _END_TAIL.size

_VERSION = 20
_MADE_BY = struct.pack("<H", 3 << 8 | _VERSION)  # Unix, so that the mode below counts
_TIME, _DATE = 0, 1 << 5 | 1  # 1980-01-01 00:00, the first moment of the zip format
_MODE = 0o100644 << 16
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})*")

_DAMAGED = "cut short or changed since it was packed: copy it again from where it came"


def join(members: Mapping[str, bytes | memoryview]) -> bytes:
    """Return the archive of ``members``: same members, same bytes, in any order."""
    check_names(members)
    data = b"".join(_layout([(name, members[name]) for name in sorted(members, key=_order)]))
    if len(data) > MAX_BYTES:
        raise BundleError(f"a bundle holds at most {MAX_BYTES} bytes, not {len(data)}")
    return data


def split(data: bytes) -> dict[str, memoryview]:
    """Return the members of an archive made by `join`, as views into ``data``.

    Raises `BundleError` for every other input, whatever it is.
    """
    view = memoryview(data)
    members: dict[str, memoryview] = {}
    position = 0
    for name, size in _directory(data):
        position += _LOCAL_SIZE + len(name)
        members[name] = view[position : position + size]
        position += size
    if join(members) != data:
        raise BundleError(_DAMAGED)
    return members


def check_names(names: Iterable[str]) -> None:
    """Raise `BundleError` for a name that could leave the folder it is unpacked to.

    Names are ASCII letters, digits and ``_.+-`` in parts joined by ``/``, none of which
    begins with a dot; two that differ only in case are one on some file systems.
    """
    seen: set[str] = set()
    for name in names:
        if len(name) > MAX_NAME or not _NAME.fullmatch(name):
            raise BundleError(f"member name {name[:60]!r} is not allowed: do not use this file")
        if name.lower() in seen:
            raise BundleError(f"member {name!r} is there twice: do not use this file")
        seen.add(name.lower())
    if len(seen) > MAX_MEMBERS:
        raise BundleError(f"a bundle has at most {MAX_MEMBERS} members")


def _order(name: str) -> tuple[bool, str]:
    """Sort the manifest before everything else, so that it is read first."""
    return name != MANIFEST, name


def _layout(members: Iterable[tuple[str, bytes | memoryview]]) -> Iterator[bytes | memoryview]:
    """Yield the pieces of the archive: header and payload of each, directory, end."""
    directory = []
    offset = 0
    for name, payload in members:
        encoded = name.encode("ascii")
        size = len(payload)
        common = _COMMON.pack(
            _VERSION, 0, 0, _TIME, _DATE, zlib.crc32(payload), size, size, len(encoded), 0
        )
        tail = _CENTRAL_TAIL.pack(0, 0, 0, _MODE, offset)
        directory.append(_CENTRAL + _MADE_BY + common + tail + encoded)
        yield _LOCAL + common + encoded
        yield payload
        offset += _LOCAL_SIZE + len(encoded) + size
    entries = len(directory)
    central = b"".join(directory)
    yield central
    yield _END + _END_TAIL.pack(0, 0, entries, entries, len(central), offset, 0)


def _directory(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield name and size of each member that the directory at the end of ``data`` lists."""
    if not data.startswith(_LOCAL):
        raise BundleError("not a bundle (no zip archive): `edge-seg pack` makes one")
    if len(data) > MAX_BYTES:
        raise BundleError(f"larger than a bundle can be ({MAX_BYTES} bytes)")
    if len(data) < _END_SIZE or data[-_END_SIZE:][:4] != _END:
        raise BundleError(_DAMAGED)
    *_, entries, directory_size, position, _ = _END_TAIL.unpack(data[-_END_TAIL.size :])
    if entries > MAX_MEMBERS:
        raise BundleError(f"lists {entries} members, a bundle has at most {MAX_MEMBERS}")
    if position + directory_size + _END_SIZE != len(data):
        raise BundleError(_DAMAGED)
    seen: set[str] = set()
    for _ in range(entries):
        name, size, length = _entry(data[position : position + _CENTRAL_SIZE + MAX_NAME])
        check_names((name,))
        if name in seen:
            raise BundleError(f"member {name!r} is there twice: do not use this file")
        seen.add(name)
        yield name, size
        position += length


def _entry(header: bytes) -> tuple[str, int, int]:
    """Return name, size and header length of the directory entry that ``header`` begins with."""
    if len(header) < _CENTRAL_SIZE or not header.startswith(_CENTRAL):
        raise BundleError(_DAMAGED)
    _, flags, method, *_, size, name_size, _ = _COMMON.unpack_from(header, len(_CENTRAL) + 2)
    *_, mode, _ = _CENTRAL_TAIL.unpack_from(header, _CENTRAL_SIZE - _CENTRAL_TAIL.size)
    name = header[_CENTRAL_SIZE : _CENTRAL_SIZE + name_size].decode("ascii", "replace")
    if flags & 1:
        raise BundleError(f"member {name[:60]!r} is encrypted: a bundle's are not")
    if method != 0:
        raise BundleError(f"member {name[:60]!r} is compressed: a bundle's are stored as they are")
    if mode != _MODE:
        raise BundleError(f"member {name[:60]!r} is a link or no plain file: do not use this file")
    return name, size, _CENTRAL_SIZE + name_size


def is_bundle(path: Path) -> bool:
    """Return whether a file looks like a bundle: a zip archive that begins with the manifest."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False
