"""What the numbers of a study show, in sentences, and nothing beyond.

    conclude(results)            # ["onnxruntime int8 ptq loses 0.31 points of ..."]

Rows are compared frame by frame: each frame's mean IoU in one row minus that in the other. The
interval (`edge_seg.study.intervals`) is over the frames. It says how far the mean would move with
other frames of this kind; not with other seeds, data or networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, permutations

import numpy as np

from edge_seg.figures import figure
from edge_seg.study.intervals import LEVEL, Interval, Values, bootstrap, interval
from edge_seg.study.results import Results, Row, names_of


def conclude(results: Results) -> list[str]:
    """Return the sentences."""
    done = [row for row in results.rows if row.status == "done"]
    names = names_of(results.rows)
    groups = _by_words(done)
    said = list(_against_float(groups, results, names))
    between = [
        *_between_rows(groups, results, names),
        *_between_variants(groups, results, names),
    ]
    intervals = len(said) + sum(count for _, count in between)
    said += [text for text, _ in between]
    said += _times(done, results, names)
    said += _reservations(results, done, groups, intervals)
    return said


_Group = list[Row]
"""The same row with different seeds."""


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


def _name(group: _Group, names: dict[str, str]) -> str:
    """Return what a group is called: a row's name, without the seed where it has several."""
    name = names[group[0].key]
    return name.rsplit(" seed ", 1)[0] if len(group) > 1 else name


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


def _against_float(
    groups: Sequence[_Group], results: Results, names: dict[str, str]
) -> Iterator[str]:
    for group in groups:
        pairs = [
            (float_row, row)
            for row in group
            if (float_row := results.row(row.reference)) is not None and not row.is_reference
        ]
        differences = paired(pairs)
        if differences:
            said = sentence(
                _name(group, names), interval(differences), "float", results.measure
            ) + _seeds(pairs)
            yield f"{said}; {_agrees(group)}"


def _agrees(group: _Group) -> str:
    """Say on how many pixels masks are float's."""
    images = [
        float(np.mean(values)) for values in zip(*(r.image_agreement for r in group), strict=True)
    ]
    found = interval(images)
    span = (
        ""
        if found.low is None or found.high is None
        else f" ({figure(found.low)} to {figure(found.high)})"
    )
    same = "the same class" if group[0].depth is None else "the same depth or the next"
    return f"{same} on {figure(found.mean)} %{span} of pixels"


def _between_rows(
    groups: Sequence[_Group], results: Results, names: dict[str, str]
) -> Iterator[tuple[str, int]]:
    """Compare each two int8 rows of an engine that differ in one thing: method, bits or grid.

    Yield each sentence with how many comparisons are in it: those that show nothing share one.
    """
    alike: dict[tuple[str, str, str], list[tuple[str, Interval, str]]] = {}
    for one, other in combinations(groups, 2):
        apart = _difference(one[0], other[0])
        pairs = _same_seeds(one, other) if apart else []
        differences = paired(pairs)
        if not differences:
            continue
        found, name = interval(differences), _name(other, names)
        said = sentence(name, found, apart, results.measure) + _seeds(pairs)
        if found.shows_a_difference or found.low is None:
            yield said, 1
        elif all(results.agreements.get(a.key, {}).get(b.key) == 100 for a, b in pairs):
            yield f"{name} gives the same masks as {apart}, pixel for pixel", 1
        else:
            alike.setdefault(_place(one[0]), []).append((f"{name} against {apart}", found, said))
    several = len({row.variant for row in results.rows}) > 1
    for place, quiet in alike.items():
        where = " ".join(place if several else place[1:])
        yield _nothing_seen(where, quiet, results.measure), len(quiet)


ALIKE = 1.25
"""How much larger the weights of one row may be than another's, to be compared as of one size."""


def _between_variants(
    groups: Sequence[_Group], results: Results, names: dict[str, str]
) -> Iterator[tuple[str, int]]:
    """Compare a network in few bits with a smaller one in more, where their weights are as large.

    Both are int8 rows of one engine, method and grid; each pair is said once, of the larger one.
    """
    for large, small in permutations(groups, 2):
        one, other = large[0], small[0]
        alike = (other.engine, other.method, other.per_channel, other.fold)
        if (one.engine, one.method, one.per_channel, one.fold) != alike:
            continue
        if one.variant == other.variant or not 0 < one.bits < other.bits:
            continue
        sizes = sorted((one.weight_bytes or 0, other.weight_bytes or 0))
        if not 0 < sizes[1] <= ALIKE * sizes[0]:
            continue
        pairs = _same_seeds(small, large)
        differences = paired(pairs)
        if differences:
            name, against = (f"{_name(g, names)} ({_weights(g)})" for g in (large, small))
            said = sentence(name, interval(differences), against, results.measure)
            yield said + _seeds(pairs), 1


def _weights(group: _Group) -> str:
    return f"{figure((group[0].weight_bytes or 0) / 1e6)} MB of weights"


def _nothing_seen(place: str, quiet: Sequence[tuple[str, Interval, str]], measure: str) -> str:
    """Return one sentence for all pairs of a place in which no difference can be seen."""
    if len(quiet) == 1:
        return quiet[0][2]
    reach = max(max(abs(f.low or 0), abs(f.high or 0)) for _, f, _ in quiet)
    widest = next(name for name, f, _ in quiet if reach in (abs(f.low or 0), abs(f.high or 0)))
    return (
        f"{place}: no difference in {measure} can be seen in {len(quiet)} pairs of rows that "
        f"differ in one thing; the farthest that an interval reaches is {figure(reach)} points "
        f"({widest})"
    )


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
    by_seed = {row.seed: row for row in one}
    alone = one[0] if len(one) == 1 and not one[0].learns else None
    found = [(by_seed.get(row.seed, alone), row) for row in other]
    return [(first, row) for first, row in found if first is not None]


