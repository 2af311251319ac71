from __future__ import annotations

import pytest

from edge_seg import engines
from edge_seg.errors import EdgeSegError, closest
from edge_seg.target import find, installed


def test_targets_are_found_by_name_and_by_alias() -> None:
    for target in installed():
        for name in (target.name, *target.aliases):
            assert find(name) == target


def test_no_name_or_alias_is_taken_twice() -> None:
    taken = [name for target in installed() for name in (target.name, *target.aliases)]
    assert len(taken) == len(set(taken))


def test_every_engine_that_a_target_names_exists() -> None:
    for target in installed():
        for name in target.engines:
            assert engines.find(name).name == name


@pytest.mark.parametrize("name", ["X86", "x86-64", "X86_64", "PC"])
def test_case_and_dashes_do_not_matter(name: str) -> None:
    assert find(name).name == "x86"


@pytest.mark.parametrize(("wrong", "right"), [("x68", "x86"), ("rasperry-pi", "raspberry-pi")])
def test_an_unknown_target_gets_the_closest_name(wrong: str, right: str) -> None:
    with pytest.raises(EdgeSegError, match=f"unknown target '{wrong}': did you mean '{right}'"):
        find(wrong)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        (
            "lane-unt",
            ["lane-unet", "deeplab"],
            "did you mean 'lane-unet'? known: deeplab, lane-unet",
        ),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [], "known: none"),
        ("", ["a"], "known: a"),
    ],
)
def test_the_closest_name_is_offered_with_all_others(
    name: str, known: list[str], hint: str
) -> None:
    assert closest(name, known) == hint
