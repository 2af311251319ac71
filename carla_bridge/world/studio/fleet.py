"""Everything that moves: one node an actor, placed anew each tick.

fleet = Fleet(scene)
fleet.place([Mover(7, "vehicle.tesla.model3", 0.0, 0.0, 0.0, heading_deg=90.0)])
own = fleet.own(pose)         # the car that the camera is mounted on, if any
fleet.shine(centre, own)      # for the maps of shadows and lamps about a place
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from carla_bridge.world.meshes import Array
from carla_bridge.world.scene.scene import Scene
from carla_bridge.world.scene.shadow_map import REACH
from carla_bridge.world.studio.bodies import dressed, size
from carla_bridge.world.studio.parts import CameraPose, Mover
from edge_seg.errors import EdgeSegError

NEAR = REACH + 20.0
"""Metres within which a mover may throw a shadow into the maps."""
MOUNTED = 10.0
"""Metres from a camera to the car that it belongs to, at most: it may fly behind it."""
LAMPS_AT = 0.65
"""Metres above the ground of headlights."""


class Fleet:
    """The movers of a scene; what is not placed again is gone."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._nodes: dict[int, tuple[tuple[object, ...], Any, Array]] = {}
        self._movers: tuple[Mover, ...] = ()
        self._shown: tuple[object, ...] = ()

    def place(self, movers: Sequence[Mover]) -> None:
        """Replace all movers; the order makes no difference."""
        ordered = tuple(sorted(movers, key=lambda mover: mover.id))
        ids = {mover.id for mover in ordered}
        if len(ids) < len(ordered):
            raise EdgeSegError("two movers have the same id; give each actor one of its own")
        for id in self._nodes.keys() - ids:
            self._nodes.pop(id)[1].removeNode()
        for mover in ordered:
            self._node(mover).setPosHpr(
                mover.x_m,
                mover.y_m,
                mover.z_m,
                mover.heading_deg - 90.0,
                mover.pitch_deg,
                mover.roll_deg,
            )
        self._movers = ordered

    def _node(self, mover: Mover) -> Any:
        """Return the node of a mover, built where it is new or looks otherwise."""
        make = (mover.kind, mover.colour, mover.size_m)
        made, node, _ = self._nodes.get(mover.id, (None, None, None))
        if made != make:
            if node is not None:
                node.removeNode()
            node = self._scene.add(dressed(mover))
            self._nodes[mover.id] = (make, node, size(mover))
        return node

    def own(self, pose: CameraPose) -> Mover | None:
        """Return the nearest mover that a camera at ``pose`` may be mounted on."""
        near = [
            (distance, mover)
            for mover in self._movers
            if mover.kind.startswith("vehicle.")
            and (distance := np.hypot(mover.x_m - pose.x_m, mover.y_m - pose.y_m)) < MOUNTED
        ]
        return min(near, key=lambda pair: pair[0])[1] if near else None

    def lamp(self, mover: Mover) -> Array:
        """Return the place and the direction (6,) of a mover's headlights."""
        heading, pitch = np.radians(mover.heading_deg), np.radians(mover.pitch_deg)
        ahead = np.array([np.cos(heading), np.sin(heading), np.sin(pitch)])
        front = ahead * self._nodes[mover.id][2][0] / 2.0
        place = np.array([mover.x_m, mover.y_m, mover.z_m + LAMPS_AT]) + front
        return np.concatenate([place, ahead])

    def shine(self, centre: Array, own: Mover | None) -> None:
        """Tell the scene which movers stand and shine about ``centre`` (3,).

        But for ``own``'s light, which its camera brings along. Where nothing has moved, nothing
        is drawn anew.
        """
        near = [
            mover
            for mover in self._movers
            if max(abs(mover.x_m - centre[0]), abs(mover.y_m - centre[1])) < NEAR
        ]
        shown = (tuple(centre), None if own is None else own.id, *near)
        if shown == self._shown:
            return
        self._shown = shown
        sizes = [self._nodes[mover.id][2] for mover in near]
        outlines = [
            (m.x_m, m.y_m, m.z_m, np.radians(m.heading_deg), *extent)
            for m, extent in zip(near, sizes, strict=True)
        ]
        lit = [self.lamp(mover) for mover in near if mover.lights and mover is not own]
        self._scene.moved(outlines, lit)
