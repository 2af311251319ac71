"""The camera over the ground: worked by hand, against OpenCV, and back again."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carla_bridge.driving.view import UNSEEN, View
from edge_seg.errors import EdgeSegError

LEVEL = View(640, 480, fov_deg=90.0, height_m=1.5, pitch_deg=0.0, forward_m=0.0)
TILTED = View(800, 600, 70.0, 1.4, -6.0, forward_m=0.6, aside_m=0.3, yaw_deg=4.0)


def test_by_hand_a_level_camera() -> None:
    # The focal length is 320 px; 10 m ahead, 1.5 m down is 48 px, 1.75 m aside 56 px.
    assert LEVEL.focal_px == pytest.approx(320.0)
    assert LEVEL.pixels([[10.0, 1.75]]) == pytest.approx(np.array([[320.0 - 56.0, 240.0 + 48.0]]))
    assert LEVEL.ground([[264.0, 288.0]]) == pytest.approx(np.array([[10.0, 1.75]]))


def test_by_hand_a_camera_pitched_down_sees_the_ground_on_its_axis() -> None:
    view = View(640, 480, 90.0, 1.5, -math.degrees(math.atan(0.1)), forward_m=1.0)
    assert view.pixels([[16.0, 0.0]]) == pytest.approx(np.array([[320.0, 240.0]]))


def test_by_hand_a_camera_aside_and_turned() -> None:
    view = View(640, 480, 90.0, 1.5, 0.0, forward_m=2.0, aside_m=0.5, yaw_deg=45.0)
    assert view.pixels([[12.0, 10.5]])[0, 0] == pytest.approx(320.0)
    assert view.pixels([[12.0, 0.5]])[0, 0] == pytest.approx(640.0), "45 degrees right of it"


@pytest.mark.parametrize("view", [LEVEL, TILTED])
def test_it_projects_as_opencv_does(view: View) -> None:
    rng = np.random.default_rng(3)
    ground = np.stack([rng.uniform(4.0, 60.0, 200), rng.uniform(-8.0, 8.0, 200)], axis=1)
    forward, left, up = view.axes
    turn = np.stack([-left, -up, forward])  # OpenCV's camera: x right, y down, z ahead
    eye = np.array([view.forward_m, view.aside_m, view.height_m])
    matrix = np.array(
        [
            [view.focal_px, 0.0, view.width / 2.0],
            [0.0, view.focal_px, view.height / 2.0],
            [0.0, 0.0, 1.0],
        ]
    )
    points = np.column_stack([ground, np.zeros(len(ground))])
    rotation, _ = cv2.Rodrigues(turn)
    expected, _ = cv2.projectPoints(points, rotation, -turn @ eye, matrix, None)
    assert view.pixels(ground) == pytest.approx(expected[:, 0, :], abs=1e-6)


@settings(deadline=None)
@given(x=st.floats(3.0, 80.0), y=st.floats(-20.0, 20.0))
def test_there_and_back_again(x: float, y: float) -> None:
    assert TILTED.ground(TILTED.pixels([[x, y]])) == pytest.approx(np.array([[x, y]]), rel=1e-6)


def test_over_the_horizon_there_is_no_ground_and_behind_no_pixel() -> None:
    assert np.isnan(LEVEL.ground([[320.0, 240.0], [320.0, 10.0]])).all()
    assert np.isnan(LEVEL.pixels([[-5.0, 0.0]])).all()


def test_sampling_reads_the_pixel_that_shows_the_place() -> None:
    mask = np.zeros((480, 640), np.uint8)
    mask[288, 264] = 2
    at = LEVEL.ground([[264.5, 288.5], [265.5, 288.5]])
    assert LEVEL.sample(mask, at[:, 0], at[:, 1]).tolist() == [2, 0]
    unseen = LEVEL.sample(mask, np.array([1.0, -4.0]), np.array([9.0, 0.0]))
    assert unseen.tolist() == [UNSEEN, UNSEEN]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"width": 4}, "too small"),
        ({"fov_deg": 179.0}, "field of view"),
        ({"height_m": 0.0}, "sees no road"),
        ({"height_m": math.nan}, "sees no road"),
        ({"pitch_deg": 60.0}, "sees no road"),
    ],
)
def test_a_camera_that_sees_no_road_is_refused(wrong: dict[str, float], words: str) -> None:
    usual = {
        "width": 640,
        "height": 480,
        "fov_deg": 90.0,
        "height_m": 1.5,
        "pitch_deg": 0.0,
        "forward_m": 0.0,
    }
    with pytest.raises(EdgeSegError, match=words):
        View(**{**usual, **wrong})  # type: ignore[arg-type]


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(EdgeSegError, match="does not fit"):
        LEVEL.sample(np.zeros((100, 100), np.uint8), np.array([5.0]), np.array([0.0]))
