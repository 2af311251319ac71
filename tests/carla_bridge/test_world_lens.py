"""Exposure by hand, labels that move with the picture, and the same bytes every time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carla_bridge.world.camera import glass
from carla_bridge.world.camera.lens import expose
from carla_bridge.world.camera.mounts import Bonnet, CameraModel, Glass, Pose, Tone, sample_camera
from carla_bridge.world.camera.tone import destabilised, respond, stabilised
from carla_bridge.world.randomization import MOST, TERMS, Dice, DomainRandomization
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame

NOTHING = DomainRandomization(**dict.fromkeys(TERMS, 0.0))
HOOD = Bonnet(0.2, 0.5, 0.7, 2.0, (0.5, 0.5, 0.5), 0.3)
KINDS = (np.uint8, np.uint16, np.float32, np.int32, np.bool_, np.int64)


def dice(seed: int = 0, **terms: float) -> Dice:
    return Dice(DomainRandomization(**terms), seed)


def scenery(width: int = 640, height: int = 480, seed: int = 0) -> Frame:
    """A picture with large and small shapes in it."""
    rough = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def labels_of(picture: Frame) -> tuple[Any, ...]:
    values = picture[..., 1] // 40
    return tuple(values.astype(kind) for kind in KINDS)


def seen(picture: Frame, camera: CameraModel, **how: Any) -> Frame:
    return expose(picture, (), camera, dice(), **how)[0]


@pytest.fixture
def threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


# --- tone


def tone(light: float, **changes: Any) -> float:
    return float(respond(np.array([light]), Tone(**changes))[0])


def test_the_neutral_tone_is_the_srgb_curve() -> None:
    assert tone(0.0) == 0.0 and tone(1.0) == pytest.approx(1.0)
    assert tone(0.002) == pytest.approx(12.92 * 0.002)
    # 1.055 * 0.25^(1 / 2.4) - 0.055 = 1.055 * 0.56123 - 0.055
    assert tone(0.25) == pytest.approx(0.53710, abs=1e-5)


def test_a_stop_doubles_light_and_clips_it_or_rolls_it_off() -> None:
    assert tone(0.25, exposure=1.0) == pytest.approx(tone(0.5))
    assert tone(0.6, exposure=1.0) == pytest.approx(1.0)
    # With the whole shoulder: 2 * 0.25 / (0.25 + 1) = 0.4; with half of it, halfway to 0.5.
    assert tone(0.25, exposure=1.0, shoulder=1.0) == pytest.approx(tone(0.4))
    assert tone(0.25, exposure=1.0, shoulder=0.5) == pytest.approx(tone(0.45))
    assert tone(1.0, exposure=-1.0) == pytest.approx(tone(0.5))
    assert tone(1.0, exposure=-1.0, shoulder=1.0) == pytest.approx(1.0)


def test_gamma_and_contrast_by_hand() -> None:
    y = tone(0.25)
    assert tone(0.25, gamma=2.0) == pytest.approx(y * y)
    assert tone(0.25, contrast=1.0) == pytest.approx(3 * y**2 - 2 * y**3)
    assert tone(0.0, contrast=-1.0) == pytest.approx(0.27)  # 0.6 * 0.45
    assert tone(1.0, contrast=-1.0) == pytest.approx(0.67)  # 1 - 0.6 * 0.55


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_brighter_light_is_never_darker_in_the_frame(seed: int) -> None:
    drawn = sample_camera(dice(seed), 640, 480).tone
    values = respond(np.linspace(0.0, 1.0, 256), drawn)
    assert (np.diff(values) >= -1e-12).all() and values.min() >= 0.0 and values.max() <= 1.0


def test_a_neutral_camera_gives_the_curve_of_the_picture_and_the_labels_themselves() -> None:
    picture = scenery()
    labels = labels_of(picture)
    frame, same = expose(picture, labels, CameraModel(), Dice(NOTHING, 1))
    root = picture / 255.0
    expected = np.rint(255.0 * respond(root**2, Tone()))
    assert (frame == expected).all()
    assert all(a is b for a, b in zip(labels, same, strict=True))


def test_white_balance_multiplies_light_and_keeps_what_is_clipped_white() -> None:
    camera = CameraModel(tone=Tone(white_balance=(1.0, 1.5, 2.0)))
    grey, white = np.full((480, 640, 3), 128, np.uint8), np.full((480, 640, 3), 255, np.uint8)
    light = (128 / 255) ** 2
    expected = [255 * tone(light * gain) for gain in (1.0, 1.5, 2.0)]
    assert seen(grey, camera)[0, 0] == pytest.approx(expected, abs=1.0)
    assert (seen(white, camera) == 255).all()


def test_no_saturation_is_grey_and_more_is_more_colourful() -> None:
    picture = scenery()
    grey = seen(picture, CameraModel(tone=Tone(saturation=0.0))).astype(int)
    assert (np.ptp(grey, axis=2) <= 1).all()
    spread = [
        np.ptp(seen(picture, CameraModel(tone=Tone(saturation=s))).astype(int), axis=2).mean()
        for s in (0.5, 1.0, 1.5)
    ]
    assert spread[0] < spread[1] < spread[2]


# --- noise


def test_the_noise_scale_is_the_root_of_light_where_light_is_plenty_and_light_where_not() -> None:
    roots = np.linspace(0.0, 1.0, 256)
    for read in (0.05, 0.15):
        scale = stabilised(roots, read)
        assert scale[0] == 0.0 and scale[-1] == pytest.approx(1.0)
        assert destabilised(scale, read) == pytest.approx(roots, abs=1e-9)
        # Near black it goes with light, root^2 / (2 read); near white its slope is about 1.
        near_black = roots[1] ** 2 / (2 * read * (math.hypot(1, read) - read))
        assert scale[1] == pytest.approx(near_black, rel=0.01)
        assert (scale[-1] - scale[-2]) * 255 == pytest.approx(1 / (1 - read), rel=0.05)


def test_noise_has_its_strength_and_no_mean() -> None:
    grey = np.full((480, 640, 3), 128, np.uint8)
    clean, noisy = seen(grey, CameraModel()), seen(grey, CameraModel(noise=4.0))
    difference = noisy.astype(float) - clean
    slope = (tone((129 / 255) ** 2) - tone((127 / 255) ** 2)) / 2 * 255
    assert difference.std() == pytest.approx(4.0 * slope, rel=0.05)
    assert abs(difference.mean()) < 0.3


def test_darkness_adds_noise_most_of_all_in_the_dark() -> None:
    camera, more = CameraModel(noise=3.0), {}
    for level in (30, 128):
        grey = np.full((480, 640, 3), level, np.uint8)
        more[level] = seen(grey, camera, darkness=1.0).std() / seen(grey, camera).std()
    # Two and a half times the noise; where reading rules, the root of light moves further.
    assert 2.0 < more[128] < 2.6 and 3.0 < more[30] < 4.0


def test_noise_moves_from_frame_to_frame() -> None:
    rolls, camera = dice(), CameraModel(noise=4.0)
    grey = np.full((480, 640, 3), 128, np.uint8)
    frames = [expose(grey, (), camera, rolls)[0] for _ in range(3)]
    assert (frames[0] != frames[1]).mean() > 0.5 and (frames[1] != frames[2]).mean() > 0.5


# --- labels


def square(width: int, height: int, seed: int) -> tuple[Frame, Any]:
    """A white square on black somewhere in the middle, and its label."""
    rng = np.random.default_rng(seed)
    side = min(width, height) // 3
    x, y = rng.integers(width // 8, width * 7 // 8 - side), rng.integers(0, height // 2)
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + side, x : x + side] = 1
    return np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), mask


@pytest.mark.parametrize("seed", range(40))
def test_a_white_square_and_its_label_stay_together(seed: int) -> None:
    camera = sample_camera(dice(seed, dirt=0.0, distortion=3.0, exposure=0.0), 640, 480)
    camera = dataclasses.replace(camera, bonnet=None)
    picture, mask = square(640, 480, seed)
    frame, (label,) = expose(picture, (mask,), camera, dice(seed))
    grey = frame.mean(axis=2)
    middle = (np.median(grey[label == 1]) + np.median(grey[label == 0])) / 2
    bright = cv2.medianBlur((grey > middle).astype(np.uint8), 3)
    # Smeared edges are somewhere within their streak: an eighth of it to the label's side.
    slack = 1 + math.ceil(camera.motion_blur / 8)
    kernel = np.ones((2 * slack + 1, 2 * slack + 1), np.uint8)
    assert 10000 < label.sum() < 60000
    assert (cv2.dilate(label, kernel) >= bright).all()
    assert (cv2.dilate(bright, kernel) >= label).all()


def test_labels_of_every_kind_bend_alike_and_are_never_blended() -> None:
    camera = CameraModel(distortion=(-0.1, 0.0), field=80.0)
    picture = scenery()
    labels = labels_of(picture)
    _, bent = expose(picture, labels, camera, dice())
    assert [label.dtype for label in bent] == [np.dtype(kind) for kind in KINDS]
    assert (bent[0] != labels[0]).mean() > 0.05
    for label, original in zip(bent, labels, strict=True):
        assert set(np.unique(label)) <= set(np.unique(original))
        if label.dtype != np.bool_:
            assert (label == bent[0]).all()
    assert (bent[4] == (bent[0] > 0)).all()


def test_a_mirrored_camera_turns_everything() -> None:
    picture = scenery()
    labels = labels_of(picture)
    camera = CameraModel(distortion=(-0.1, 0.0), bonnet=HOOD, vignette=0.5)
    plain, straight = expose(picture, labels, camera, dice())
    turned, mirrored = expose(picture, labels, dataclasses.replace(camera, mirrored=True), dice())
    assert (turned == plain[:, ::-1]).all() and (turned != plain).any()
    for one, other in zip(straight, mirrored, strict=True):
        assert one.dtype == other.dtype and (one[:, ::-1] == other).all()


def test_the_bonnet_hides_what_is_behind_it() -> None:
    picture = scenery()
    mask, depth = np.ones((480, 640), np.uint8), np.full((480, 640), 7.0, np.float32)
    camera = CameraModel(bonnet=HOOD)
    frame, (hidden, far) = expose(picture, (mask, depth), camera, dice(), background=(3, 99.5))
    # It reaches a fifth up in the middle, 96 rows, and at 1 - (0.35 / 0.7)^2 of that at x = 96.
    assert (hidden[:, 320] == 3).sum() == 96
    assert abs((hidden[:, 96] == 3).sum() - 72) <= 1
    assert ((hidden == 3) == (far == 99.5)).all() and set(np.unique(hidden)) == {1, 3}
    plain = seen(picture, CameraModel())
    changed = (frame != plain).any(axis=2)
    assert not changed[:383].any() and changed[hidden == 3].mean() > 0.95
    assert (mask == 1).all() and (depth == 7.0).all()


# --- what is in the way of light


def test_a_vignette_takes_its_share_of_light_in_the_corners() -> None:
    white = np.full((480, 640, 3), 200, np.uint8)
    frame = seen(white, CameraModel(vignette=0.5))
    light = (200 / 255) ** 2
    assert frame[240, 320, 0] == pytest.approx(255 * tone(light), abs=1.5)
    # 312 and 232 pixels off the middle, of 400 to the corner: 94.5 % of the way in square.
    assert frame[8, 8, 0] == pytest.approx(255 * tone(light * (1 - 0.5 * 0.945)), abs=2.0)


def test_the_same_glass_has_the_same_spots_in_every_frame() -> None:
    camera = CameraModel(glass=Glass(dirt=1.0, veil=0.2, seed=5))
    picture = scenery()
    first, other = expose(picture, (), camera, dice(1))[0], expose(picture, (), camera, dice(2))[0]
    assert (first == other).all()
    elsewhere = dataclasses.replace(camera, glass=dataclasses.replace(camera.glass, seed=6))
    assert (seen(picture, elsewhere) != first).mean() > 0.1


def test_stray_light_brightens_the_dark_most_where_it_comes_from() -> None:
    black = np.zeros((480, 640, 3), np.uint8)
    frame = seen(black, CameraModel(glass=Glass(veil=0.3, glare=(0.1, 0.1)))).astype(float)
    assert frame.min() > 5 and frame[48, 64].mean() > 1.5 * frame[470, 630].mean()


def test_dirt_darkens_the_bright_and_brightens_the_dark() -> None:
    camera = CameraModel(glass=Glass(dirt=1.0, seed=2))
    bright, dark = np.full((480, 640, 3), 240, np.uint8), np.full((480, 640, 3), 20, np.uint8)
    dark[:, 320:] = 200
    assert seen(bright, camera).min() < 0.8 * seen(bright, CameraModel()).min()
    assert seen(dark, camera)[:, :300].max() > 1.5 * seen(dark, CameraModel())[:, :300].max()


def test_lights_have_halos() -> None:
    picture = np.full((480, 640, 3), 20, np.uint8)
    picture[200:240, 300:340] = 255
    halo = seen(picture, CameraModel(glass=Glass(veil=0.3)), darkness=1.0).astype(float)
    assert halo[220, 355].mean() > halo[220, 500].mean() + 3


def test_drops_are_there_in_rain_only_and_leave_labels_alone() -> None:
    camera = CameraModel(glass=Glass(drops=1.0, seed=3))
    picture = scenery()
    mask = labels_of(picture)[0]
    dry, _ = expose(picture, (mask,), camera, dice())
    wet, (label,) = expose(picture, (mask,), camera, dice(), rain=1.0)
    assert (dry == seen(picture, CameraModel())).all() and label is mask
    cleared = seen(picture, CameraModel(), rain=1.0)
    assert 0.02 < (wet != cleared).any(axis=2).mean() < 0.4


def test_more_rain_has_more_streaks_and_only_adds_light() -> None:
    grey = np.full((480, 640, 3), 90, np.uint8)
    amounts = [(glass.add_rain(grey, rain, 0.0, 1) > 90).mean() for rain in (0.1, 0.4, 1.0)]
    assert 0.0 < amounts[0] < amounts[1] < amounts[2] < 0.3
    assert glass.add_rain(grey, 1.0, 0.0, 1).min() == 90


def test_driving_smears_the_sides_and_not_the_way_ahead() -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, ::16] = 255  # thin upright lines
    sharp = seen(picture, CameraModel())
    smeared = seen(picture, CameraModel(motion_blur=8.0))
    assert smeared[240, 316:325].max() > 0.9 * sharp.max()
    assert smeared[240, :24].max() < 0.8 * sharp.max()


def test_softness_sharpening_and_shake_change_detail_as_they_say() -> None:
    rough = np.random.default_rng(0).integers(60, 196, (120, 160, 3), dtype=np.uint8)
    picture = np.repeat(np.repeat(rough, 4, axis=0), 4, axis=1)

    def detail(camera: CameraModel) -> float:
        return float(cv2.Laplacian(seen(picture, camera), cv2.CV_32F).std())

    usual = detail(CameraModel())
    assert detail(CameraModel(softness=1.0)) < usual < detail(CameraModel(sharpening=1.0))
    assert detail(CameraModel(shake=(5, 3))) < usual


def test_jpeg_of_less_quality_is_farther_from_the_frame() -> None:
    picture = scenery()
    clean = seen(picture, CameraModel()).astype(float)
    errors = [np.abs(seen(picture, CameraModel(jpeg=q)) - clean).mean() for q in (95, 60, 20)]
    assert 0.0 < errors[0] < errors[1] < errors[2] < 20.0


# --- determinism


def test_the_same_bytes_whatever_the_number_of_threads(threads: None) -> None:
    picture = scenery()
    labels = labels_of(picture)
    for seed in range(12):
        results = []
        for number in (1, 4):
            cv2.setNumThreads(number)
            camera = sample_camera(dice(seed, dirt=5.0, distortion=3.0), 640, 480)
            how = {"rain": seed % 3 / 2, "darkness": seed % 2 / 1}
            frame, bent = expose(picture, labels, camera, dice(seed), **how)
            results.append([frame, *bent])
        assert all((a == b).all() for a, b in zip(*results, strict=True))


def test_what_is_drawn_does_not_depend_on_the_picture_the_weather_or_the_camera() -> None:
    following = set()
    for picture in (np.zeros((480, 640, 3), np.uint8), scenery()):
        for camera in (CameraModel(), sample_camera(dice(3), 640, 480)):
            for rain in (0.0, 0.7):
                rolls = dice(9)
                expose(picture, (), camera, rolls, rain=rain)
                after = tuple(rolls.stream(term).random() for term in TERMS)
                following.add(after)
    assert len(following) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([(64, 48), (16, 16), (97, 31), (40, 160), (320, 240)]),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.sampled_from([0.0, 1.0, MOST]),
)
def test_any_seed_gives_a_frame_and_labels_of_their_shape(
    seed: int, size: tuple[int, int], rain: float, darkness: float, strength: float
) -> None:
    rolls = Dice(DomainRandomization(**dict.fromkeys(TERMS, strength)), seed)
    camera = sample_camera(rolls, *size)
    picture = scenery(*size, seed=seed)
    before = picture.copy()
    labels = labels_of(picture)
    frame, bent = expose(picture, labels, camera, rolls, rain=rain, darkness=darkness)
    assert frame.shape == picture.shape and frame.dtype == np.uint8
    assert [(label.shape, label.dtype) for label in bent] == [
        (label.shape, label.dtype) for label in labels
    ]
    assert (picture == before).all()


# --- refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"picture": np.zeros((480, 600, 3), np.uint8)}, "(480, 600, 3) uint8 does not fit"),
        ({"picture": np.zeros((480, 640, 3), np.float32)}, "float32 does not fit"),
        ({"picture": np.zeros((480, 640), np.uint8)}, "(480, 640) uint8 does not fit"),
        ({"labels": (np.zeros((48, 64), np.uint8),)}, "labels of (48, 64)"),
        ({"background": (0.0, 1.0)}, "2 background values were given for 1 labels"),
        ({"rain": 1.5}, "rain is in 0..1, not 1.5"),
        ({"darkness": math.nan}, "darkness is in 0..1, not nan"),
        ({"camera": CameraModel(place=Pose(height=-1.0))}, "under it"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_line(
    changes: dict[str, Any], message: str
) -> None:
    inputs: dict[str, Any] = {
        "picture": np.zeros((480, 640, 3), np.uint8),
        "labels": (np.zeros((480, 640), np.uint8),),
        "camera": CameraModel(),
        "dice": dice(),
    }
    with pytest.raises(EdgeSegError) as caught:
        expose(**{**inputs, **changes})
    assert message in str(caught.value) and "\n" not in str(caught.value)
