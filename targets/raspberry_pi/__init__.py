"""Raspberry Pi 4 and 5: will hold the target, its proof by emulation, and the Pi camera.

Nothing is registered under ``edge_seg.targets`` yet; the README beside this file says what comes.
"""
