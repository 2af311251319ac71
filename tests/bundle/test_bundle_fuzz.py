"""Hostile bundles: each is refused with one line, none crashes, none gives a byte away."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_seg.bundle.archive import Bundle, parse_bundle
from edge_seg.bundle.container import join, split
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.manifest import decode, encode

HERE = Path("x.edgeseg")
Files = dict[str, bytes]


@pytest.fixture
def data(bundle: Bundle) -> bytes:
    return bundle.path.read_bytes()


@pytest.fixture
def files(data: bytes) -> Files:
    return {name: bytes(payload) for name, payload in split(data).items()}


def refused(data: bytes) -> str:
    """Return the message with which ``data`` is refused; any other exception fails the test."""
    with pytest.raises(BundleError) as caught:
        parse_bundle(data, HERE)
    message = str(caught.value)
    assert message.startswith("x.edgeseg: ")
    assert message.isprintable()
    return message


def zipped(files: Files, edit: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> bytes:
    """Return the archive that Python's own writer makes of ``files``, as an attacker would."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # duplicate names
        for name, payload in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o100644 << 16
            edit(info)
            archive.writestr(info, payload)
    return buffer.getvalue()


def test_the_bundle_itself_is_read(data: bytes) -> None:
    assert parse_bundle(data, HERE).manifest.name == "lane"


