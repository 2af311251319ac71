"""What the numbers of a study show, in sentences, and nothing beyond.

    conclude(results)            # ["onnxruntime int8 ptq loses 0.31 points of ..."]

Rows are compared frame by frame: each frame's mean IoU in one row minus that in the other. The
interval (`edge_seg.study.intervals`) is over the frames. It says how far the mean would move with
other frames of this kind; not with other seeds, data or networks. What shows a difference has a
sentence of its own; what shows none shares one (`edge_seg.study.sentences`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise, permutations
from typing import NamedTuple

import numpy as np

from edge_seg.figures import figure
from edge_seg.study.intervals import LEVEL, interval
from edge_seg.study.results import Results, Row, names_of
from edge_seg.study.sentences import (
    Compared,
    Share,
    say,
    share,
    shares_of_time,
    signed,
    span,
    together,
)


def conclude(results: Results) -> list[str]:
    """Return the sentences."""
    done = [row for row in results.rows if row.status == "done"]
    study = _Study(results, _by_words(done), names_of(results.rows))
    parts = (_between_networks, _against_float, _between_rows, _between_sizes)
    compared = [found for part in parts for found in part(study)]
    said = [text for text, _ in compared]
    said += _times(study, done)
    said += _reservations(study, done, sum(count for _, count in compared))
    return said


_Group = list[Row]
"""The same row with different seeds."""
_Said = tuple[str, int]
"""A sentence, and how many intervals are behind it."""


class _Study(NamedTuple):
    results: Results
    groups: list[_Group]
    names: dict[str, str]

    @property
    def several(self) -> bool:
        """Say whether there are several networks."""
        return len({row.variant for row in self.results.rows}) > 1

    def reference(self, row: Row) -> Row | None:
        """Return the float row that a row is held against, None where it failed."""
        found = self.results.row(row.reference)
        return found if found is not None and found.status == "done" else None

    def name(self, group: _Group) -> str:
        """Return what a group is called: a row's name, with a seed only where that is one of it."""
        name = self.names[group[0].key]
        return name.rsplit(" seed ", 1)[0] if len(group) > 1 or _alone(group) else name

    def kind(self, group: _Group) -> str:
        """Return its name without the network's."""
        name = self.name(group)
        return name.removeprefix(f"{group[0].variant} ") if self.several else name


def _by_words(rows: Iterable[Row]) -> list[_Group]:
    groups: dict[tuple[object, ...], _Group] = {}
    for row in rows:
        words = (
            row.variant,
            row.engine,
            row.precision,
            row.method,
            row.bits,
            row.per_channel,
            row.fold,
        )
        groups.setdefault(words, []).append(row)
    return list(groups.values())


def paired(rows: Sequence[tuple[Row, Row]]) -> list[float]:
    """Return frame by frame the first's score minus the second's, each frame's mean over pairs.

    A frame without a score in one of them is left out.
    """
    frames: dict[int, list[float]] = {}
    for one, other in rows:
        for index, (a, b) in enumerate(zip(one.image_scores, other.image_scores, strict=True)):
            if a is not None and b is not None:
                frames.setdefault(index, []).append(a - b)
    return [float(np.mean(values)) for _, values in sorted(frames.items())]


def _compared(
    pairs: Sequence[tuple[Row, Row]], name: str, other: str, rest: str = ""
) -> Compared | None:
    """Return what pairs of rows show, None where they have no frame in common."""
    differences = paired(pairs)
    if not differences:
        return None
    return Compared(name, other, interval(differences), _seeds(pairs) + rest)


def _between_networks(study: _Study) -> Iterator[_Said]:
    """Hold the float rows of all networks against the best of them."""
    floats = [group for group in study.groups if group[0].is_reference]
    if len(floats) < 2:
        return
    best = max(floats, key=_mean)
    name, measure = best[0].variant, study.results.measure
    others = [
        _compared(_same_seeds(best, group), group[0].variant, name)
        for group in floats
        if group is not best
    ]
    yield (
        f"Of {len(floats)} networks in float {name} has the highest {measure}, "
        f"{figure(_mean(best))} on the mean frame",
        0,
    )
    yield from _said(f"{name} against others", list(filter(None, others)), measure, "networks")


def _mean(group: _Group) -> float:
    known = [value for row in group for value in row.image_scores if value is not None]
    return float(np.mean(known)) if known else 0.0


