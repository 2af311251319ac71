"""Tables in Markdown.

print(table(["engine", "ms"], [["openvino", "22.2"]]))
"""

from __future__ import annotations

from collections.abc import Iterable


def table(heads: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table of these cells, a line a row."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