def test_every_truncation(data: bytes) -> None:
    for step in range(64):
        refused(data[: len(data) * step // 64])
    for cut in range(1, 30):
        refused(data[:-cut])


def test_two_thousand_byte_flips(data: bytes) -> None:
    chance = random.Random(1)
    for _ in range(2000):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= chance.randrange(1, 256)
        refused(bytes(changed))


def test_every_byte_of_the_headers_at_the_end(data: bytes) -> None:
    start = data.index(b"PK\x01\x02")
    for position in range(start, len(data)):
        changed = bytearray(data)
        changed[position] ^= 0xFF
        refused(bytes(changed))


def test_insertions_deletions_and_copies(data: bytes) -> None:
    chance = random.Random(2)
    for _ in range(500):
        begin, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        piece = data[begin:end]
        refused(data[:begin] + data[end + 1 :])
        refused(data[:end] + (piece or b"x") + data[end:])


@given(noise=st.binary(max_size=400))
def test_noise(noise: bytes) -> None:
    for prefix in (b"", b"PK\x03\x04", b"PK\x03\x04" + bytes(26)):
        refused(prefix + noise)
        refused(prefix + noise + b"PK\x05\x06" + bytes(18))


def test_bytes_around_the_archive(data: bytes) -> None:
    refused(b"#!/bin/sh\n" + data)
    refused(data + b"\n")
    refused(data + data)


def test_swapped_members(files: Files) -> None:
    files["model.onnx"], files["report.html"] = files["report.html"], files["model.onnx"]
    assert "is not the one that was packed" in refused(join(files))


def test_a_changed_member_of_the_same_size(files: Files) -> None:
    files["model.onnx"] = bytes(len(files["model.onnx"]))
    assert "is not the one that was packed" in refused(join(files))


def test_a_member_more_and_a_member_less(files: Files) -> None:
    assert "not listed" in refused(join({**files, "extra.py": b"import os"}))
    del files["report.html"]
    assert "is missing" in refused(join(files))


def test_no_manifest_and_a_deep_manifest(files: Files) -> None:
    deep = b'{"schema":' + b"[" * 10**6 + b"]" * 10**6 + b"}"
    assert "damaged" in refused(join({**files, "manifest.json": deep}))
    assert "larger than" in refused(join({**files, "manifest.json": b" " * (5 * 2**20)}))
    del files["manifest.json"]
    assert "no manifest.json" in refused(join(files))


def test_a_manifest_that_lists_itself(files: Files) -> None:
    manifest = decode(files["manifest.json"])
    lists = {**manifest.members, "manifest.json": manifest.members["model.onnx"]}
    files["manifest.json"] = encode(msgspec.structs.replace(manifest, members=lists))
    assert "'manifest.json' is missing" in refused(join(files))


@pytest.mark.parametrize(
    "name",
    ["../../out/x", "/etc/passwd", "a/../../b", "..\\x", "C:\\x", "a\x00b", "x\ny", "é"],
)
def test_climbing_and_odd_names(files: Files, name: str) -> None:
    # Python's writer cuts a name at a NUL, so write another name and change the bytes.
    encoded = name.encode()
    placeholder = "z" * len(encoded)
    plain = zipped({**files, placeholder: b"payload"})
    assert "not allowed" in refused(plain.replace(placeholder.encode(), encoded))


def test_links_devices_and_folders(files: Files) -> None:
    for mode in (0o120777, 0o060644, 0o040755, 0o104755):

        def link(info: zipfile.ZipInfo, mode: int = mode) -> None:
            info.external_attr = mode << 16

        assert "no plain file" in refused(zipped(files, link))


def test_duplicate_names(files: Files) -> None:
    duplicate = zipped({**files, "zodel.onnx": b"other"}).replace(b"zodel.onnx", b"model.onnx")
    assert "twice" in refused(duplicate)
    other_case = zipped({**files, "Model.onnx": b"other"})
    assert "twice" in refused(other_case)


def test_compressed_and_encrypted_members(files: Files) -> None:
    def compress(info: zipfile.ZipInfo) -> None:
        info.compress_type = zipfile.ZIP_DEFLATED

    bomb = zipped({**files, "zeros": bytes(10**8)}, compress)
    assert len(bomb) < 10**6
    assert "is compressed" in refused(bomb)

    encrypted = bytearray(join(files))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    assert "is encrypted" in refused(bytes(encrypted))


def test_comments_and_extra_fields(files: Files) -> None:
    def remark(info: zipfile.ZipInfo) -> None:
        info.comment = b"hello"

    def extra(info: zipfile.ZipInfo) -> None:
        info.extra = b"\x00\x99\x02\x00hi"

    refused(zipped(files, remark))
    refused(zipped(files, extra))
    refused(join(files)[:-2] + b"\x05\x00hello")


def test_huge_declared_sizes_and_offsets(data: bytes) -> None:
    entry = data.index(b"PK\x01\x02")
    end = len(data) - 22
    words = (entry + 16, entry + 20, entry + 24, entry + 42, 14, 18, 22, end + 12, end + 16)
    halves = (entry + 28, entry + 30, entry + 32, entry + 34, 26, 28, end + 8, end + 10)
    lies = [("<I", field, value) for field in words for value in (1, 2**31, 2**32 - 1)]
    lies += [("<H", field, value) for field in halves for value in (1, 1000, 2**16 - 1)]
    for form, field, value in lies:
        changed = bytearray(data)
        struct.pack_into(form, changed, field, value)
        refused(bytes(changed))


def test_too_many_members(files: Files) -> None:
    crowd = {f"f{index}": b"" for index in range(2000)}
    assert "at most 1000" in refused(zipped({**files, **crowd}))


def test_overlapping_members(data: bytes) -> None:
    # Two directory entries that share one payload: Fifield's "better zip bomb" (2019).
    entry = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", entry + 4)
    third = data.index(b"PK\x01\x02", second + 4)
    changed = bytearray(data)
    changed[third + 42 : third + 46] = changed[second + 42 : second + 46]
    refused(bytes(changed))


def test_the_directory_and_a_local_header_disagree(files: Files) -> None:
    data = bytearray(join(files))
    position = data.index(b"model.onnx", data.index(b"PK\x03\x04"))
    local = data.rindex(b"PK\x03\x04", 0, data.index(files["model.onnx"]))
    assert position > 0
    data[local + 30 : local + 40] = b"mudel.onnx"
    refused(bytes(data))


def test_members_in_another_order(files: Files) -> None:
    refused(zipped(dict(reversed(files.items()))))


def test_python_repacked_files_are_refused_unless_identical(files: Files) -> None:
    """The same content in Python's layout is either the very same bytes, or refused."""
    repacked = zipped(files)
    if repacked != join(files):
        refused(repacked)
