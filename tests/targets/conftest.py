"""The emulated Raspberry Pi of these tests; without qemu or packages they skip and say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_seg.errors import EdgeSegError
from targets.raspberry_pi.emulate.guest import Guest, find_emulator
from targets.raspberry_pi.emulate.tree import installed_app, make_tree

MakeGuest = Callable[[str, str], Guest]


@pytest.fixture(scope="session")
def make_guest() -> MakeGuest:
    """Return what makes a guest of a runtime and a processor, or skips with the reason."""

    def make(runtime: str, processor: str) -> Guest:
        installed_app()  # our own wheel: where it cannot be built, that is a failure
        try:
            find_emulator()
            return Guest(make_tree(runtime), processor)
        except EdgeSegError as error:
            pytest.skip(f"no emulated Raspberry Pi: {error}")

    return make


@pytest.fixture(scope="session")
def pi4(make_guest: MakeGuest) -> Guest:
    return make_guest("litert", "cortex-a72")


@pytest.fixture(scope="session")
def pi5(make_guest: MakeGuest) -> Guest:
    return make_guest("litert", "cortex-a76")
