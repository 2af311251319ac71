"""OpenDRIVE text from anywhere, parsed safely: what cannot be a road map is refused in one line.

    root = parse_opendrive(text, "town")
    number(root.find("road"), "length")   # a finite float, or an error that names the place

The text may be hostile. Python's parser runs no entities that are declared nowhere, and
what declares them (a DOCTYPE) is refused as it begins; elements are counted while they come.
Nothing here runs native code but expat, so a bad text cannot take the process down.

Entity expansion and other attacks by XML: https://docs.python.org/3/library/xml.html#xml-security .
"""

from __future__ import annotations

import math
from xml.etree import ElementTree

from edge_seg.errors import EdgeSegError, in_one_line

Element = ElementTree.Element

MOST_CHARACTERS = 64_000_000
MOST_ELEMENTS = 1_000_000
DEEPEST = 100
LARGEST = 1e8
"""The largest magnitude of any number: no road lies farther out in any projection."""

IGNORED = frozenset({"userData", "objects", "signals", "railroad", "dataQuality"})
"""Subtrees that say nothing about lanes; towns are full of them."""


def parse_opendrive(text: str, name: str = "map") -> Element:
    """Return the root of a checked OpenDRIVE text, its tags without namespaces.

    Raises `EdgeSegError` where the text is too large, not whole, not well-formed XML,
    declares entities, or is no OpenDRIVE of version 1.
    """
    if len(text) > MOST_CHARACTERS:
        raise EdgeSegError(
            f"OpenDRIVE '{name}' has {len(text) / 1e6:.0f} million characters; "
            f"{MOST_CHARACTERS // 1_000_000} million are the most: cut the map"
        )
    if "<OpenDRIVE" not in text[:65536] or "</OpenDRIVE>" not in text[-4096:]:
        raise EdgeSegError(
            f"OpenDRIVE '{name}' is not whole: it must begin with <OpenDRIVE> and end with "
            "</OpenDRIVE>; export or copy the .xodr file again"
        )
    parser = ElementTree.XMLParser(target=_Builder(name))
    try:
        parser.feed(text)
        root: Element = parser.close()
    except (ElementTree.ParseError, ValueError) as error:  # ValueError: lone surrogates, NUL
        raise EdgeSegError(
            f"OpenDRIVE '{name}' is not well-formed XML ({in_one_line(error)}); "
            "export or copy the .xodr file again"
        ) from error
    if root.tag != "OpenDRIVE":
        raise EdgeSegError(f"'{name}' is no OpenDRIVE but <{root.tag[:40]}>; give a .xodr file")
    header = root.find("header")
    version = "1" if header is None else header.get("revMajor", "1").strip()
    if version != "1":
        raise EdgeSegError(
            f"OpenDRIVE '{name}' is of version {version[:20]!r}; version 1 can be read (1.1 to 1.8)"
        )
    return root


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree of what is needed, and stops a text that grows beyond all bounds."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._count = self._depth = self._skipped = 0

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise EdgeSegError(
            f"OpenDRIVE '{self._name}' has a DOCTYPE, which could make it expand without end; "
            "no OpenDRIVE needs one: delete it"
        )

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self._count += 1
        self._depth += 1
        if self._count > MOST_ELEMENTS or self._depth > DEEPEST:
            raise EdgeSegError(
                f"OpenDRIVE '{self._name}' has more than {MOST_ELEMENTS} elements or nests "
                f"deeper than {DEEPEST}: cut the map"
            )
        tag = tag.rpartition("}")[2]
        if self._skipped or tag in IGNORED:
            self._skipped += 1
            return _NOTHING
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        if self._skipped:
            self._skipped -= 1
            return _NOTHING
        return super().end(tag.rpartition("}")[2])

    def data(self, data: str) -> None:
        """Drop text between tags: all that lanes need is in attributes."""


_NOTHING = ElementTree.Element("nothing")


def number(element: Element, attribute: str, default: float | None = None) -> float:
    """Return an attribute as a finite float.

    ``default`` stands in for a missing one; without it, a missing one is an error too.
    """
    text = element.get(attribute)
    if text is None:
        if default is None:
            raise EdgeSegError(f"<{element.tag}> without {attribute}")
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise EdgeSegError(f"{attribute} of <{element.tag}> is {text[:40]!r}, no usable number")
    return value


def whole_number(element: Element, attribute: str) -> int:
    """Return an attribute as an int, such as a lane's id."""
    text = element.get(attribute, "")
    try:
        return int(text[:20])
    except ValueError:
        raise EdgeSegError(
            f"{attribute} of <{element.tag}> is {text[:40]!r}, no whole number"
        ) from None
