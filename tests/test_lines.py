from __future__ import annotations

import os

from edge_seg.lines import next_line


def test_lines_are_taken_one_by_one_and_silence_and_the_end_are_told() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        os.write(writing, b"one\ntwo\nthr")
        line, rest = next_line(pipe, b"", 5.0)
        assert (line, rest) == (b"one", b"two\nthr")
        line, rest = next_line(pipe, rest, 5.0)
        assert (line, rest) == (b"two", b"thr")
        assert next_line(pipe, rest, 0.05) == (None, b"thr")  # silence
        os.write(writing, b"ee\n")
        assert next_line(pipe, rest, 5.0) == (b"three", b"")
        os.close(writing)
        assert next_line(pipe, b"", 5.0) == (None, b"")  # the end
