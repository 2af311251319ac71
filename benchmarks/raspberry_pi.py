"""What packing for a Raspberry Pi costs here, and what the host spends around LiteRT."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edge_seg.bundle.archive import open_bundle
from edge_seg.frames import FrameSet
from edge_seg.segmenter import Segmenter

ROUNDS, FRAMES, SETTLE = 12, 10, 3
"""Rounds of each way in turns; the first frames of a round are not counted."""


def prove(bundle: Path) -> dict:
    """Return how long the proof of a bundle takes with everything downloaded, and what it says."""
    command = [sys.executable, "-m", "targets.raspberry_pi.emulate", str(bundle)]
    subprocess.run(command, check=True, capture_output=True)  # makes the tree
    start = perf_counter()
    done = subprocess.run(command, check=True, capture_output=True)
    return {"proof_s": perf_counter() - start, "proven": json.loads(done.stdout)}


def against_bare(bundle: Path) -> dict:
    """Time frame to mask against LiteRT's bare `invoke` on the same file, in turns."""
    threads = len(os.sched_getaffinity(0))
    opened = open_bundle(bundle)
    bare = Interpreter(model_content=opened.read(opened.manifest.model_file), num_threads=threads)
    bare.allocate_tensors()
    frames = FrameSet.open("lane-test")
    images = [frames.image(index) for index in range(8)]
    ours: list[float] = []
    invokes: list[float] = []
    outside: list[float] = []
    with Segmenter(opened, threads=threads) as segmenter:
        for _ in range(ROUNDS):
            for index in range(FRAMES):
                start = perf_counter()
                bare.invoke()
                if index >= SETTLE:
                    invokes.append((perf_counter() - start) * 1e3)
            for index in range(FRAMES):
                segmenter(images[index % len(images)])
                if index >= SETTLE:
                    timings = segmenter.timings
                    ours.append(timings.total_ms)
                    outside.append(1 - timings.inference_ms / timings.total_ms)
    return {
        "threads": threads,
        "bare_invoke_p50_ms": float(np.median(invokes)),
        "frame_to_mask_p50_ms": float(np.median(ours)),
        "times_bare": float(np.median(ours) / np.median(invokes)),
        "share_outside_engine_percent": float(100 * np.median(outside)),
    }
