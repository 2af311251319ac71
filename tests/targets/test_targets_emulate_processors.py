"""/proc/cpuinfo of a board: what LiteRT and OpenCV choose their kernels by."""

from __future__ import annotations

import pytest

from edge_seg.errors import EdgeSegError
from targets.raspberry_pi.emulate.processors import PROCESSORS, find


def fields(text: str) -> list[dict[str, str]]:
    cores = [core for core in text.split("\n\n") if core]
    pairs = [[line.split(":") for line in core.splitlines()] for core in cores]
    return [{name.strip(): value.strip() for name, value in core} for core in pairs]


@pytest.mark.parametrize(
    ("name", "part", "dot_products"),
    [("cortex-a53", 0xD03, False), ("cortex-a72", 0xD08, False), ("cortex-a76", 0xD0B, True)],
)
def test_a_processor_is_described_as_linux_does(name: str, part: int, dot_products: bool) -> None:
    cores = fields(find(name).cpuinfo(4))
    assert [core["processor"] for core in cores] == ["0", "1", "2", "3"]
    for core in cores:
        assert int(core["CPU part"], 16) == part
        assert core["CPU implementer"] == "0x41"
        assert core["CPU architecture"] == "8"
        features = core["Features"].split()
        assert {"fp", "asimd", "crc32"} <= set(features)
        assert ("asimddp" in features) == dot_products
        assert ("atomics" in features) == dot_products


def test_an_unknown_processor_is_told_the_closest() -> None:
    with pytest.raises(EdgeSegError, match="did you mean 'cortex-a72'"):
        find("cortex-72")
    assert set(PROCESSORS) == {"cortex-a53", "cortex-a72", "cortex-a76"}
