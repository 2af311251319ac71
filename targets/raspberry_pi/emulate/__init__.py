"""A Raspberry Pi on an x86 desk: its Python, its wheels, its processor's instructions.

    from targets.raspberry_pi.emulate.proof import prove

    prove(Path("lane.edgeseg"))         # [Proof(processor="cortex-a72", ..., passed=True), ...]

Debian's arm64 Python and the wheels that a Pi would install are unpacked into folders of the
user's cache, and qemu's user-mode emulation runs them: no root, no chroot, no binfmt. What a
device would compute is computed, instruction by instruction; how fast it would is not told.
"""
