"""NVIDIA Jetson Orin: will hold the target, the TensorRT builder's check, and CSI cameras.

Nothing is registered under ``edge_seg.targets`` yet; the README beside this file says what comes.
"""
