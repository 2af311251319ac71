"""Instructions of one frame on a Pi's processor: a measure that no desk's load or clock changes.

    python -m targets.raspberry_pi.emulate.instructions lane-int8.tflite lane-float32.tflite

    report = count([Path("lane.edgeseg")])
    report.counts[0].instructions               # of one frame on one thread, e.g. 1_800_000_000

A plugin of qemu's (count.c) counts what the guest executes. Instructions are not time: a
processor runs several at once, or waits for memory; how two files compare on one processor is
what they tell. Debian's qemu-user-static takes no plugins: qemu-user of this machine does, or is
downloaded and unpacked into the cache, without root.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from edge_seg.bundle.archive import open_bundle
from edge_seg.cli import console
from edge_seg.errors import EdgeSegError
from edge_seg.files import scratch_folder
from edge_seg.progress import Track, silent
from targets.raspberry_pi.emulate import counted, packages
from targets.raspberry_pi.emulate.guest import Guest, Running, emulator_version
from targets.raspberry_pi.emulate.parts import cache_folder, key, part
from targets.raspberry_pi.emulate.proof import PROCESSORS
from targets.raspberry_pi.emulate.tree import make_tree

QEMU = "qemu-aarch64"
DEBS = ("qemu-user", "libcapstone4", "liburing2", "libglib2.0-0", "libnuma1")
"""Debian 12's qemu and those of its libraries that a small system may lack."""
TOO_NEW = 9
"""From this version on qemu takes plugins of another API than count.c's."""
SOURCE = Path(__file__).with_name("count.c")
TIME_LIMIT_S = 3600.0
"""Float arithmetic is emulated number by number: a frame takes minutes."""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""numpy's library would start a thread per core; the counter is exact for one."""

_MARKS = re.compile(r"^instructions: (\d+) threads: (\d+)$", re.MULTILINE)


class Count(msgspec.Struct, frozen=True):
    """How many instructions a processor executes for one frame of a file, on one thread."""

    processor: str
    file: str
    instructions: int


class Report(msgspec.Struct, frozen=True):
    """All counts; where there are two files, the first's over the second's for each processor."""

    emulator: str
    runtime: str
    runtime_version: str
    counts: list[Count]
    ratios: dict[str, float] | None = None


def count(
    files: Sequence[Path], track: Track = silent, processors: Sequence[str] = PROCESSORS
) -> Report:
    """Count one frame of each file on each processor; a file is a bundle or a .tflite file.

    Raises `EdgeSegError` for what is no LiteRT file, or does not run, and where a compiler or
    packages cannot be had.
    """
    processors = list(dict.fromkeys(processors))
    with scratch_folder() as scratch:
        models = [_model(path, scratch / f"{i}.tflite") for i, path in enumerate(files)]
        emulator = counting_emulator()
        tree = make_tree("litert")
        guests = [Guest(tree, name, emulator) for name in processors]
        pairs = list(zip(files, models, strict=True))
        counts = [
            Count(guest.processor, str(path), number)
            for path, model in track(pairs, "counting", len(pairs))
            for guest, number in zip(guests, _frames(guests, path, model), strict=True)
        ]
    return Report(
        emulator=emulator_version(emulator),
        runtime=tree.runtime.distribution,
        runtime_version=tree.version,
        counts=counts,
        ratios=_ratios(counts, processors) if len(files) == 2 else None,
    )


def counting_emulator(folder: Path | None = None) -> tuple[str, ...]:
    """Return the command of a qemu that counts: ``Guest(tree, processor, counting_emulator())``.

    The plugin is compiled, and a qemu downloaded, where ``folder`` (the cache) has none yet.
    """
    folder = folder or cache_folder()
    source = SOURCE.read_text()
    plugin = part(folder, "counter", key(source, platform.machine()), _compile) / "count.so"
    # In qemu's options a comma ends a value, two are one.
    return (*_qemu(folder), "-plugin", str(plugin).replace(",", ",,"))


def spans(running: Running, what: str, limit_s: float = TIME_LIMIT_S) -> list[int]:
    """Wait for a guest's end and return its instructions from each mark to the next.

    ``what`` names the work in messages. Raises `EdgeSegError` where it fails, or has threads.
    """
    done = running.result(limit_s)
    marks = [(int(number), int(threads)) for number, threads in _MARKS.findall(done.stderr)]
    if done.returncode != 0 or len(marks) < 2:
        lines = [line for line in done.stderr.splitlines() if not _MARKS.match(line)]
        raise EdgeSegError(
            f"{what} cannot be counted on the emulated {running.processor}: "
            f"{(lines or ['it says nothing'])[-1][:300]}"
        )
    if marks[-1][1] != 1:
        raise EdgeSegError(
            f"{what} cannot be counted: it runs {marks[-1][1]} threads on the emulated "
            f"{running.processor}, and instructions are counted for one"
        )
    return [after - before for (before, _), (after, _) in pairwise(marks)]


