"""Frame sets: what goes in comes out, whole or not at all, and nothing foreign gets in."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_seg.classes import ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.files import TEMPORARY_PREFIX
from edge_seg.frames import FrameSet, FrameSetWriter
from edge_seg.frames.images import encode_mask


def frame(seed: int, height: int = 6, width: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mask(seed: int, height: int = 6, width: int = 9) -> np.ndarray:
    ids = np.array([0, 1, 2, 255], np.uint8)
    return np.random.default_rng(seed).choice(ids, (height, width))


@pytest.fixture
def street(tmp_path: Path) -> Path:
    with FrameSetWriter(tmp_path / "street", name="street", licence="CC0-1.0", source="me") as w:
        for seed in range(4):
            w.add(frame(seed), mask(seed), format="png")
    return tmp_path / "street"


def edit(folder: Path, change) -> None:
    path = folder / "frameset.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=4),
    masked=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_png_round_trip_is_bit_exact(tmp_path_factory, sizes, masked, seed) -> None:
    path = tmp_path_factory.mktemp("sets") / "s"
    images = [frame(seed + i, *size) for i, size in enumerate(sizes)]
    masks = [mask(seed + i, *size) if masked else None for i, size in enumerate(sizes)]
    with FrameSetWriter(path, name="s") as writer:
        for image, labels in zip(images, masks, strict=True):
            writer.add(image, labels, format="png")
    read = FrameSet.open(path)
    read.verify()
    assert len(read) == len(sizes)
    assert read.has_masks is masked
    for labelled, image, labels in zip(read, images, masks, strict=True):
        np.testing.assert_array_equal(labelled.image, image)
        if labels is None:
            assert labelled.mask is None
        else:
            np.testing.assert_array_equal(labelled.mask, labels)


def test_what_is_said_of_a_set_is_kept(street: Path) -> None:
    frames = FrameSet.open(street)
    assert (frames.name, frames.licence, frames.source) == ("street", "CC0-1.0", "me")
    assert frames.classes.names == ("background", "road", "lane_marking")
    assert frames.scored is None
    assert [labelled.id for labelled in frames] == ["000000", "000001", "000002", "000003"]
    assert frames.describe()["masks"] == 4
    json.dumps(frames.describe())


def test_same_frames_same_digest_and_other_frames_another(tmp_path: Path) -> None:
    digests = []
    for place, seed in (("a", 1), ("b", 1), ("c", 2)):
        with FrameSetWriter(tmp_path / place, name="s") as writer:
            writer.add(frame(seed), format="png")
        digests.append(FrameSet.open(tmp_path / place).digest)
    assert digests[0] == digests[1] != digests[2]


def test_take_selects_in_order_with_its_own_digest(street: Path) -> None:
    frames = FrameSet.open(street)
    taken = frames.take([2, 0])
    np.testing.assert_array_equal(taken[0].image, frames[2].image)
    assert [entry.id for entry in taken.entries] == ["000002", "000000"]
    assert taken.digest != frames.digest == frames.take(range(4)).digest
    taken.verify()
    with pytest.raises(EdgeSegError, match="at least one"):
        frames.take([])


def test_shipped_name_that_does_not_exist_gets_the_closest(monkeypatch, street: Path) -> None:
    from edge_seg.frames import frameset

    monkeypatch.setattr(frameset, "_shipped_root", lambda: street.parent)
    assert FrameSet.open("street").name == "street"
    with pytest.raises(EdgeSegError, match="did you mean 'street'"):
        FrameSet.open("stret")


def drop_frames(manifest) -> None:
    manifest["frames"] = []


def set_frame(name: str):
    def change(manifest) -> None:
        manifest["frames"][1]["frame"] = name

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_frames, "lists no frames"),
        (set_frame("../frameset.json"), "leads out"),
        (set_frame("frames/../../street/frames/000001.png"), "leads out"),
        (set_frame("/etc/passwd"), "leads out"),
        (set_frame("..\\x"), "leads out"),
        (set_frame("frames/none.png"), "missing"),
        (set_frame("frames"), "missing"),
        (set_frame("frames/\0.png"), "leads out"),
        (lambda m: m.update(schema="edge-seg/frameset-2"), "update edge-seg"),
        (lambda m: m.update(frames="x"), "broken"),
        (lambda m: m.update(extra=1), "broken"),
        (lambda m: m["classes"].update(names=[]), "broken"),
        (lambda m: m.update(scored=["raod"]), "did you mean 'road'"),
        (lambda m: m.update(scored=[]), "names no class"),
        (lambda m: m.update(merge={"x": "road"}), "unknown class"),
        (lambda m: m["frames"][0].update(id="000001"), "occurs 2 times"),
        (lambda m: m["frames"][0].update(id="../../escaped"), "is no file name"),
        (lambda m: m["frames"][0].update(id="/escaped"), "is no file name"),
        (lambda m: m["frames"][0].update(mask=None), "digest"),
        (lambda m: m["frames"][0].update(frame_sha256="0" * 63), "SHA-256"),
    ],
)
def test_broken_manifests_are_refused_in_one_line(street: Path, change, words: str) -> None:
    edit(street, change)
    with pytest.raises(EdgeSegError, match=words) as caught:
        FrameSet.open(street)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(street: Path, payload: bytes) -> None:
    (street / "frameset.json").write_bytes(payload)
    with pytest.raises(EdgeSegError, match="broken"):
        FrameSet.open(street)


def test_truncated_manifests_never_open(street: Path) -> None:
    path = street / "frameset.json"
    whole = path.read_bytes()
    for part in range(64):
        path.write_bytes(whole[: len(whole) * part // 64])
        with pytest.raises(EdgeSegError):
            FrameSet.open(street)


def test_a_link_out_of_the_folder_is_refused(street: Path, tmp_path: Path) -> None:
    inside = street / "frames" / "000000.png"
    outside = tmp_path / "outside.png"
    inside.rename(outside)
    inside.symlink_to(outside)
    with pytest.raises(EdgeSegError, match="leads out"):
        FrameSet.open(street)


def test_a_folder_without_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match="edge-seg frames import"):
        FrameSet.open(tmp_path)


def test_changed_files_are_noticed_on_reading_and_by_verify(street: Path) -> None:
    frames = FrameSet.open(street)
    path = street / "masks" / "000002.png"
    path.write_bytes(encode_mask(mask(99)))
    frames[1]
    for look in (lambda: frames[2], frames.verify):
        with pytest.raises(EdgeSegError, match=r"masks/000002.png was changed"):
            look()


def test_an_edited_manifest_is_noticed_by_verify(street: Path) -> None:
    edit(street, lambda manifest: manifest.update(licence="other"))
    with pytest.raises(EdgeSegError, match="was changed"):
        FrameSet.open(street).verify()


def test_mask_of_another_size_names_both_files(street: Path) -> None:
    def swap(manifest) -> None:
        payload = encode_mask(np.zeros((3, 3), np.uint8))
        (street / "masks" / "000000.png").write_bytes(payload)
        import hashlib

        manifest["frames"][0]["mask_sha256"] = hashlib.sha256(payload).hexdigest()

    edit(street, swap)
    with pytest.raises(EdgeSegError, match=r"000000.png is 3x3 .*frames/000000.png is 9x6"):
        FrameSet.open(street)[0]


def test_mask_values_must_be_classes_or_ignore(tmp_path: Path) -> None:
    two = ClassMap(("other", "road"), ((0, 0, 0), (1, 1, 1)))
    writer = FrameSetWriter(tmp_path / "s", name="s", classes=two)
    with pytest.raises(EdgeSegError, match=r"ids \[2\].*0\.\.1"), writer:
        writer.add(frame(0), np.full((6, 9), 2, np.uint8))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"id": "../x"}, "no file name"),
        ({"id": "a b"}, "no file name"),
        ({"id": ""}, "no file name"),
        ({"id": "000000"}, "added before"),
        ({"format": "gif"}, "jpg or png"),
        ({"mask": np.zeros((5, 9), np.uint8)}, "sizes must match"),
        ({"mask": np.zeros((6, 9), np.int64)}, "uint8"),
    ],
)
def test_writer_refuses_and_leaves_nothing(tmp_path: Path, arguments, words: str) -> None:
    def write() -> None:
        with FrameSetWriter(tmp_path / "s", name="s") as writer:
            writer.add(frame(0))
            writer.add(frame(1), **arguments)

    with pytest.raises(EdgeSegError, match=words):
        write()
    assert os.listdir(tmp_path) == []


def test_writer_refuses_wrong_arrays_empty_sets_and_existing_folders(tmp_path: Path) -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with (
            pytest.raises(EdgeSegError, match="a frame is"),
            FrameSetWriter(tmp_path / "s", name="s") as writer,
        ):
            writer.add(wrong)
    with (
        pytest.raises(EdgeSegError, match="no frame was added"),
        FrameSetWriter(tmp_path / "s", "s"),
    ):
        pass
    (tmp_path / "s").mkdir()
    with pytest.raises(EdgeSegError, match="exists already"), FrameSetWriter(tmp_path / "s", "s"):
        pass
    assert os.listdir(tmp_path) == ["s"]


def test_a_goal_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def write() -> None:
        with FrameSetWriter(tmp_path / "s", name="s") as writer:
            writer.add(frame(0))
            (tmp_path / "s").mkdir()
            (tmp_path / "s" / "mine").write_text("kept")

    with pytest.raises(EdgeSegError, match="cannot write"):
        write()
    assert (tmp_path / "s" / "mine").read_text() == "kept"
    assert os.listdir(tmp_path) == ["s"]


WRITE = """
import sys
import numpy as np
from edge_seg.frames import FrameSetWriter

frame = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
print("ready", flush=True)
with FrameSetWriter(sys.argv[1], name="s") as writer:
    for _ in range(150):
        writer.add(frame, np.zeros((60, 90), np.uint8), format="png")
"""


def test_killed_while_writing_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    draw = random.Random(0)
    for attempt in range(8):
        goal = tmp_path / f"set{attempt}"
        process = subprocess.Popen([sys.executable, "-c", WRITE, str(goal)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(draw.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if goal.exists():
            FrameSet.open(goal).verify()
            assert len(FrameSet.open(goal)) == 150
    with FrameSetWriter(tmp_path / "last", name="s") as writer:
        writer.add(frame(0))
    assert not list(tmp_path.glob(f"{TEMPORARY_PREFIX}*")), "the next writer clears what kills left"
