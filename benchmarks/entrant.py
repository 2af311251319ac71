"""One entrant in a process of its own: ``python -m benchmarks.entrant KIND NAME ...``.

Reads lines ``time N`` and ``evaluate`` and answers each with a line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from time import perf_counter

from edge_seg.frames import FrameSet
from edge_seg.machine import peak_rss_bytes
from edge_seg.metrics import evaluate
from edge_seg.worker import SPIN_COUNT

WARM_UP = 10
DISTINCT_FRAMES = 8


class Entrant:
    """The parent's end of such a process."""

    def __init__(self, *arguments: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.entrant", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"GOMP_SPINCOUNT": SPIN_COUNT, **os.environ},  # as in the tournament
        )
        self._ask("time 1")

    def time(self, count: int) -> list[list[float]]:
        """Return (total, engine) milliseconds of ``count`` frames; engine is 0 for peers."""
        return self._ask(f"time {count}")["ms"]

    def evaluate(self) -> dict:
        """Return the scores on the evaluation set."""
        return self._ask("evaluate")["evaluation"]

    def memory(self) -> int:
        """Return the peak resident bytes so far."""
        return self._ask("time 1")["peak_rss_bytes"]

    def _ask(self, line: str) -> dict:
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()
        reply = self._child.stdout.readline()
        if not reply:
            raise SystemExit(f"entrant died: {self._child.args[3:]}")
        return json.loads(reply)

    def __enter__(self) -> Entrant:
        return self

    def __exit__(self, *error: object) -> None:
        self._child.kill()
        self._child.wait()


def main(kind: str, name: str, model: str, calibration: str, evaluation: str) -> None:
    """Load one entrant and answer."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if kind == "bundle":
        from edge_seg import Segmenter

        predict = Segmenter(name)
    else:
        from benchmarks.peers import build

        predict = build(name, model, calibration)
    frames = FrameSet.open(evaluation)
    images = [frames.image(index) for index in range(DISTINCT_FRAMES)]
    for index in range(WARM_UP):
        predict(images[index % DISTINCT_FRAMES])
    for line in sys.stdin:
        answer: dict = {"peak_rss_bytes": peak_rss_bytes()}
        if line.startswith("time"):
            answer["ms"] = []
            for index in range(int(line.split()[1])):
                start = perf_counter()
                predict(images[index % DISTINCT_FRAMES])
                total = (perf_counter() - start) * 1e3
                engine = predict.timings.inference_ms if kind == "bundle" else 0.0
                answer["ms"].append([total, engine])
        else:
            scores = evaluate(predict, frames)
            answer["evaluation"] = {"miou": scores.miou, "iou": scores.iou}
        print(json.dumps(answer), file=replies, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