def sentence(name: str, found: Interval, other: str, measure: str = "mean IoU") -> str:
    """Return what an interval of ``other`` minus ``name`` says.

    >>> sentence("litert int8", Interval(0.31, 0.12, 0.52, 14), "float")
    'litert int8 loses 0.31 points of mean IoU against float (0.12 to 0.52, 14 frames)'
    """
    if found.low is None or found.high is None:
        return (
            f"{name} against {other}: {_signed(-found.mean)} points of {measure} over "
            f"{found.count} frames, too few for an interval"
        )
    if found.low == found.high == 0:
        return (
            f"{name} against {other}: no difference, the same {measure} on all {found.count} frames"
        )
    if _under_two_decimals(found):
        return (
            f"{name} against {other}: no difference in {measure} can be seen in two decimals "
            f"(under 0.005 points, {found.count} frames)"
        )
    if not found.shows_a_difference:
        span = f"{_signed(-found.high)} to {_signed(-found.low)}, {found.count} frames"
        return (
            f"{name} against {other}: no difference in {measure} can be seen "
            f"({_signed(-found.mean)} points, {span})"
        )
    loses = found.mean > 0
    low, high = sorted((abs(found.low), abs(found.high)))
    return (
        f"{name} {'loses' if loses else 'gains'} {figure(abs(found.mean))} points of {measure} "
        f"against {other} ({figure(low)} to {figure(high)}, {found.count} frames)"
    )


def _under_two_decimals(found: Interval) -> bool:
    """Say whether a difference, or all that an interval reaches, is 0.00 points as they are shown.

    Where it is not surely one and may be larger, the interval is worth more than that.
    """
    assert found.low is not None and found.high is not None
    widest = found.mean if found.shows_a_difference else max(-found.low, found.high)
    return float(figure(widest)) == 0


def _signed(value: float) -> str:
    """Return points with their sign, none on zero."""
    text = figure(value)
    return text if value < 0 or float(text) == 0 else f"+{text}"


def _seeds(pairs: Sequence[tuple[Row, Row]]) -> str:
    """Return how far the mean is apart between seeds, where there are several."""
    means = [float(np.mean(paired([pair]))) for pair in pairs if paired([pair])]
    if len(means) < 2:
        return ""
    gains = sorted(-mean for mean in means)
    return f"; by seed {_signed(gains[0])} to {_signed(gains[-1])} points, {len(gains)} seeds"


def _times(done: Sequence[Row], results: Results, names: dict[str, str]) -> Iterator[str]:
    """Say time and size once for each engine and precision: the method does not change them."""
    seen = set()
    for row in done:
        place = (row.variant, row.engine, row.precision, row.per_channel, row.fold)
        reference = results.row(row.reference)
        if row.is_reference or place in seen or reference is None:
            continue
        seen.add(place)
        facts = []
        if row.total_ms and row.reference_ms:
            facts.append(share_of_time(row.total_ms, row.reference_ms))
        if row.size_bytes and reference.size_bytes:
            facts.append(
                f"its file has {figure(row.size_bytes / reference.size_bytes)} of the size"
            )
        if facts:
            yield f"{names[row.key]}: {', '.join(facts)}"


def share_of_time(mine: Sequence[float], floats: Sequence[float]) -> str:
    """Return what the ratio of two medians says, frames in milliseconds.

    >>> share_of_time([5.0] * 20, [10.0] * 20)
    "takes 0.50 (0.50 to 0.50) of float's time"
    >>> share_of_time([9.0, 11.0] * 10, [10.0] * 20)
    "no difference to float's time can be seen (1.00 of it, 0.90 to 1.10)"
    """
    ours, theirs = np.asarray(mine), np.asarray(floats)
    ratio = figure(float(np.median(ours) / np.median(theirs)))
    low, high = bootstrap(_ratio_of_medians, ours, theirs)
    if low is None or high is None:
        return f"takes {ratio} of float's time over too few frames for an interval"
    if low <= 1 <= high:
        span = f"{figure(low)} to {figure(high)}"
        return f"no difference to float's time can be seen ({ratio} of it, {span})"
    return f"takes {ratio} ({figure(low)} to {figure(high)}) of float's time"


def _ratio_of_medians(mine: Values, floats: Values) -> Values:
    return np.asarray(np.median(mine, axis=1) / np.median(floats, axis=1))


def _reservations(
    results: Results, done: Sequence[Row], groups: Sequence[_Group], intervals: int
) -> Iterator[str]:
    """Say what the sentences above do not cover."""
    failures = len(results.rows) - len(done)
    if failures:
        yield f"{failures} of {len(results.rows)} rows failed and are not compared"
    if any(group[0].learns and len(group) == 1 for group in groups):
        yield "What learns was run with one seed: how far another seed's result lies is not known"
    if intervals > 10:
        yield (
            f"{intervals} comparisons at 95 %: about {round(intervals * (1 - LEVEL))} of them may "
            "show a difference by chance"
        )
    if results.quick:
        yield "This is the quick form of the study: fewer steps and a smaller input than the whole"
    if results.classes.depth is None:
        yield (
            "These sentences compare the mean over frames; a row's mean IoU and drop pool the "
            "pixels of all frames, and differ"
        )
    yield (
        f"All of it holds for frames like those of {results.evaluation}; the intervals are over "
        "its frames"
    )
