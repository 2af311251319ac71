"""Weather: CARLA's fields, and what the sun, clouds, rain and fog make of the light."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

import carla

from carla_bridge.world.scene.look import Look
from carla_bridge.world.studio import Weather, encode
from carla_bridge.world.studio.light import look_of, surfaces

SURFACES = surfaces(0)


def look(**weather: float) -> Look:
    return look_of(Weather(**weather), SURFACES)


def exposed(seen: Look, name: str) -> float:
    return float(np.mean(seen.inputs[name])) * seen.inputs["air"][1]


def test_the_fields_are_carlas() -> None:
    theirs = carla.WeatherParameters()
    assert all(isinstance(getattr(theirs, field.name), float) for field in fields(Weather))
    assert len(fields(Weather)) == 14


def test_the_sun_stands_where_it_is_told() -> None:
    assert look(sun_altitude_angle=90.0).sun == pytest.approx([0.0, 0.0, 1.0], abs=1e-9)
    # Azimuth 90 is to the right of x, which is to the south in map coordinates.
    low = look(sun_altitude_angle=30.0, sun_azimuth_angle=90.0).sun
    assert low == pytest.approx([0.0, -np.sqrt(3) / 2, 0.5])


def test_below_the_horizon_it_is_night() -> None:
    assert "NIGHT" not in look(sun_altitude_angle=0.0).switches
    night = look(sun_altitude_angle=-1.0)
    assert "NIGHT" in night.switches
    assert min(night.inputs["lampLight"]) > 0.0 and min(night.inputs["beamLight"]) > 0.0
    assert max(look(sun_altitude_angle=10.0).inputs["lampLight"]) == 0.0


def test_dusk_has_no_step() -> None:
    before, after = look(sun_altitude_angle=0.0), look(sun_altitude_angle=-0.01)
    assert exposed(after, "skyLight") == pytest.approx(exposed(before, "skyLight"), rel=0.25)


def test_it_grows_dark() -> None:
    levels = [
        float(np.sum(look(sun_altitude_angle=angle).inputs["skyLight"]))
        for angle in (60.0, 10.0, 3.0, -1.0, -5.0, -20.0)
    ]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] > 0.0


def test_a_low_sun_is_red_and_clouds_hide_it() -> None:
    red, _, blue = look(sun_altitude_angle=4.0).inputs["sunLight"]
    high_red, _, high_blue = look(sun_altitude_angle=70.0).inputs["sunLight"]
    assert red / blue > 3.0 > high_red / high_blue > 1.0
    assert max(look(cloudiness=100.0).inputs["sunLight"]) == 0.0
    assert look(cloudiness=100.0).inputs["shadowStrength"] == (0.0,)


def test_water_and_fog() -> None:
    assert "WET" not in look().switches
    assert look(wetness=50.0).inputs["wet"] == pytest.approx((0.5, 0.0))
    assert look(precipitation_deposits=100.0).inputs["wet"] == pytest.approx((0.7, 0.6))
    # 3 / extinction is the visibility.
    assert 3.0 / look().inputs["air"][0] > 5000.0
    assert 3.0 / look(fog_density=100.0).inputs["air"][0] == pytest.approx(60.0, rel=0.05)
    near, far = (look(fog_density=60.0, fog_distance=d).inputs["air"][0] for d in (0.0, 50.0))
    assert 1.0 / far == pytest.approx(1.0 / near + 50.0, rel=0.1)


@pytest.mark.parametrize("name", [field.name for field in fields(Weather)])
@pytest.mark.parametrize("value", [-1.0, 1e9])
def test_no_number_breaks_the_light(name: str, value: float) -> None:
    for inputs in look(**{name: value}).inputs.values():
        assert np.isfinite(inputs).all()


def test_surfaces_are_the_seeds() -> None:
    assert all(np.array_equal(surfaces(5)[k], v) for k, v in surfaces(5).items())
    assert any(not np.array_equal(surfaces(6)[k], v) for k, v in surfaces(5).items())


def test_labels_are_encoded_as_carlas() -> None:
    labels = np.array([[[0x12, 0x34, 24, 7], [0, 0, 11, 255]]], np.uint8)
    assert encode.semantic(labels).tolist() == [[[0, 0, 24, 255], [0, 0, 11, 255]]]
    assert encode.instance(labels).tolist() == [[[0x12, 0x34, 24, 255], [0, 0, 11, 255]]]


def test_depth_has_three_bytes() -> None:
    metres = np.array([[0.0, 1000.0, 5000.0, 500.0, 1000.0 / (2**24 - 1) * 258.0]], np.float32)
    pixels = encode.depth(metres)[0].tolist()
    assert pixels[:3] == [[0, 0, 0, 255], [255, 255, 255, 255], [255, 255, 255, 255]]
    blue, green, red, _ = pixels[3]
    assert (red + 256 * green + 65536 * blue) / (2**24 - 1) == pytest.approx(0.5, abs=1e-6)
    assert pixels[4] == [0, 1, 2, 255]


def test_the_camera_has_the_srgb_curve_and_no_holes() -> None:
    roots = np.array([[[0, 128, 255, 3]]], np.uint8)
    # 128/255 squared is 0.252 of the light; sRGB has 0.539 for it.
    assert encode.rgb(roots).tolist() == [[[0, 137, 255, 255]]]
