"""What people look like, on foot and on cycles.

    walker = figure(stride=0.4)   # a prototype: colours are cloth, trousers, skin, hair

Bodies of tubes, with proportions of about eight heads (Drillis and Contini, 1966: leg 0.53,
upper leg 0.245, arm 0.44 of the height). A prototype is 1.75 m tall, stands on z = 0 and looks
along x.
"""

from __future__ import annotations

import functools

import numpy as np

from carla_bridge.world.meshes import Array, Mesh, boxes, merge
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.shapes import lump, tube

TOP, LEGS, SKIN, HAIR = 1, 2, 3, 4
"""Paint slots."""
CLOTHES = np.array(
    [
        [32, 34, 40],
        [44, 54, 88],
        [96, 98, 104],
        [140, 40, 42],
        [224, 222, 216],
        [60, 84, 66],
        [180, 150, 110],
        [120, 124, 60],
        [190, 90, 50],
        [70, 50, 80],
    ]
)
TROUSERS = np.array([[36, 44, 70], [30, 30, 32], [88, 84, 76], [120, 108, 86], [54, 60, 72]])
SKINS = np.array([[222, 178, 150], [198, 150, 118], [140, 98, 72], [96, 66, 48]])
HAIRS = np.array([[34, 26, 22], [70, 48, 32], [130, 100, 62], [150, 148, 144], [24, 24, 26]])


def body(
    hip: tuple[float, float, float],
    shoulder: tuple[float, float, float],
    feet: list[tuple[float, float, float]],
    hands: list[tuple[float, float, float]],
    tag: int,
    *,
    coat: bool = False,
    skirt: bool = False,
    bag: str = "",
) -> Mesh:
    """Return a figure from where its hips, shoulders, feet and hands are (metres).

    Left foot and hand come first. Knees bend forward and elbows backward, by how much the way
    from end to end falls short of the limb's length.
    """
    parts = []
    rng = np.random.default_rng(1)
    hips, shoulders = np.array(hip), np.array(shoulder)
    for side, foot, hand in zip((1.0, -1.0), feet, hands, strict=True):
        root = hips + np.array([0.0, side * 0.1, 0.0])
        knee = _joint(root, np.array(foot), 0.43, 0.45, forward=True)
        slot = SKIN if skirt else LEGS
        parts.append(tube([root, knee, foot], [0.095, 0.07, 0.05], 4, tag=tag, slot=slot))
        toe = np.array(foot) + np.array([0.16, 0.0, -0.02])
        parts.append(
            tube(
                [np.array(foot) - np.array([0.08, 0, 0.02]), toe],
                [0.06, 0.045],
                3,
                tag=tag,
                slot=HAIR,
            )
        )
        arm = shoulders + np.array([0.0, side * 0.2, -0.04])
        elbow = _joint(arm, np.array(hand), 0.3, 0.28, forward=False)
        parts.append(tube([arm, elbow, hand], [0.07, 0.056, 0.04], 3, tag=tag, slot=TOP))
    low = hips - np.array([0.0, 0.0, 0.32 if coat or skirt else 0.08])
    wide = 0.21 if coat or skirt else 0.16
    trunk = [low, shoulders - np.array([0.0, 0.0, 0.1]), shoulders + np.array([0.0, 0.0, 0.04])]
    torso = tube(trunk, [wide, 0.2, 0.07], 5, tag=tag, slot=TOP)
    # Bodies are wider than deep.
    torso.vertices["vertex"][:, 0] = hips[0] + 0.72 * (torso.vertices["vertex"][:, 0] - hips[0])
    neck = shoulders + np.array([0.04 + 0.3 * (shoulders - hips)[0], 0.0, 0.19])
    head = lump(rng, neck, np.array([0.12, 0.105, 0.155]), 5, 2, 0.02, tag=tag, slot=SKIN)
    head.vertices["vertex"][-1, 2] -= 0.03  # rounder than a lump
    seen = head.vertices["vertex"] - neck
    head.vertices["texcoord"][seen[:, 2] - 0.5 * seen[:, 0] > 0.04, 3] = HAIR
    parts += [torso, head]
    if bag:
        hand = np.array(hands[0]) + np.array([0.0, 0.02, -0.22])
        middle = shoulders + np.array([-0.24, 0.0, -0.27]) if bag == "back" else hand
        half = np.array([0.1, 0.15, 0.21] if bag == "back" else [0.16, 0.06, 0.13])
        colour = (70, 60, 60) if bag == "back" else (150, 120, 80)
        parts.append(boxes([middle], [2 * half], 0.0, colour, taper=0.85, tag=tag))
    return merge(parts)


def _joint(root: Array, end: Array, upper: float, lower: float, forward: bool) -> Array:
    """Return where a knee or an elbow is between the ends of a limb."""
    way = end - root
    length = min(float(np.linalg.norm(way)), upper + lower - 1e-3)
    along = (upper**2 - lower**2 + length**2) / (2.0 * length)
    out = np.sqrt(max(upper**2 - along**2, 0.0))
    direction = way / max(float(np.linalg.norm(way)), 1e-6)
    bend = np.array([1.0 if forward else -1.0, 0.0, 0.2 if forward else -0.2])
    bend -= direction * (bend @ direction)
    bend /= max(float(np.linalg.norm(bend)), 1e-6)
    return np.asarray(root + direction * along + bend * out)


@functools.cache
def figure(stride: float = 0.35, coat: bool = False, skirt: bool = False, bag: str = "") -> Mesh:
    """Return someone who walks with the left leg ``stride`` metres ahead, or stands (0)."""
    swing = 0.8 * stride
    lift = 0.12 if stride else 0.0
    feet = [(stride, 0.1, 0.07), (-stride, -0.1, 0.07 + lift)]
    hands = [(-swing + 0.06, 0.27, 0.82), (swing + 0.06, -0.27, 0.82 + 0.2 * abs(swing))]
    drop = 0.05 * abs(stride) / 0.35
    return body((0.0, 0.0, 0.92 - drop), (0.02, 0.0, 1.42 - drop), feet, hands, Tag.PEDESTRIAN,
                coat=coat, skirt=skirt, bag=bag)  # fmt: skip


def dress(draws: Array) -> Array:
    """Return colours (n, 4, 3) of top, legs, skin and hair, of draws (n, 8) uniform in 0..1."""
    groups = (CLOTHES, TROUSERS, SKINS, HAIRS)
    chosen = [
        group[(draws[:, 2 * i] * len(group)).astype(int)]
        * (0.75 + 0.4 * draws[:, 2 * i + 1 :][:, :1])
        for i, group in enumerate(groups)
    ]
    return np.stack(chosen, axis=1)
