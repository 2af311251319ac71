"""A renderer for the tests: drawn roads in no time, and ways to go wrong.

FAKE_RENDERER_DIES is a file with a scene's number: the process kills itself at that scene, and
the file is gone then, unless it says ``for ever``. FAKE_RENDERER_HANGS names a scene to hang at.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from drawn import road

from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame, Mask


class Renderer:
    def __init__(
        self,
        seed: int,
        terms: object,
        maps: Sequence[str],
        sizes: Sequence[tuple[int, int]],
        frames_per_scene: int,
    ) -> None:
        self.seed, self.sizes, self.count = seed, sizes, frames_per_scene

    def scene(self, number: int) -> list[tuple[str, Frame, Mask]]:
        print("drivers print to stdout, too")
        if number == 666:
            raise EdgeSegError("this scene cannot be drawn")
        dies = Path(os.environ.get("FAKE_RENDERER_DIES", ""))
        if dies.is_file():
            words = dies.read_text()
            if words.split()[0] == str(number):
                if "for ever" not in words:
                    dies.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("FAKE_RENDERER_HANGS") == str(number):
            time.sleep(600)
        return [(f"{number}-{index}", *self._shot(number, index)) for index in range(self.count)]

    def _shot(self, number: int, index: int) -> tuple[Frame, Mask]:
        width, height = self.sizes[(number + index) % len(self.sizes)]
        frame, mask = road(self.seed * 100_000 + number * 100 + index, height, width)
        frame[0, 0] = (number % 256, number // 256, index)  # says which it is
        return frame, mask

    def close(self) -> None:
        pass
