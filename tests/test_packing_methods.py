"""Fine-tuning as a step of a pack: what is kept of it, and that it goes on where it was cut off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
from test_packing_ladder import source_of

from edge_seg.bundle.archive import open_bundle
from edge_seg.cache import Cache
from edge_seg.engines.lowering import Source
from edge_seg.packer import Request, pack, record
from edge_seg.packing.methods import improve
from edge_seg.progress import Item, silent
from edge_seg.quantize.learn.curve import Check
from edge_seg.quantize.learn.lesson import Settings
from edge_seg.quantize.recipe import decode, encode

LESSON = Settings(steps=6, check_every=2, rate=0.05)
OTHER = msgspec.structs.replace(LESSON, seed=1)


@pytest.fixture(scope="module")
def source(tiny_request: Request, tmp_path_factory: pytest.TempPathFactory) -> Source:
    cache = Cache(tmp_path_factory.mktemp("decided"))
    given = source_of(tiny_request, tiny_request.model, cache)
    return replace(given, frames=given.frames[:8])


@dataclass
class Watch:
    """Counts the steps of fine-tuning, and is killed before one of them where that is asked."""

    killed_before: int = 1000
    steps: list[int] = field(default_factory=list)

    def __call__(self, items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
        for item in items:
            if description == "fine-tuning":
                assert isinstance(item, int)
                if item == self.killed_before:
                    raise KeyboardInterrupt
                self.steps.append(item)
            yield item


def checkpoints(cache: Cache) -> set[str]:
    return {path.name for path in cache.folder.glob("fine-tuning-*")}


def same(one: Source, other: Source) -> bool:
    graphs = [each.graph.SerializeToString(deterministic=True) for each in (one, other)]
    return graphs[0] == graphs[1] and one.recipe == other.recipe


def test_two_lessons_of_a_draft_are_cut_off_and_each_goes_on_where_it_was(
    source: Source, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cut")
    for lesson in (LESSON, OTHER):
        with pytest.raises(KeyboardInterrupt):
            improve("qat", source, cache, Watch(killed_before=5), lesson)
    assert len(both := checkpoints(cache)) == 2
    made = []
    for lesson, left in ((OTHER, 1), (LESSON, 0)):
        made.append(improve("qat", source, cache, watch := Watch(), lesson))
        assert watch.steps == [4, 5]
        assert len(checkpoints(cache)) == left and checkpoints(cache) < both
    whole = [
        improve("qat", source, Cache(tmp_path / f"{lesson.seed}"), silent, lesson)
        for lesson in (OTHER, LESSON)
    ]
    assert same(made[0], whole[0]) and same(made[1], whole[1])
    assert not same(*whole)


def test_the_same_draft_by_another_recipe_has_a_checkpoint_of_its_own(
    source: Source, tmp_path: Path
) -> None:
    """Of another rule with the same ranges, biases are corrected alike and the graphs are one."""
    cache = Cache(tmp_path / "cut")
    asked = msgspec.structs.replace(source.recipe, range_rule="moving-average")
    for each in (source, replace(source, recipe=asked)):
        with pytest.raises(KeyboardInterrupt):
            improve("qat", each, cache, Watch(killed_before=3), LESSON)
    assert len(checkpoints(cache)) == 2


def test_the_curve_is_kept_in_the_recipe_and_in_the_cache(source: Source, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    curve = improve("qat", source, cache, silent, LESSON).recipe.curve
    assert [check.step for check in curve] == [0, 2, 4, 6]
    lowest = min(curve, key=lambda check: check.held_out)
    (said,) = improve("qat", source, cache, silent, LESSON).recipe.notes
    assert f"{lowest.held_out:.3g}, best at step {lowest.step} of 6" in said
    again = improve("qat", source, cache, watch := Watch(), LESSON)
    assert again.recipe.curve == curve and watch.steps == []
    assert improve("equalized", source, cache, silent).recipe.curve == ()


def test_a_check_without_a_number_is_not_kept(source: Source) -> None:
    """JSON has no such numbers, and a recipe must be read again."""
    curve = [Check(0, 0.5, 0.5), Check(20, float("inf"), 0.25), Check(40, 0.1, float("nan"))]
    kept = source.recipe.learnt_by([*curve, Check(60, 0.125, 0.0625)])
    assert kept.curve == (Check(0, 0.5, 0.5), Check(60, 0.125, 0.0625))
    assert decode(encode(kept)) == kept


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_bundle")
def test_a_pack_tells_the_curve_of_what_it_packed(
    tiny_request: Request, pack_cache: Cache, tmp_path: Path
) -> None:
    asked = replace(tiny_request, method="qat", lesson=LESSON, output=tmp_path / "lane.edgeseg")
    result = pack(asked, cache=pack_cache)
    recipe = decode(open_bundle(result.path).read("recipe.json"))
    shown = msgspec.json.decode(msgspec.json.encode(record(result)))
    assert shown["curve"] == [
        {"step": check.step, "loss": check.loss, "held_out": check.held_out}
        for check in recipe.curve
    ]
    assert [check["step"] for check in shown["curve"]] == [0, 2, 4, 6]
    assert b'id="learning"' in open_bundle(result.path).read("report.html")
