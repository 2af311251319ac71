"""The child of `crew`: one job after the other, its answers as lines of JSON.

python -m edge_seg.study.work PARENT_PID FOLDER     # a job on each line of stdin
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import IO, TypeVar

import msgspec

from edge_seg.errors import NoSpaceError
from edge_seg.study.jobs import Job
from edge_seg.study.records import Record
from edge_seg.study.run import run
from edge_seg.training.command import be_kind_to_memory_and_cores
from edge_seg.worker import end_with

Item = TypeVar("Item")
SAYS_EVERY_S = 0.5


class Answer(msgspec.Struct, frozen=True):
    """A line of the child's: what it is doing, or the record, or why nobody can go on."""

    doing: str = ""
    record: Record | None = None
    no_space: str = ""


def main() -> None:
    """Do a job for each line."""
    end_with(parent=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; ctrl-C reaches all
    folder = Path(sys.argv[2])
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a toolchain prints must not mix with the answers
    be_kind_to_memory_and_cores()
    for line in sys.stdin.buffer:
        job = msgspec.json.decode(line, type=Job)
        try:
            answer = Answer(record=run(job, folder, Teller(replies)))
        except NoSpaceError as error:
            answer = Answer(no_space=str(error))
        say(replies, answer)


def say(replies: IO[bytes], answer: Answer) -> None:
    """Write an answer as a line."""
    replies.write(msgspec.json.encode(answer) + b"\n")
    replies.flush()


class Teller:
    """A `edge_seg.progress.Track` that says now and then how far its items are."""

    def __init__(self, replies: IO[bytes]) -> None:
        self._replies = replies
        self._said = 0.0

    def __call__(self, items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
        """Pass on the items."""
        for index, item in enumerate(items):
            if monotonic() - self._said > SAYS_EVERY_S:
                self._said = monotonic()
                say(self._replies, Answer(doing=f"{description} {index + 1}/{total}"))
            yield item


if __name__ == "__main__":
    main()
