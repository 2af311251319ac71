"""Where this machine gets its Debian packages from, read from its own apt configuration.

    entries = debian_sources(Path("/etc/apt"), "bookworm")
    for_arm64(entries)          # the text of a .sources file: the same places, for arm64

Both of apt's formats are read (sources.list(5)): one-line ``.list`` and deb822 ``.sources``.
An entry's other fields (``Signed-By``, ``Trusted``, ...) go with it as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

Entry = Mapping[str, str]
"""The fields of one deb822 stanza, by their names in lower case."""

_DROPPED = {"architectures", "enabled", "types", "languages", "targets"}
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<rest>.+)")
_ONE_LINE_NAMES = {"arch": "architectures", "lang": "languages", "target": "targets"}


def debian_sources(apt: Path, codename: str) -> list[Entry]:
    """Return the entries under ``apt`` (/etc/apt) that serve ``main`` of this release."""
    parts = apt / "sources.list.d"
    lists = [apt / "sources.list", *sorted(parts.glob("*.list"))]
    found = [entry for path in lists if path.is_file() for entry in parse_list(path.read_text())]
    for path in sorted(parts.glob("*.sources")):
        found += parse_deb822(path.read_text())
    return [chosen for entry in found if (chosen := _of_release(entry, codename))]


def for_arm64(entries: Sequence[Entry]) -> str:
    """Return the same sources as deb822 text that asks them for arm64 only."""
    return "\n".join(_stanza(entry) for entry in entries)


def parse_list(text: str) -> list[Entry]:
    """Read the one-line format.

    >>> parse_list("deb [signed-by=/k.gpg arch=amd64] http://a/debian bookworm main # note")[0]
    {'signed-by': '/k.gpg', 'architectures': 'amd64', 'types': 'deb', 'uris': 'http://a/debian',\
 'suites': 'bookworm', 'components': 'main'}
    """
    return [entry for line in text.splitlines() for entry in _one_line(line.partition("#")[0])]


def parse_deb822(text: str) -> list[Entry]:
    """Read the deb822 format: stanzas of ``Name: value``, continued by lines that are indented."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    stanzas = re.split(r"\n\s*\n", "\n".join(lines))
    return [entry for entry in map(_fields, stanzas) if entry]


def _one_line(line: str) -> Iterator[Entry]:
    match = _ONE_LINE.fullmatch(line.strip())
    if match is None:
        return
    entry = {}
    for option in (match["options"] or "").split():
        name, _, value = option.partition("=")
        entry[_ONE_LINE_NAMES.get(name.lower(), name.lower())] = value.replace(",", " ")
    suite, *components = match["rest"].split()
    fields = {"types": "deb", "uris": match["uri"], "suites": suite}
    yield {**entry, **fields, "components": " ".join(components)}


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t") and name:  # an embedded key goes on over many lines
            fields[name] += "\n" + line
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _of_release(entry: Entry, codename: str) -> Entry | None:
    """Return an entry with its suites of this release only, None where it has no such packages."""
    wanted = (codename, f"{codename}-updates", f"{codename}-security")
    suites = [suite for suite in entry.get("suites", "").split() if suite in wanted]
    serves = (
        "deb" in entry.get("types", "").split()
        and entry.get("enabled", "yes").lower() not in ("no", "false", "0")
        and "main" in entry.get("components", "").split()
    )
    return {**entry, "suites": " ".join(suites)} if serves and suites else None


def _stanza(entry: Entry) -> str:
    kept = {name: value for name, value in entry.items() if name not in _DROPPED}
    fields = {"types": "deb", **kept, "components": "main", "architectures": "arm64"}
    return "".join(f"{name.title()}: {value}\n" for name, value in fields.items())