def _frames(guests: Sequence[Guest], path: Path, model: Path) -> list[int]:
    """Return the instructions of a frame on each guest; all run at once."""
    command = (counted.__file__, model)
    with contextlib.ExitStack() as all_at_once:
        running = [
            all_at_once.enter_context(guest.started(command, ONE_THREAD)) for guest in guests
        ]
        return [spans(one, str(path))[-1] for one in running]


def _ratios(counts: Sequence[Count], processors: Sequence[str]) -> dict[str, float]:
    ratios = {}
    for name in processors:
        first, second = (found.instructions for found in counts if found.processor == name)
        ratios[name] = round(first / second, 4)
    return ratios


def _model(path: Path, copy: Path) -> Path:
    """Return where the LiteRT file is: a bundle's is written to ``copy``."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        if file.read(8)[4:] == b"TFL3":  # the file identifier of TensorFlow Lite's schema
            return Path(os.path.abspath(path))
    bundle = open_bundle(path)
    engine = bundle.manifest.engine.name
    if engine != "litert":
        raise EdgeSegError(
            f"{path}: engine '{engine}' cannot be counted, only litert can: edge-seg pack "
            "--target raspberry-pi"
        )
    copy.write_bytes(bundle.read(bundle.manifest.model_file))
    return copy


def _compile(folder: Path) -> None:
    if shutil.which("gcc") is None:
        raise EdgeSegError("counting instructions needs a C compiler: sudo apt install gcc")
    packages.run(
        *("gcc", "-O2", "-shared", "-fPIC", "-o", str(folder / "count.so"), str(SOURCE)),
        what="compiling qemu's plugin",
        advice="sudo apt install gcc libc6-dev",
    )


def _qemu(folder: Path) -> tuple[str, ...]:
    """Return the command of a qemu that takes the plugin: this machine's, or Debian's unpacked."""
    found = shutil.which(QEMU)
    if found and _takes_plugins(found):
        return (found,)
    unpacked = part(folder, "qemu-user", key(*DEBS, platform.machine()), _download)
    libraries = [str(path) for path in unpacked.glob("**/lib/*-linux-gnu*") if path.is_dir()]
    # The guest's loader would look into a path of the host's libraries: -U takes it away.
    command = (
        *("/usr/bin/env", f"LD_LIBRARY_PATH={os.pathsep.join(sorted(libraries))}"),
        *(str(unpacked / "usr/bin" / QEMU), "-U", "LD_LIBRARY_PATH"),
    )
    if not _takes_plugins(*command):
        raise EdgeSegError(
            f"Debian's qemu-user in {unpacked} does not start here, or is not version 7.2: "
            "sudo apt install qemu-user"
        )
    return command


def _takes_plugins(*command: str) -> bool:
    """Say whether this qemu was built with plugins, and with the API that count.c has."""
    version, usage = (
        subprocess.run([*command, word], capture_output=True, text=True, check=False).stdout
        for word in ("--version", "-h")
    )
    major = re.search(r"version (\d+)\.", version)
    return "-plugin" in usage and major is not None and int(major[1]) < TOO_NEW


def _download(folder: Path) -> None:
    """Download qemu for this machine and unpack it: apt's own state is only read."""
    advice = "sudo apt update, or have it installed: sudo apt install qemu-user"
    what = "Debian's qemu-user cannot be had: apt-get download"
    packages.run("apt-get", "download", *DEBS, cwd=folder, what=what, advice=advice)
    for deb in sorted(folder.glob("*.deb")):
        what = f"unpacking {deb.name}"
        packages.run("dpkg-deb", "-x", str(deb), str(folder), what=what, advice=advice)
        deb.unlink()
    for program in (folder / "usr/bin").iterdir():
        if program.name != QEMU:  # those for other processors are 100 MB
            program.unlink()


def main() -> int:
    """Print the counts as JSON; return 0, or 2 where something cannot be counted."""
    parser = argparse.ArgumentParser(
        prog="python -m targets.raspberry_pi.emulate.instructions",
        description="Count a frame's instructions on a Pi's processor; int8 first, then float32, "
        "gives their ratio.",
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="BUNDLE or FILE.tflite")
    parser.add_argument("--processor", action="append", help=f"default: {', '.join(PROCESSORS)}")
    chosen = parser.parse_args()
    try:
        report = count(chosen.files, console.track, chosen.processor or PROCESSORS)
    except EdgeSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    console.print_json(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
