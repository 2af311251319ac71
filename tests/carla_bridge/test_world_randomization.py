"""Strengths of terms: streams apart, zero means off, mistakes are one line."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carla_bridge.world.randomization import TERMS, Dice, DomainRandomization, parse_terms
from edge_seg.errors import EdgeSegError


def test_each_term_draws_from_a_stream_of_its_own() -> None:
    first, second = Dice(DomainRandomization(), 1), Dice(DomainRandomization(night=0.0), 1)
    second.stream("night").random(1000)
    assert first.stream("rain").random() == second.stream("rain").random()
    assert len({Dice(DomainRandomization(), 1).stream(term).random() for term in TERMS}) == len(
        TERMS
    )


def test_a_stream_goes_on_where_it_was_left_and_starts_anew_in_other_dice() -> None:
    dice = Dice(DomainRandomization(), 3, 4)
    drawn = [dice.stream("sun").random() for _ in range(3)]
    again = Dice(DomainRandomization(), 3, 4).stream("sun").random(3).tolist()
    assert drawn == again
    assert Dice(DomainRandomization(), 3, 5).stream("sun").random() != drawn[0]


def test_happenings_follow_strength() -> None:
    def share(strength: float) -> float:
        terms = DomainRandomization(rain=strength)
        return sum(Dice(terms, i).happens("rain", 0.1) for i in range(2000)) / 2000

    assert share(0.0) == 0.0
    assert share(1.0) == pytest.approx(0.1, abs=0.025)
    assert share(2.0) == pytest.approx(0.2, abs=0.035)
    assert share(10.0) == 1.0


def test_what_happens_at_a_low_strength_happens_at_a_high_one_too() -> None:
    weak, strong = DomainRandomization(fog=0.5), DomainRandomization(fog=2.0)
    for i in range(300):
        if Dice(weak, i).happens("fog", 0.3):
            assert Dice(strong, i).happens("fog", 0.3)


@given(st.floats(0.0, 3.0), st.integers(0, 10_000))
def test_uniform_draws_in_towards_the_neutral_value(strength: float, seed: int) -> None:
    full = Dice(DomainRandomization(), seed).uniform("pose", 2.0, 6.0, neutral=3.0)
    drawn = Dice(DomainRandomization(pose=strength), seed).uniform("pose", 2.0, 6.0, neutral=3.0)
    assert drawn == pytest.approx(3.0 + (full - 3.0) * min(strength, 1.0))
    assert Dice(DomainRandomization(pose=0.0), seed).normal("pose", 5.0) == 0.0


def test_terms_are_parsed_and_a_bare_name_means_always() -> None:
    terms = parse_terms(["night=0", "rain=2.5", "fog"])
    assert (terms.night, terms.rain, terms.fog, terms.sun) == (0.0, 2.5, 100.0, 1.0)
    assert Dice(terms, 9).happens("fog", 0.01)
    assert parse_terms(["sun=0"], base=terms).rain == 2.5
    assert terms.changed() == ["night=0", "rain=2.5", "fog=100"]
    assert parse_terms(terms.changed()) == terms


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nigth=0", "night"),
        ("night=dark", "NAME=NUMBER"),
        ("night=", "NAME=NUMBER"),
        ("night=-1", "0..100"),
        ("night=nan", "0..100"),
        ("night=inf", "0..100"),
        ("night=101", "0..100"),
        ("=1", "no term"),
    ],
)
def test_a_mistake_is_one_line_with_the_way_out(text: str, said: str) -> None:
    with pytest.raises(EdgeSegError, match=said) as caught:
        parse_terms([text])
    assert "\n" not in str(caught.value)


def test_a_term_nobody_declared_is_our_own_mistake() -> None:
    with pytest.raises(KeyError):
        Dice(DomainRandomization(), 1).stream("snow")
    assert all(math.isfinite(getattr(DomainRandomization(), term)) for term in TERMS)
