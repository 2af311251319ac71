"""Option values that several commands parse."""

from __future__ import annotations

import re

from edge_seg.errors import EdgeSegError


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) for ``256x512``."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})", text)
    if match is None:
        raise EdgeSegError(f"'{text}' is no size: write height x width, such as 256x512")
    return int(match[1]), int(match[2])
