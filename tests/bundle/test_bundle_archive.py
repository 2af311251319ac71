from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_seg.bundle.archive import Bundle, open_bundle, write_bundle
from edge_seg.bundle.container import check_names, join, split
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.manifest import Manifest
from edge_seg.errors import EdgeSegError
from edge_seg.files import sha256

parts = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,8}", fullmatch=True)
names = st.lists(parts, min_size=1, max_size=3).map("/".join)


def unique(files: dict[str, bytes]) -> dict[str, bytes]:
    """Drop names that differ from an earlier one only in case."""
    return {name.lower(): payload for name, payload in files.items()}


@given(files=st.dictionaries(names, st.binary(max_size=300), min_size=1).map(unique))
def test_split_returns_what_was_joined(files: dict[str, bytes]) -> None:
    data = join(files)
    assert {name: bytes(payload) for name, payload in split(data).items()} == files
    assert join(split(data)) == data


def test_the_order_of_members_does_not_change_the_bytes() -> None:
    one = {"manifest.json": b"{}", "a": b"1", "b": b"2"}
    assert join(one) == join(dict(reversed(one.items())))
    assert list(split(join({"a": b"", "manifest.json": b""}))) == ["manifest.json", "a"]


def test_other_tools_read_it(bundle: Bundle, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(bundle.path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", *sorted(members)]
        assert archive.read("model.onnx") == members["model.onnx"]
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-tq", bundle.path], check=True, stdout=subprocess.DEVNULL)


def test_an_opened_bundle_holds_what_was_written(
    bundle: Bundle, manifest: Manifest, members: dict[str, bytes]
) -> None:
    opened = open_bundle(bundle.path)
    assert opened == bundle
    assert {name: opened.read(name) for name in opened.manifest.members} == members
    assert msgspec.structs.replace(opened.manifest, members={}) == manifest
    assert opened.manifest.members["recipe.json"].sha256 == sha256(members["recipe.json"])
    assert opened.size_bytes == bundle.path.stat().st_size
    assert opened.digest == sha256(opened.manifest_bytes)


def test_the_same_inputs_give_the_same_bytes(
    tmp_path: Path, bundle: Bundle, manifest: Manifest, members: dict[str, bytes]
) -> None:
    again = write_bundle(tmp_path / "again", manifest, dict(reversed(members.items())))
    assert again.path.read_bytes() == bundle.path.read_bytes()


def test_reading_a_name_it_does_not_hold_names_the_closest(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"no file 'model.onx'; did you mean 'model.onnx'"):
        bundle.read("model.onx")
    with pytest.raises(BundleError):
        bundle.read("../../etc/passwd")


def test_a_manifest_that_names_what_is_not_there_is_not_written(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes]
) -> None:
    path = tmp_path / "x.edgeseg"
    without_model = {name: data for name, data in members.items() if name != "model.onnx"}
    with pytest.raises(BundleError, match=r"names the file 'model.onnx' but does not hold it"):
        write_bundle(path, manifest, without_model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        ".hidden",
        "a\\b",
        "C:/x",
        "c:x",
        "a\0b",
        "a\nb",
        "a b",
        "ä",
        "a" * 201,
    ],
)
def test_names_that_could_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(BundleError, match="not allowed"):
        check_names([name])


def test_names_that_differ_in_case_only_are_refused() -> None:
    with pytest.raises(BundleError, match="twice"):
        check_names(["model.bin", "Model.bin"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is not a file"),
        (lambda path: os.mkfifo(path), "is not a file"),
        (lambda path: path.write_bytes(b""), "not a bundle"),
        (lambda path: path.write_bytes(b"\x89PNG" + bytes(100)), "not a bundle"),
        (lambda path: path.write_bytes(join({"a.txt": b"a"})), "has no manifest.json"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "cut short or changed"),
    ],
    ids=["missing", "folder", "fifo", "empty", "png", "zip", "header"],
)
def test_what_is_no_bundle_is_refused(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "x.edgeseg"
    make(path)
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(path)
    assert str(path) in str(caught.value)


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        open_bundle("a\0b")


def test_a_missing_folder_is_one_line(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes]
) -> None:
    with pytest.raises(EdgeSegError, match="the folder does not exist"):
        write_bundle(tmp_path / "no" / "x.edgeseg", manifest, members)
