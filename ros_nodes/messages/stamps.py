"""A message's stamp as whole nanoseconds, and back.

    age_s = (node.get_clock().now().nanoseconds - to_ns(message.header.stamp)) / 1e9

Law: ``to_ns(from_ns(n)) == n`` for every n that a stamp can hold.
"""

from __future__ import annotations

from builtin_interfaces.msg import Time

SECOND_NS = 1_000_000_000


def to_ns(stamp: Time) -> int:
    """Return nanoseconds since the clock's epoch."""
    return int(stamp.sec) * SECOND_NS + int(stamp.nanosec)


def from_ns(nanoseconds: int) -> Time:
    """Return the stamp of that many nanoseconds; within int32 seconds."""
    sec, nanosec = divmod(nanoseconds, SECOND_NS)
    return Time(sec=sec, nanosec=nanosec)