def _said(subject: str, found: Sequence[Compared], measure: str, of: str) -> Iterator[_Said]:
    """Yield a sentence for each that shows a difference, and one for all that show none."""
    quiet = [one for one in found if one.is_quiet]
    for one in found:
        if not one.is_quiet or len(quiet) == 1:
            yield say(one, measure), int(one.found.low is not None)
    if len(quiet) > 1:
        yield together(subject, quiet, measure, _count(len(quiet), len(found), of)), len(quiet)


def _count(some: int, every: int, of: str) -> str:
    return f"{some} {of}" if some == every else f"{some} of {every} {of}"


def _against_float(study: _Study) -> Iterator[_Said]:
    """Hold what is packed against float: alike rows of all networks, or all of an engine."""
    places: dict[str, list[tuple[Compared, _Group]]] = {}
    for group in study.groups:
        pairs = [
            (reference, row)
            for row in group
            if (reference := study.reference(row)) is not None and not row.is_reference
        ]
        found = _compared(pairs, study.name(group), "float", f"; {_agrees([group])}")
        if found is not None:
            engine = " ".join(study.kind(group).split()[:2])
            place = study.kind(group) if study.several else engine
            places.setdefault(place, []).append((found, group))
    of = "networks" if study.several else "rows"
    for place, several in places.items():
        quiet = [group for one, group in several if one.is_quiet]
        subject = f"{place} against float"
        for text, count in _said(subject, [one for one, _ in several], study.results.measure, of):
            yield f"{text}; {_agrees(quiet)}" if count > 1 else text, count


def _agrees(groups: Sequence[_Group]) -> str:
    """Say on how many pixels masks are float's: the mean of one row, the span of several."""
    found = [interval(_agreements(group)) for group in groups]
    means = span([one.mean for one in found])
    low, high = found[0].low, found[0].high
    ends = "" if low is None or high is None else f" ({figure(low)} to {figure(high)})"
    same = "the same class" if groups[0][0].depth is None else "the same depth or the next"
    return f"{same} on {means} %{ends if len(found) == 1 else ''} of pixels"


def _agreements(group: _Group) -> list[float]:
    by_seed = (row.image_agreement for row in group)
    return [float(np.mean(values)) for values in zip(*by_seed, strict=True)]


def _between_rows(study: _Study) -> Iterator[_Said]:
    """Compare each two int8 rows of an engine that differ in one thing: method, bits or grid.

    Of several numbers of bits each is held against the next.
    """
    places: dict[tuple[str, str, str], list[Compared]] = {}
    bits = sorted({group[0].bits for group in study.groups if group[0].precision == "int8"})
    steps = {frozenset(pair) for pair in pairwise(bits)}
    for one, other in combinations(study.groups, 2):
        apart = _difference(one[0], other[0])
        if one[0].bits != other[0].bits and {one[0].bits, other[0].bits} not in steps:
            continue
        pairs = _same_seeds(one, other) if apart else []
        found = _compared(pairs, study.name(other), apart)
        if found is None:
            continue
        if _same_masks(study.results, pairs):
            yield f"{found.name} gives the same masks as {apart}, pixel for pixel", 0
        else:
            places.setdefault(_place(one[0]), []).append(found)
    for place, several in places.items():
        where = " ".join(place if study.several else place[1:])
        of = "pairs of rows that differ in one thing"
        yield from _said(where, several, study.results.measure, of)


def _same_masks(results: Results, pairs: Sequence[tuple[Row, Row]]) -> bool:
    """Say whether no pixel differs; agreement alone takes the depth beside one for the same."""
    return all(
        results.agreements.get(a.key, {}).get(b.key) == 100 and a.image_scores == b.image_scores
        for a, b in pairs
    )


ALIKE = 1.25
"""How much larger the weights of one row may be than another's, to be compared as of one size."""


def _between_sizes(study: _Study) -> Iterator[_Said]:
    """Compare a network in few bits with a smaller one in more, where their weights are as large.

    Both are int8 rows of one engine, method and grid; each pair is said once, of the larger one.
    """
    for large, small in permutations(study.groups, 2):
        one, other = large[0], small[0]
        alike = (other.engine, other.method, other.per_channel, other.fold)
        if (one.engine, one.method, one.per_channel, one.fold) != alike:
            continue
        if one.variant == other.variant or not 0 < one.bits < other.bits:
            continue
        sizes = sorted((one.weight_bytes or 0, other.weight_bytes or 0))
        if not 0 < sizes[1] <= ALIKE * sizes[0]:
            continue
        name, against = (f"{study.name(g)} ({_weights(g)})" for g in (large, small))
        found = _compared(_same_seeds(small, large), name, against)
        if found is not None:
            yield say(found, study.results.measure), int(found.found.low is not None)


