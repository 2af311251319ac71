"""ISBI's stacks: pages of a TIFF file, whole, of other sizes, and damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_frames_datasets import refused

from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets import import_dataset
from edge_seg.frames.datasets.tiff import page_sizes

SECTIONS = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
LABELS = np.where(SECTIONS > 100, 255, 0).astype(np.uint8)


def save(path: Path, pages: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwritemulti(str(path), list(pages))


@pytest.fixture
def isbi(tmp_path: Path) -> Path:
    folder = tmp_path / "isbi"
    save(folder / "train-volume.tif", SECTIONS)
    save(folder / "train-labels.tif", LABELS)
    save(folder / "test-volume.tif", SECTIONS[:2])
    return folder


def test_sections_and_membranes(isbi: Path, tmp_path: Path) -> None:
    frames = import_dataset(isbi, tmp_path / "out", "isbi")
    assert [entry.id for entry in frames.entries] == ["train-00", "train-01", "train-02"]
    for index, section in enumerate(SECTIONS):
        np.testing.assert_array_equal(frames.image(index)[:, :, 1], section)
        np.testing.assert_array_equal(frames.mask(index), section > 100)
    assert frames.classes.names == ("membrane", "cell")
    assert "non-commercial" in frames.licence


def test_the_test_stack_has_no_labels(isbi: Path, tmp_path: Path) -> None:
    frames = import_dataset(isbi, tmp_path / "out", "isbi", split="test")
    assert len(frames) == 2
    assert frames.mask(0) is None


def test_stacks_that_do_not_go_together(isbi: Path) -> None:
    save(isbi / "train-labels.tif", LABELS[:2])
    refused(isbi, "train-labels.tif has 2 pages, train-volume.tif 3", "isbi")
    save(isbi / "train-labels.tif", LABELS[:, :4])
    refused(isbi, "or their sizes differ", "isbi")
    save(isbi / "train-labels.tif", LABELS // 2)
    refused(isbi, r"holds the ids \[127\]", "isbi")
    (isbi / "train-labels.tif").unlink()
    refused(isbi, "there is no .*train-labels.tif: ISBI 2012 is published as", "isbi")


def test_damaged_stacks_are_one_line(isbi: Path) -> None:
    volume = isbi / "train-volume.tif"
    whole = volume.read_bytes()
    for payload, words in (
        (b"", "is no TIFF stack"),
        (b"\x89PNG", "is no TIFF stack"),
        (whole[:6], "truncated"),
        (whole[:-20], "truncated"),
    ):
        volume.write_bytes(payload)
        refused(isbi, words, "isbi")


def stack(*directories: tuple[int, int, int]) -> bytes:
    """Return a TIFF file of pages (width, height, index of the next or -1) without pixels."""
    size = 2 + 2 * 12 + 4
    payload = b"II*\0" + struct.pack("<I", 8)
    for width, height, after in directories:
        payload += struct.pack("<H", 2)
        for tag, value in ((256, width), (257, height)):
            payload += struct.pack("<HHII", tag, 4, 1, value)
        payload += struct.pack("<I", 0 if after < 0 else 8 + size * after)
    return payload


def test_sizes_are_read_before_anything_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(stack((7, 5, 1), (9, 8, -1)))
    assert page_sizes(path) == [(5, 7), (8, 9)]
    for payload, words in (
        (stack((10**6, 10**6, -1)), "page 1 is 1000000x1000000: refused"),
        (stack((7, 5, 1), (7, 5, 0)), "go round in a circle"),
        (b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(800_000), "truncated"),
    ):
        path.write_bytes(payload)
        with pytest.raises(EdgeSegError, match=words):
            page_sizes(path)


def test_pages_without_pixels_are_refused(isbi: Path) -> None:
    (isbi / "test-volume.tif").write_bytes(stack((7, 5, 1), (7, 5, -1)))
    refused(isbi, "cannot decode page 1 of .*test-volume.tif", "isbi", split="test")
