"""Light and weather: every term does what it says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from carla_bridge.world.randomization import TERMS, Dice, DomainRandomization, parse_terms
from carla_bridge.world.scene.look import sample_look

NEUTRAL = DomainRandomization(**dict.fromkeys(TERMS, 0.0))
SURFACES = ("asphalt", "grain", "verge", "vergeOther", "pavement", "slab", "shoulder")


def looks(count: int, *terms: str, base: DomainRandomization | None = None):  # type: ignore[no-untyped-def]
    strengths = parse_terms(list(terms), base)
    return [sample_look(Dice(strengths, 7, number)) for number in range(count)]


def test_the_neutral_look_is_a_dry_clear_day() -> None:
    for look in looks(20, base=NEUTRAL):
        assert look.switches == frozenset()
        assert (look.rain, look.darkness) == (0.0, 0.0)
        assert look.inputs["wet"] == (0.0, 0.0)
        assert look.inputs["beamLight"] == (0.0, 0.0, 0.0)
        assert look.inputs["asphalt"] == pytest.approx((0.11, 0.11, 0.11))
        assert np.linalg.norm(look.sun) == pytest.approx(1.0)
        assert look.sun[2] > 0.1


def test_all_numbers_are_finite_and_light_is_never_negative() -> None:
    for look in looks(300):
        assert all(np.isfinite(value).all() for value in look.inputs.values())
        for name in ("sunLight", "skyLight", "hazeColour", "asphalt", "verge", "pavement"):
            assert min(look.inputs[name]) >= 0.0
        assert look.inputs["air"][0] > 0.0
        assert 0.0 <= look.rain <= 1.0
        assert 0.0 <= look.darkness <= 1.0


def test_weather_comes_as_often_as_it_says() -> None:
    found = looks(1000)
    assert np.mean(["NIGHT" in look.switches for look in found]) == pytest.approx(0.1, abs=0.03)
    assert np.mean([look.rain > 0 for look in found]) == pytest.approx(0.1, abs=0.03)
    assert all("NIGHT" in look.switches for look in looks(50, "night"))
    assert not any("NIGHT" in look.switches for look in looks(50, "night=0"))


def test_rain_wets_the_road_and_hides_the_sun() -> None:
    for look in looks(50, "rain", "night=0"):
        assert "WET" in look.switches
        assert look.inputs["wet"][0] > 0.4
        assert max(look.inputs["sunLight"]) < 0.5
    assert not any("WET" in look.switches for look in looks(200, "rain=0", "puddles=0"))


def test_night_is_lit_by_lamps_and_headlights() -> None:
    for night, day in zip(looks(20, "night"), looks(20, "night=0"), strict=True):
        assert night.darkness == 1.0
        assert min(night.inputs["beamLight"]) > 0.0
        assert max(night.inputs["skyLight"]) < 0.1 < max(day.inputs["skyLight"])
        # The hour changes nothing about the road itself.
        assert all(night.inputs[name] == day.inputs[name] for name in SURFACES)


def test_fog_is_thick_and_shadows_can_be_switched_off() -> None:
    assert min(look.inputs["air"][0] for look in looks(20, "fog")) >= 0.006
    for look in looks(50, "shadows=0"):
        assert look.inputs["shadowStrength"] == (0.0,)
        assert "DAPPLE" not in look.switches


@pytest.mark.parametrize("term", ["cracks", "patches", "tar", "glare", "fog", "shadows", "night"])
def test_a_term_switched_off_leaves_the_surfaces_as_they_were(term: str) -> None:
    for off, on in zip(looks(20, f"{term}=0"), looks(20), strict=True):
        assert off.inputs["asphalt"] == on.inputs["asphalt"]
        assert off.inputs["verge"] == on.inputs["verge"]
        assert off.inputs["pavement"] == on.inputs["pavement"]
