"""Cameras as cars, vans and robots carry them, drawn at random.

    camera = sample_camera(Dice(DomainRandomization(), 1, 0), width=640, height=480)
    camera.place.height, camera.place.pitch       # 1.69 m, -2.2 degrees
    camera.render_size(), camera.render_field()   # what to render: (640, 480), 82.4 degrees
    frame, (mask,) = expose(picture, (mask,), camera, dice)  # carla_bridge.world.camera.lens

Each number comes from its term's stream; a term of strength 0 leaves it as in the neutral
camera, ``CameraModel()``.
"""

from __future__ import annotations

import math

from carla_bridge.world.camera.model import Bonnet, CameraModel, Glass, Pose, Tone
from carla_bridge.world.randomization import Dice

__all__ = ["Bonnet", "CameraModel", "Glass", "Pose", "Tone", "sample_camera"]

REFERENCE = 640.0
"""Frame width for which blurs are drawn; they grow with the frame."""


def sample_camera(dice: Dice, width: int, height: int) -> CameraModel:
    """Draw a camera for frames of ``width`` x ``height`` pixels, each number from its term.

    The lens (distortion, vignette, softness) belongs to the term "distortion", the tone curve
    to "exposure", saturation to "white_balance", the veil to "dirt", sharpening to "jpeg".
    """
    drawn = float(dice.stream("field").triangular(40.0, 57.0, 110.0))
    field = 60.0 + (drawn - 60.0) * min(dice.strength("field"), 1.0)
    scale = max(width / REFERENCE, 0.25)
    distorted = dice.happens("distortion", 0.35)
    distortion = _sample_distortion(dice, field, width, height)
    soft = dice.happens("distortion", 0.45)
    camera = CameraModel(
        width=width,
        height=height,
        place=_sample_pose(dice, field, width, height),
        field=field,
        distortion=distortion if distorted else (0.0, 0.0),
        vignette=max(dice.uniform("distortion", -1.0, 0.6, neutral=0.0), 0.0),
        softness=dice.uniform("distortion", 0.3, 1.1, neutral=0.0) * scale * soft,
        tone=_sample_tone(dice),
        motion_blur=_sample_motion(dice) * scale,
        shake=_sample_shake(dice),
        noise=_sample_noise(dice),
        sharpening=_sometimes(dice, "jpeg", 0.25, 0.2, 1.5),
        jpeg=round(_sometimes(dice, "jpeg", 0.35, 30.0, 95.0, neutral=95.0)),
        glass=_sample_glass(dice),
        bonnet=_sample_bonnet(dice),
        mirrored=dice.happens("mirrored", 0.35),
    )
    camera.check()
    return camera


def _sometimes(
    dice: Dice, term: str, probability: float, low: float, high: float, neutral: float = 0.0
) -> float:
    """Return 0, or with ``probability`` a number of ``low``..``high``."""
    happens = dice.happens(term, probability)
    return dice.uniform(term, low, high, neutral=neutral) * happens


