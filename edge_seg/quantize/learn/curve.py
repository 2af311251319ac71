"""How a fine-tuning went, without what it takes to fine-tune.

curve = [Check(0, 0.03, 0.03), Check(20, 0.012, 0.014)]
best(curve).step     # 20
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Check(msgspec.Struct, frozen=True):
    """The curve's point, taught and held out, in nats a pixel (of a depth, squared shares).

    That is the divergence from the teacher, and with labels the cross entropy on top. ``loss`` is
    the mean of the steps since the check before; at step 0 nothing was taught, and it is that of
    ``held_out``, the quantized network on the frames that do not teach.
    """

    step: int
    loss: float
    held_out: float


def best(curve: Sequence[Check]) -> Check:
    """Return the check whose weights and ranges are kept: the first of the lowest held out."""
    return min(curve, key=lambda check: check.held_out)
