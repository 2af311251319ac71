"""The working folder: whole after a kill at any moment, one recording, one process."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest

from carla_bridge.recording import journal as journals
from carla_bridge.recording.finish import ABOUT, SHEET, reasons, write_set
from carla_bridge.recording.journal import LINES, Entry, Journal, working_folder
from carla_bridge.recording.places import Pose
from carla_bridge.recording.plan import Request
from carla_bridge.recording.recorder import fault
from carla_bridge.recording.sheet import COLUMNS, TILE_WIDTH, contact_sheet
from carla_bridge.recording.summary import summarize
from edge_seg.errors import EdgeSegError, NoSpaceError
from edge_seg.files import temporary_prefix
from edge_seg.frames import FrameSet
from edge_seg.frames.images import encode_image, encode_mask, read_image

REQUEST = Request(frames=6, seed=4)
HERE = Pose(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def entry(slot: int, *skipped: str) -> Entry:
    return Entry(
        slot=slot,
        map="Ring",
        weather="fog-night",
        light="night",
        bend="bend" if slot % 2 else "straight",
        camera=HERE,
        cars_around=slot,
        skipped=skipped,
        picture=f"{slot:016x}",
    )


def picture(slot: int) -> bytes:
    image = np.random.default_rng(slot).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return encode_image(np.ascontiguousarray(image.repeat(8, 0).repeat(8, 1)))


MASK = encode_mask(np.tile(np.array([0, 1, 2, 1], np.uint8), (48, 16)))


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    return tmp_path / "set"


@pytest.fixture
def three(goal: Path) -> Path:
    """Return a goal with three frames in its working folder, left by a process that is gone."""
    with Journal.open(goal, REQUEST) as journal:
        for slot in range(3):
            journal.add(entry(slot), picture(slot), MASK)
    return goal


def reopened(goal: Path, request: Request = REQUEST) -> list[int]:
    with Journal.open(goal, request) as journal:
        return sorted(journal.entries)


def test_what_was_added_is_there_again(three: Path) -> None:
    with Journal.open(three, REQUEST) as journal:
        assert sorted(journal.entries) == [0, 1, 2]
        assert journal.entries[1].camera == HERE
        assert journal.entries[1].kept
        assert journal.frame(1).read_bytes() == picture(1)
        journal.add(entry(3, "dark", "dark"))
    with Journal.open(three, REQUEST) as journal:
        assert not journal.entries[3].kept
        assert journal.entries[3].skipped == ("dark", "dark")


def test_a_kill_at_any_byte_of_the_journal_loses_at_most_its_last_line(three: Path) -> None:
    path = working_folder(three) / LINES
    whole = path.read_bytes()
    ends = [k + 1 for k, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(ends[1], len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        assert reopened(three) == list(range(sum(end <= cut for end in ends)))
        assert path.read_bytes() == whole[: max(end for end in ends if end <= cut)]
    path.write_bytes(whole)
    assert reopened(three) == [0, 1, 2]


def test_a_line_without_its_files_does_not_count(three: Path) -> None:
    folder = working_folder(three)
    (folder / "frames/000000.jpg").unlink()
    (folder / "masks/000002.png").write_bytes(MASK[:-1])
    assert reopened(three) == [1]
    assert len((folder / LINES).read_bytes().splitlines()) == 1


def test_rubbish_in_the_journal_is_no_entry(three: Path) -> None:
    path = working_folder(three) / LINES
    path.write_bytes(b'{"slot": 9}\n\xff\xfe\n[]\n' + path.read_bytes() + b"\0" * 100)
    assert reopened(three) == [0, 1, 2]


def test_files_that_a_kill_left_half_written_vanish(three: Path) -> None:

    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    name = temporary_prefix().replace(f"-{os.getpid()}-", f"-{gone.pid}-")
    left = working_folder(three) / "frames" / f"{name}x"
    left.write_bytes(b"half a fra")
    reopened(three)
    assert not left.exists()


def test_another_request_is_refused_with_what_differs(three: Path) -> None:
    with pytest.raises(EdgeSegError, match="with seed 4 instead of 5: finish it"):
        Journal.open(three, msgspec.structs.replace(REQUEST, seed=5))
    assert reopened(three) == [0, 1, 2]


def test_a_second_process_is_refused(three: Path) -> None:
    with Journal.open(three, REQUEST), pytest.raises(EdgeSegError, match="another process"):
        Journal.open(three, REQUEST)


def test_a_goal_that_exists_is_refused(goal: Path) -> None:
    goal.mkdir()
    with pytest.raises(EdgeSegError, match="exists already"):
        Journal.open(goal, REQUEST)
    assert not working_folder(goal).exists()


@pytest.mark.parametrize("where", ["frame", "line"])
def test_a_full_disk_is_one_line_and_keeps_the_rest(
    three: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Journal.open(three, REQUEST) as journal:
        monkeypatch.setattr(journals.os, "fsync", full)
        with pytest.raises(NoSpaceError, match="free some, then run again"):
            journal.add(entry(3), picture(3) if where == "frame" else b"", MASK)
        monkeypatch.undo()
    assert set(reopened(three)) - {3} == {0, 1, 2}


def test_the_set_is_written_in_the_plans_order(goal: Path) -> None:
    with Journal.open(goal, REQUEST) as journal:
        for slot in (4, 1, 5, 0):
            journal.add(entry(slot), picture(slot), MASK)
        for slot in (2, 3):
            journal.add(entry(slot, "no-road"))
        entries = [journal.entries[slot] for slot in range(6)]
        frames = write_set(journal, entries, goal, "the tests", "CC0-1.0")
        journal.remove()
    assert [e.id for e in frames.entries] == ["000000", "000001", "000004", "000005"]
    frames.verify()
    assert (frames.licence, frames.source) == ("CC0-1.0", "the tests")
    assert read_image(goal / SHEET).shape[1] == 4 * (TILE_WIDTH + 4) + 4
    about = msgspec.json.decode((goal / ABOUT).read_bytes())
    assert [row["id"] for row in about] == [e.id for e in frames.entries]
    assert about[1]["camera"] == list(HERE)
    assert not working_folder(goal).exists()
    assert summarize(entries)["bend"] == {"straight": 2, "bend": 2, "sharp": 0, "junction": 0}
    assert summarize(entries)["frames"] == {"kept": 4, "left_out": 2}
    assert reasons(entries) == "2 no-road"


def test_nothing_kept_is_no_set(goal: Path) -> None:
    with Journal.open(goal, REQUEST) as journal:
        journal.add(entry(0, "dark", "no-road", "dark"))
        with pytest.raises(EdgeSegError, match="2 dark, 1 no-road"):
            write_set(journal, [journal.entries[0]], goal, "", "")
    assert not goal.exists()


def test_a_contact_sheet_shows_frames_from_all_over_the_set(road_frames: FrameSet) -> None:
    labels = [str(k) for k in range(len(road_frames))]
    sheet = contact_sheet(road_frames, labels)
    rows = -(-len(road_frames) // COLUMNS)
    height = round(120 * TILE_WIDTH / 160)
    assert sheet.shape == (rows * (height + 16 + 4) + 4, COLUMNS * (TILE_WIDTH + 4) + 4, 3)
    assert contact_sheet(road_frames.take([0]), ["one"]).shape[1] == TILE_WIDTH + 8


def test_frames_that_show_nothing_are_named() -> None:
    road = np.ones((60, 80), np.uint8)
    smooth = np.linspace(0, 255, 60 * 80).reshape(60, 80).astype(np.uint8)
    fine = np.ascontiguousarray(np.repeat(smooth[:, :, None], 3, axis=2))
    assert fault(fine, road) == ""
    assert fault(fine // 32, road) == "dark"
    assert fault(fine, np.zeros_like(road)) == "no-road"
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    assert fault(noise, road) == "noise"