def _clipped(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _sample_pose(dice: Dice, field: float, width: int, height: int) -> Pose:
    """Draw a place: behind a windscreen mostly, now and then a robot's or a lorry's."""
    usual = _clipped(1.4 * math.exp(_clipped(dice.normal("pose", 0.2), -1.0, 1.0)), 1.0, 2.6)
    robot, lorry = dice.happens("pose", 0.05), dice.happens("pose", 0.05)
    low = dice.uniform("pose", 0.4, 0.9, neutral=1.4)
    high = dice.uniform("pose", 2.6, 3.2, neutral=1.4)
    # Where the horizon lies, from the top of the frame; a level camera has it in the middle.
    offset = dice.normal("pose", 0.065) - 0.025 * min(dice.strength("pose"), 1.0)
    horizon = _clipped(0.5 + offset, 0.25, 0.7)
    focal = width / 2.0 / math.tan(math.radians(field) / 2.0)
    return Pose(
        aside=_clipped(dice.normal("pose", 0.45), -1.5, 1.5),
        height=low if robot else high if lorry else usual,
        yaw=_clipped(dice.normal("pose", 4.0), -20.0, 20.0),
        pitch=math.degrees(math.atan((horizon - 0.5) * height / focal)),
        roll=_clipped(dice.normal("pose", 1.0), -6.0, 6.0),
    )


def _sample_distortion(dice: Dice, field: float, width: int, height: int) -> tuple[float, float]:
    """Draw k1, k2 that move the corner by up to 12 % in wide lenses, inwards mostly.

    With more, the image could fold over in frames of some shape: r - 0.12 r^3, in units of
    the corner, turns back where it is 1.11.
    """
    moved = dice.uniform("distortion", -0.12, 0.03, neutral=0.0) * _clipped(field / 80.0, 0.5, 1.0)
    bent = dice.uniform("distortion", -0.4, 0.0, neutral=0.0) * moved
    corner = math.tan(math.radians(field) / 2.0) * math.hypot(1.0, height / width)
    return moved / corner**2, bent / corner**4


def _sample_tone(dice: Dice) -> Tone:
    # Meters weigh the whole frame: under a bright sky a road comes out dark more often than bright.
    stops = dice.normal("exposure", 0.7) - 0.35 * min(dice.strength("exposure"), 1.0)
    warmth, tint = dice.normal("white_balance", 0.075), dice.normal("white_balance", 0.03)
    warmth, tint = _clipped(warmth, -0.35, 0.35), _clipped(tint, -0.15, 0.15)
    grey = dice.happens("white_balance", 0.04)
    saturation = math.exp(_clipped(dice.normal("white_balance", 0.3), -1.5, 0.6))
    return Tone(
        exposure=_clipped(stops, -2.6, 1.6),
        white_balance=_gains(warmth, tint),
        shoulder=dice.uniform("exposure", 0.2, 1.0, neutral=0.0),
        contrast=_clipped(dice.normal("exposure", 0.35), -0.6, 0.9),
        gamma=math.exp(_clipped(dice.normal("exposure", 0.14), -0.4, 0.4)),
        saturation=0.0 if grey else saturation,
    )


def _gains(warmth: float, tint: float) -> tuple[float, float, float]:
    """Return gains of blue, green, red; the least is 1, so that what is clipped stays white."""
    least = min(-warmth, -tint, warmth)
    return math.exp(-warmth - least), math.exp(-tint - least), math.exp(warmth - least)


def _sample_motion(dice: Dice) -> float:
    happens = dice.happens("motion_blur", 0.2)
    drawn = float(dice.stream("motion_blur").exponential(2.5))
    return min((1.5 + drawn) * min(dice.strength("motion_blur"), 3.0), 16.0) * happens


def _sample_shake(dice: Dice) -> tuple[int, int]:
    happens = dice.happens("motion_blur", 0.15)
    across, down = dice.stream("motion_blur").choice([1, 3, 5], size=2, p=[0.45, 0.45, 0.1])
    return (int(across), int(down)) if happens else (1, 1)


def _sample_noise(dice: Dice) -> float:
    happens = dice.happens("noise", 0.6)
    drawn = float(dice.stream("noise").exponential(2.6))
    return min((0.6 + drawn) * min(dice.strength("noise"), 3.0), 14.0) * happens


def _sample_glass(dice: Dice) -> Glass:
    dirty = _sometimes(dice, "dirt", 0.15, 0.1, 1.0)
    veil = _sometimes(dice, "dirt", 0.2, 0.03, 0.35)
    glare = dice.stream("dirt").uniform([-0.2, -0.2], [1.2, 0.5])
    seed = int(dice.stream("dirt").integers(2**31))
    if dice.strength("dirt") == 0.0:
        return Glass()
    drops = dice.uniform("dirt", 0.0, 2.0, neutral=0.0)
    return Glass(dirty, drops, veil, (float(glare[0]), float(glare[1])), seed)


def _sample_bonnet(dice: Dice) -> Bonnet | None:
    """Draw the bonnet of one car in seven; a dark matt one is a dashboard."""
    happens = dice.happens("bonnet", 0.14)
    rng = dice.stream("bonnet")
    top, middle = float(rng.uniform(0.04, 0.2)), float(rng.uniform(0.4, 0.6))
    half_width, power = float(rng.uniform(0.45, 1.1)), float(rng.uniform(2.0, 7.0))
    dashboard = bool(rng.random() < 0.3)
    brightness = float(rng.uniform(0.03, 0.85)) * (0.2 if dashboard else 1.0)
    tints = rng.uniform(0.5, 1.0, 3) ** float(rng.choice([0.1, 1.0, 3.0]))
    paint = brightness * tints / tints.max()
    shine = float(rng.uniform(0.1, 0.6)) * (0.15 if dashboard else 1.0)
    if not happens:
        return None
    b, g, r = (float(value) for value in paint)
    return Bonnet(top, middle, half_width, power, (b, g, r), shine)
