"""What masks can judge: all classes, the road alone, the paint alone.

    >>> KINDS["lane_only"].scored
    ('lane_marking',)

A kind becomes a frame set's ``scored`` and ``merge`` (see `edge_seg.frames.manifest`). Its words
are about the project's own classes; masks of other classes are labelled fully, or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from edge_seg.classes import ClassMap
from edge_seg.errors import EdgeSegError, closest


class Labels(NamedTuple):
    """Which classes a kind of mask can judge, and which prediction counts as which class."""

    scored: tuple[str, ...] | None
    merge: dict[str, str]


KINDS = {
    "road+lane": Labels(None, {}),
    # Paint lies on the road and is labelled as road: predicting it is no mistake.
    "road_only": Labels(("road",), {"lane_marking": "road"}),
    "lane_only": Labels(("lane_marking",), {}),
    "unlabelled": Labels(None, {}),
}
"""What the words in the ``kind`` column mean; no word means fully labelled."""


def labels_of(kinds: Iterable[str], classes: ClassMap) -> Labels:
    """Return what masks of these kinds, one word a mask, can judge.

    Raises `EdgeSegError` for an unknown kind, for kinds that judge differently, and for one
    that judges a class which ``classes`` lacks.
    """
    counted = Counter(kinds)
    unknown = [kind for kind in counted if kind and kind not in KINDS]
    if unknown:
        raise EdgeSegError(f"unknown kind {unknown[0]!r}: {closest(unknown[0], KINDS)}")
    found = [KINDS.get(kind, KINDS["road+lane"]) for kind in counted]
    if any(labels != found[0] for labels in found):
        counts = ", ".join(f"{kind} ({count})" for kind, count in sorted(counted.items()))
        raise EdgeSegError(
            f"masks of different kinds cannot be scored together: {counts}; "
            "choose with --kind or --source, or leave masks out with --images-only"
        )
    for kind, labels in zip(counted, found, strict=True):
        _check(kind, labels, classes)
    return found[0] if found else KINDS["unlabelled"]


def _check(kind: str, labels: Labels, classes: ClassMap) -> None:
    """Refuse a kind that speaks of classes which the map does not have."""
    meant = dict.fromkeys((*(labels.scored or ()), *labels.merge, *labels.merge.values()))
    lacking = [name for name in meant if name not in classes.names]
    if lacking:
        raise EdgeSegError(
            f"masks of kind {kind!r} judge {' and '.join(meant)}, and {', '.join(classes.names)} "
            f"has no {' and no '.join(lacking)}: name them in --classes, or leave the kind out "
            "(--kind, or the column in index.csv), which scores every class"
        )
