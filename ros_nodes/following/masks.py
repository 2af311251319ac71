"""Masks from a ROS 2 node: frames go out on its camera topic, its masks come back.

    with open_masks("", bundle="lane.edgeseg") as follow:             # a node of its own
    with open_masks("/front/lane_segmentation") as follow:            # one that runs
        mask = follow(frame)              # (H, W, 3) uint8 BGR -> (H, W) uint8 class ids
        follow.classes                    # what the ids mean

A source of the entry-point group ``edge_seg.mask_sources``: what it yields is called like a
`Segmenter`. `edge-seg drive --vs ros` closes its loop through it. No ROS is imported before it is
opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg.bundle.archive import open_bundle
from edge_seg.errors import EdgeSegError, MissingRuntimeError

if TYPE_CHECKING:
    from ros_nodes.following.follower import Follower


@contextmanager
def open_masks(
    address: str, bundle: str | None = None, trust: bool = False, threads: int | None = None
) -> Iterator[Follower]:
    """Follow the node of that name, "" for one that is started with ``bundle`` and ends with us.

    A node that runs must run ``bundle``, too, where one is named; ``trust`` and ``threads`` are
    for a node of its own. Raises `EdgeSegError` where no mask comes of it, `MissingRuntimeError`
    without ROS.
    """
    try:
        from ros_nodes.following.follower import Follower
        from ros_nodes.following.own_node import OwnNode
    except ImportError as error:
        raise MissingRuntimeError(
            f"masks through ROS 2 need rclpy, which is not here ({error}): pip install "
            "'edge-seg[ros]' (x86_64), or source the setup.bash of a ROS 2 distribution"
        ) from error
    digest = "" if bundle is None else open_bundle(Path(bundle)).digest
    if address:
        with Follower(address, digest) as follower:
            yield follower
    elif bundle is None:
        raise EdgeSegError("a node of its own needs a bundle: name one, or a node: ros:/NAME")
    else:
        with OwnNode(bundle, trust, threads) as own, Follower(own.name, digest, own) as follower:
            yield follower