def _weights(group: _Group) -> str:
    return f"{figure((group[0].weight_bytes or 0) / 1e6)} MB of weights"


def _difference(one: Row, other: Row) -> str:
    """Return what ``one`` has that the other has not, "" where that is not one thing."""
    if one.precision != "int8" or _place(one) != _place(other):
        return ""
    words = {
        one.method: one.method != other.method,
        f"{one.bits} bit": one.bits != other.bits,
        "per channel" if one.per_channel else "per tensor": one.per_channel != other.per_channel,
        "folded" if one.fold else "not folded": one.fold != other.fold,
    }
    found = [word for word, differs in words.items() if differs]
    return found[0] if len(found) == 1 else ""


def _place(row: Row) -> tuple[str, str, str]:
    return row.variant, row.engine, row.precision


def _same_seeds(one: _Group, other: _Group) -> list[tuple[Row, Row]]:
    """Return pairs of one seed; what has no chance in it stands beside every seed."""
    seeds = sorted({row.seed for group in (one, other) if not _alone(group) for row in group})
    found = [(_of_seed(one, seed), _of_seed(other, seed)) for seed in seeds or [one[0].seed]]
    return [(a, b) for a, b in found if a is not None and b is not None]


def _alone(group: _Group) -> bool:
    return len(group) == 1 and not group[0].learns


def _of_seed(group: _Group, seed: int) -> Row | None:
    if _alone(group):
        return group[0]
    return next((row for row in group if row.seed == seed), None)


def _seeds(pairs: Sequence[tuple[Row, Row]]) -> str:
    """Return how far the mean is apart between seeds, where there are several."""
    means = [float(np.mean(paired([pair]))) for pair in pairs if paired([pair])]
    if len(means) < 2:
        return ""
    gains = sorted(-mean for mean in means)
    return f"; by seed {signed(gains[0])} to {signed(gains[-1])} points, {len(gains)} seeds"


def _times(study: _Study, done: Sequence[Row]) -> Iterator[str]:
    """Say time and size once for each engine and precision: the method does not change them.

    Networks that are all faster, or all slower, share a sentence.
    """
    places: dict[tuple[str, int | None], list[tuple[Row, Share | None, float | None]]] = {}
    seen = set()
    for row in done:
        place = (row.variant, row.engine, row.precision, row.per_channel, row.fold)
        reference = study.reference(row)
        if row.is_reference or place in seen or reference is None:
            continue
        seen.add(place)
        timed = row.total_ms and row.reference_ms
        took = share(row.total_ms, row.reference_ms) if timed else None
        size = None
        if row.size_bytes and reference.size_bytes:
            size = row.size_bytes / reference.size_bytes
        kind = study.kind([row]).rsplit(" seed ", 1)[0]
        places.setdefault((kind, took.side if took else None), []).append((row, took, size))
    for (kind, _), several in places.items():
        facts = _facts(several)
        if facts:
            alone = study.names[several[0][0].key]
            name = alone if len(several) == 1 else f"{kind}, {len(several)} networks"
            yield f"{name}: {', '.join(facts)}"


def _facts(several: Sequence[tuple[Row, Share | None, float | None]]) -> list[str]:
    times = [took for _, took, _ in several if took is not None]
    sizes = [size for _, _, size in several if size is not None]
    file = "its file has" if len(several) == 1 else "their files have"
    found = [shares_of_time(times)] if times else []
    return found + ([f"{file} {span(sizes)} of the size"] if sizes else [])


def _reservations(study: _Study, done: Sequence[Row], intervals: int) -> Iterator[str]:
    """Say what the sentences above do not cover."""
    results = study.results
    failures = len(results.rows) - len(done)
    if failures:
        yield f"{failures} of {len(results.rows)} rows failed and are not compared"
    if any(group[0].learns and len(group) == 1 for group in study.groups):
        yield "What learns was run with one seed: how far another seed's result lies is not known"
    if intervals > 10:
        yield (
            f"{intervals} comparisons at 95 %: about {round(intervals * (1 - LEVEL))} of them may "
            "show a difference by chance"
        )
    if results.quick:
        yield "This is the quick form of the study: fewer steps and a smaller input than the whole"
    if intervals and results.classes.depth is None:
        yield (
            "These sentences compare the mean over frames; a row's mean IoU and drop pool the "
            "pixels of all frames, and differ"
        )
    if any(study.reference(row) for row in done if not row.is_reference):
        yield "Float alone is float32 in ONNX Runtime: the row that all others are held against"
    over = "; the intervals are over its frames" if intervals else ""
    yield f"All of it holds for frames like those of {results.evaluation}{over}"
