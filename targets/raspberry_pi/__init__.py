"""Raspberry Pi 3, 4, 5 and Zero 2 W with a 64-bit system; proof by emulation is in `emulate`."""

from edge_seg.target import Target

TARGET = Target(
    name="raspberry-pi",
    description="Raspberry Pi 3, 4, 5 and Zero 2 W with a 64-bit system",
    architecture="aarch64",
    engines=("torch", "litert", "qnnpack"),
    extra="raspberry-pi",
    aliases=("rpi", "pi"),
)
