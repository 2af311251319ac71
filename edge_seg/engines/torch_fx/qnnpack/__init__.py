"""qnnpack: PyTorch's int8 kernels for ARM, the same values on x86, where they are slow.

The file is written by torch 2.13 on the host and read by torch 2.9.1 on a Raspberry Pi: 2.10
stops with an illegal instruction on a Pi 4, and the ARM wheels from 2.11 on want CUDA.
"""
