"""Numbers as people read them.

>>> figure(-0.001), figure(None), figure(12.345, 1)
('0.00', '-', '12.3')
"""

from __future__ import annotations


def figure(value: float | None, digits: int = 2, absent: str = "-") -> str:
    """Return a measured value with ``digits`` decimals, or ``absent`` where there is none."""
    if value is None:
        return absent
    return f"{round(value, digits) + 0.0:.{digits}f}"  # adding zero takes the sign off -0.00
