"""The video of a drive: its frames, and the lane that is found again in the recorded masks."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest
from drive_results_by_hand import P50, road_picture, seen_road, trace, write_film, write_folder

from carla_bridge.driving.view import View
from carla_bridge.evaluation.record import read_trace
from carla_bridge.report.film import film
from carla_bridge.report.lanes import Replay

pytest.importorskip("av", reason="pip install av")
VIEW = View(320, 240, fov_deg=90.0, height_m=1.5, pitch_deg=-5.0, forward_m=0.5)


def test_the_lane_found_again_lies_on_the_markings_of_its_mask():
    path = trace("k", 0.3, 60.0, seed=1)
    path.mask_age_ms = [0.0] * len(path.tick)
    path.guided = [False] * len(path.tick)
    replay = Replay(path, VIEW, speed_mps=8.0)
    for row in range(0, 100, 2):
        _, mask = seen_road(path, row, VIEW)
        lines = replay.lines(row, mask)
    left, right, middle = lines
    marking = cv2.dilate((mask == 2).astype(np.uint8), np.ones((5, 5), np.uint8))
    for line in (left, right):
        u, v = line[(line[:, 0] < 320) & (line[:, 1] < 200)].astype(int).T
        assert marking[v, u].mean() > 0.9
    assert (left[:5, 0] < middle[:5, 0]).all()
    assert (middle[:5, 0] < right[:5, 0]).all()


def test_no_lane_is_drawn_where_there_is_none_or_a_guide_leads():
    path = trace("k", 0.1, 60.0, seed=1)
    path.mask_age_ms = [None, *[0.0] * (len(path.tick) - 1)]
    _, mask = seen_road(path, 0, VIEW)
    assert Replay(path, VIEW, 8.0).lines(0, mask) == []  # no mask had come yet
    assert Replay(path, VIEW, 8.0).lines(1, None) == []
    assert Replay(path, VIEW, 8.0).lines(1, np.zeros_like(mask)) == []
    assert Replay(path, VIEW, 8.0).lines(1, mask[:100]) == []  # of another camera
    path.guided = [True] * len(path.tick)
    assert Replay(path, VIEW, 8.0).lines(1, mask) == []


def test_filmed_runs_follow_each_other_in_one_size_and_the_drive_can_be_seen(tmp_path):
    results = write_folder(tmp_path, routes=1, repeats=1, latencies=[P50])
    for run in results.runs:
        write_film(tmp_path, run, range(0, 12, 2), VIEW)
    small = tmp_path / "frames" / results.runs[1].key / "000000.jpg"
    cv2.imwrite(str(small), road_picture(0)[0][:120, :160])
    path = film(results, tmp_path)
    assert path == tmp_path / "drive.mp4"
    capture = cv2.VideoCapture(str(path))
    pictures = [capture.read()[1] for _ in range(12)]
    assert not capture.read()[0]
    assert {picture.shape for picture in pictures} == {(240, 320, 3)}
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    frame, _ = seen_road(read_trace(tmp_path, results.runs[0]), 4, VIEW)
    shown = pictures[2].astype(int)
    assert np.abs(shown[40:90] - frame[40:90]).mean() < 6  # the sky, under no text
    assert np.abs(shown[150:] - frame[150:]).mean() > 10  # the road, under its mask


def test_an_odd_record_makes_no_video_and_no_error(tmp_path):
    results = write_folder(tmp_path, routes=1, repeats=1, latencies=[P50])
    assert film(results, tmp_path) is None
    results.runs[0].filmed = True  # but no frames
    assert film(results, tmp_path) is None
    (tmp_path / results.runs[0].trace).write_bytes(msgspec.json.encode({"key": "k"}))
    assert film(results, tmp_path) is None
    assert not (tmp_path / "drive.mp4").exists()
