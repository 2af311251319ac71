"""Cameras: neutral without randomness, possible with any, and refused in one line otherwise."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carla_bridge.world.camera.mounts import Bonnet, CameraModel, Glass, Pose, Tone, sample_camera
from carla_bridge.world.camera.optics import Optics
from carla_bridge.world.randomization import MOST, TERMS, Dice, DomainRandomization
from edge_seg.errors import EdgeSegError

NOTHING = DomainRandomization(**dict.fromkeys(TERMS, 0.0))
SIZES = [(640, 480), (800, 600), (320, 64), (64, 320), (512, 512), (100, 75)]
LENSES = [(-0.12, 0.02), (0.08, -0.01), (-0.03, 0.0)]
HOOD = Bonnet(0.2, 0.5, 0.7, 2.0, (0.5, 0.5, 0.5), 0.3)


def sampled(seed: int, width: int = 640, height: int = 480, **terms: float) -> CameraModel:
    return sample_camera(Dice(DomainRandomization(**terms), seed), width, height)


@pytest.mark.parametrize("size", SIZES)
def test_no_strength_gives_the_neutral_camera(size: tuple[int, int]) -> None:
    for seed in range(5):
        assert sample_camera(Dice(NOTHING, seed), *size) == CameraModel(*size)


def test_the_neutral_camera_looks_straight_ahead_from_a_car() -> None:
    camera = CameraModel()
    assert camera.place == Pose(aside=0.0, height=1.4, yaw=0.0, pitch=0.0, roll=0.0)
    assert camera.render_size() == (640, 480) and camera.render_field() == camera.field == 60.0


def test_one_seed_gives_one_camera_and_another_seed_another() -> None:
    assert sampled(3) == sampled(3)
    assert len({sampled(seed) for seed in range(20)}) == 20


OWN = {  # term: the fields it may change
    "distortion": {"distortion", "vignette", "softness"},
    "exposure": {"tone"},
    "white_balance": {"tone"},
    "motion_blur": {"motion_blur", "shake"},
    "noise": {"noise"},
    "jpeg": {"jpeg", "sharpening"},
    "dirt": {"glass"},
    "bonnet": {"bonnet"},
    "mirrored": {"mirrored"},
    "pose": {"place"},
    "field": {"field", "place", "distortion"},
}


@pytest.mark.parametrize("term", OWN)
def test_a_term_switched_off_changes_nothing_else(term: str) -> None:
    changed = set()
    for seed in range(30):
        usual, without = sampled(seed), sampled(seed, **{term: 0.0})
        for field in dataclasses.fields(CameraModel):
            if getattr(usual, field.name) != getattr(without, field.name):
                changed.add(field.name)
    assert changed == OWN[term]


def test_exposure_and_white_balance_leave_each_other_alone() -> None:
    for seed in range(10):
        usual = sampled(seed).tone
        dark, grey = sampled(seed, exposure=0.0).tone, sampled(seed, white_balance=0.0).tone
        assert dark.white_balance == usual.white_balance and dark.saturation == usual.saturation
        assert dataclasses.replace(dark, white_balance=(1.0, 1.0, 1.0), saturation=1.0) == Tone()
        assert grey == dataclasses.replace(usual, white_balance=(1.0, 1.0, 1.0), saturation=1.0)


def test_most_horizons_lie_where_road_cameras_have_them() -> None:
    cameras = [sampled(seed) for seed in range(400)]
    rows = []
    for camera in cameras:
        focal = 320.0 / math.tan(math.radians(camera.field) / 2.0)
        rows.append(0.5 + math.tan(math.radians(camera.place.pitch)) * focal / 480.0)
    share = np.mean([(row >= 0.35) & (row <= 0.6) for row in rows])
    assert 0.9 < share < 1.0 and min(rows) >= 0.25 and max(rows) <= 0.7
    heights = np.array([camera.place.height for camera in cameras])
    usual = (heights >= 1.0) & (heights <= 2.6)
    assert 0.85 < usual.mean() < 1.0 and heights.min() < 0.9 and heights.max() > 2.6


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(SIZES),
    st.dictionaries(st.sampled_from(TERMS), st.sampled_from([0.0, 0.3, 2.0, MOST])),
)
def test_any_seed_and_strength_gives_a_camera_that_can_exist(
    seed: int, size: tuple[int, int], strengths: dict[str, float]
) -> None:
    terms = msgspec.structs.replace(DomainRandomization(), **strengths)
    camera = sample_camera(Dice(terms, seed), *size)
    camera.check()
    assert 40.0 <= camera.field <= 110.0 and 0.4 <= camera.place.height <= 3.2
    assert 30.0 < camera.render_field() < 140.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "frames of 0x480"),
        ({"height": 15}, "frames of 640x15"),
        ({"width": 5000}, "16 to 4096 pixels"),
        ({"field": 9.0}, "10..150 degrees, not 9"),
        ({"field": 170.0}, "10..150 degrees, not 170"),
        ({"field": math.nan}, "field is nan"),
        ({"place": Pose(height=0.0)}, "under it"),
        ({"place": Pose(height=-2.0)}, "-2 m above ground"),
        ({"place": Pose(yaw=math.inf)}, "place.yaw is inf"),
        ({"place": Pose(roll=math.nan)}, "place.roll is nan"),
        ({"distortion": (-1.5, 0.0)}, "folds the image over"),
        ({"distortion": (0.0, -1.0)}, "folds the image over"),
        ({"distortion": (1e9, 0.0)}, "distortion is in -1000..1000"),
        ({"distortion": (math.nan, 0.0)}, "distortion is nan"),
        ({"jpeg": 101}, "jpeg is in 0..100"),
        ({"noise": -1.0}, "noise is in 0..128"),
        ({"vignette": 1.5}, "vignette is in 0..1"),
        ({"shake": (2, 1)}, "odd numbers"),
        ({"tone": Tone(gamma=0.0)}, "tone.gamma"),
        ({"tone": Tone(white_balance=(1.0, 0.0, 1.0))}, "tone.white_balance"),
        ({"glass": Glass(veil=2.0)}, "glass.veil"),
        ({"bonnet": dataclasses.replace(HOOD, top=1.2)}, "bonnet.top"),
    ],
)
def test_a_camera_that_cannot_exist_is_refused_in_one_line(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(EdgeSegError) as caught:
        dataclasses.replace(CameraModel(), **changes).check()
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("distortion", LENSES)
@pytest.mark.parametrize("size", [(640, 480), (100, 75)])
def test_rays_land_where_opencv_projects_them(
    distortion: tuple[float, float], size: tuple[int, int]
) -> None:
    lens = Optics(*size, 80.0, distortion)
    _, places = lens.maps()
    middle = (np.array(size) - 1) / 2.0
    pixels = np.random.default_rng(0).integers(0, size, (200, 2))
    rays = (places[pixels[:, 1], pixels[:, 0]] - middle) / lens.render_focal
    matrix = np.array([[lens.focal, 0, middle[0]], [0, lens.focal, middle[1]], [0, 0, 1.0]])
    projected, _ = cv2.projectPoints(
        np.column_stack([rays, np.ones(200)]).astype(float),
        np.zeros(3),
        np.zeros(3),
        matrix,
        np.array([*distortion, 0.0, 0.0]),
    )
    assert np.abs(projected[:, 0] - pixels).max() < 0.1


def test_a_ray_lands_where_the_formula_says() -> None:
    lens = Optics(640, 480, 90.0, (-0.1, 0.02))
    # The edge of 90 degrees is at tan 45 = 1, which meets the sensor at 1 - 0.1 + 0.02 = 0.92.
    assert lens.focal == pytest.approx(320.0 / 0.92)
    assert lens.undistortion(np.array([0.0, 0.92])) == pytest.approx([1.0, 1.0 / 0.92], abs=1e-6)


@pytest.mark.parametrize("distortion", [(0.0, 0.0), *LENSES])
def test_the_field_is_what_the_frame_shows_from_side_to_side(
    distortion: tuple[float, float],
) -> None:
    lens = Optics(640, 480, 80.0, distortion)
    _, places = lens.maps()
    side = float(places[240, 639, 0] - 319.5) + 0.5  # the outermost pixel's outer edge, nearly
    assert math.degrees(2 * math.atan(side / lens.render_focal)) == pytest.approx(80.0, abs=0.2)


def test_a_lens_without_distortion_leaves_every_pixel_where_it_is() -> None:
    for size in ((640, 480), (100, 75)):
        _, places = Optics(*size, 60.0, (0.0, 0.0)).maps()
        rows, columns = np.mgrid[: size[1], : size[0]]
        assert np.abs(places - np.dstack([columns, rows])).max() < 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_no_frame_has_an_empty_border_and_no_picture_is_wasted(size: tuple[int, int]) -> None:
    limits = np.array(size) - 0.5
    for seed in range(12):
        camera = sampled(seed, *size, distortion=MOST)
        assert camera.distortion != (0.0, 0.0)
        _, places = camera.optics.maps()
        assert places.min() > -0.55 and (places.reshape(-1, 2).max(axis=0) < limits + 0.05).all()
        # In one direction the frame reaches the picture's edge, a pixel or two away.
        assert (limits - places.reshape(-1, 2).max(axis=0)).min() < 2.0


@pytest.mark.parametrize(
    ("distortion", "limit"),
    [
        ((-1 / 3, 0.0), 1.0),  # 1 - q
        ((0.0, -0.2), 1.0),  # 1 - q^2
        ((1.0, -0.8), 1.0),  # 1 + 3 q - 4 q^2
        ((-1.0, 0.4), 1 / math.sqrt(2)),  # 1 - 3 q + 2 q^2 is zero at 1/2 and at 1
        ((0.1, 0.1), 1e4),
        ((-0.1, 0.1), 1e4),  # 1 - 0.3 q + 0.5 q^2 has no zero
    ],
)
def test_the_tangent_at_which_an_image_turns_back_by_hand(
    distortion: tuple[float, float], limit: float
) -> None:
    assert Optics(640, 480, 60.0, distortion).limit == pytest.approx(limit)


def test_folding_lenses_are_told_as_a_table_of_radii_tells_them() -> None:
    rng = np.random.default_rng(1)
    tangents = np.linspace(0.0, 60.0, 60001)
    found = []
    for k1, k2 in rng.uniform([-0.3, -0.1], [0.1, 0.1], (300, 2)):
        lens = Optics(640, 480, 90.0, (float(k1), float(k2)))
        radii = tangents * (1 + k1 * tangents**2 + k2 * tangents**4)
        rising = np.diff(radii) > 0
        turn = len(rising) if rising.all() else int(np.argmin(rising))
        # 90 degrees reach to a tangent of 1, which is 320 pixels; the corner is 400, plus 10 %.
        corner = 1.1 * 400 / 320 * (1 + k1 + k2)
        folds = tangents[turn] < 1.0 or radii[turn] < corner
        if abs(radii[turn] - corner) > 1e-3 and abs(tangents[turn] - 1.0) > 2e-3:
            assert lens.folds() == folds
            found.append(folds)
    assert 60 < sum(found) < 240


def test_a_lens_that_just_does_not_fold_is_monotonic_in_the_frame() -> None:
    k1 = next(k / 1000 for k in range(0, -500, -1) if Optics(640, 480, 90.0, (k / 1000, 0)).folds())
    lens = Optics(640, 480, 90.0, (k1 + 0.001, 0.0))
    _, places = lens.maps()
    assert (np.diff(places[0, :, 0]) > 0).all() and (np.diff(places[:, 0, 1]) > 0).all()
