"""Counted instructions: exact for a loop of known length, refused where they would not be."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from test_targets_emulate_proof import make_bundle

from edge_seg.bundle.archive import open_bundle, write_bundle
from edge_seg.bundle.manifest import EngineRef
from edge_seg.errors import EdgeSegError
from edge_seg.models.model import Model
from targets.raspberry_pi.emulate import counted, instructions, packages
from targets.raspberry_pi.emulate.guest import Guest
from targets.raspberry_pi.emulate.instructions import Count, Report, count, counting_emulator, spans
from targets.raspberry_pi.emulate.proof import PROCESSORS

LOOPS = """
import ctypes, mmap, sys
words = [0xF1000400, 0x54FFFFE1, 0xD65F03C0]    # subs x0, x0, #1; b.ne .-4; ret
page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"".join(word.to_bytes(4, "little") for word in words))
place = ctypes.addressof(ctypes.c_char.from_buffer(page))
loop = ctypes.CFUNCTYPE(None, ctypes.c_uint64)(place)
mark = ctypes.CDLL(None).syscall
for times in [1] * 20 + [int(word) for word in sys.argv[1:]]:  # Python 3.11 gets faster first
    loop(times)
    mark(9999)
"""
THREADS = """
import ctypes, threading
mark = ctypes.CDLL(None).syscall
thread = threading.Thread(target=mark, args=(9999,))
thread.start()
thread.join()
mark(9999)
"""


@pytest.fixture(scope="module")
def counting(make_guest: Callable[[str, str], Guest]) -> Callable[[str], Guest]:
    """Return what makes a guest that counts, or skips with the reason."""

    def make(processor: str) -> Guest:
        guest = make_guest("litert", processor)
        try:
            return Guest(guest.tree, processor, counting_emulator())
        except EdgeSegError as error:
            if "compiling" in str(error):  # our own source, with a compiler that is there
                raise
            pytest.skip(f"no instructions are counted: {error}")

    return make


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, fitted_model: Model) -> Path:
    folder = tmp_path_factory.mktemp("count")
    return make_bundle(folder / "lane.edgeseg", fitted_model, "litert")


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, name: str, script: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_a_loop_of_two_instructions_is_counted(counting: Callable[[str], Guest]) -> None:
    times = [1, 1_000_000, 2_000_000]
    with counting("cortex-a72").started(["-c", LOOPS, *map(str, times)]) as running:
        nothing, once, twice = spans(running, "the loop", 120)[-3:]
    # Python's own share of a call is the same for both, and a few instructions less for 1.
    assert twice - once == 2 * (times[2] - times[1])
    assert once - nothing == pytest.approx(2 * (times[1] - times[0]), abs=200)
    assert nothing < 20_000


def test_a_guest_with_threads_is_refused(counting: Callable[[str], Guest]) -> None:
    with (
        counting("cortex-a72").started(["-c", THREADS]) as running,
        pytest.raises(EdgeSegError, match=r"^it cannot be counted: it runs 2 threads on the emul"),
    ):
        spans(running, "it", 120)


def test_what_fails_in_the_guest_is_one_line(
    counting: Callable[[str], Guest], tmp_path: Path
) -> None:
    counting("cortex-a72")
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    with pytest.raises(EdgeSegError, match=r"cannot be counted on the emulated cortex-a72: ") as no:
        count([broken], processors=["cortex-a72"])
    assert "\n" not in str(no.value)


def test_the_counter_does_not_reach_the_guest_s_environment(
    counting: Callable[[str], Guest],
) -> None:
    code = "import os; print('LD_LIBRARY_PATH' in os.environ)"
    assert counting("cortex-a72").run(["-c", code], 120).stdout == "False\n"


@pytest.mark.slow
def test_a_bundle_and_its_file_count_alike(
    counting: Callable[[str], Guest], bundle: Path, tmp_path: Path
) -> None:
    counting("cortex-a72")
    whole = open_bundle(bundle)
    file = tmp_path / "lane.tflite"
    file.write_bytes(whole.read(whole.manifest.model_file))
    report = count([bundle, file])
    assert [(one.processor, one.file) for one in report.counts] == [
        (processor, str(path)) for path in (bundle, file) for processor in PROCESSORS
    ]
    assert report.ratios == pytest.approx(dict.fromkeys(PROCESSORS, 1.0), abs=1e-3)
    pi4, pi5 = (one.instructions for one in report.counts[:2])
    assert 1_000_000 < pi5 < pi4  # its dot products take four multiplications each


def test_a_missing_compiler_says_how_to_install_it(empty_path: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match=r"^counting .* C compiler: sudo apt install gcc$"):
        counting_emulator(tmp_path)


def test_a_compiler_without_headers_is_told(empty_path: Path, tmp_path: Path) -> None:
    put(empty_path, "gcc", "echo 'count.c:1: fatal error: stdio.h' >&2; exit 1")
    with pytest.raises(EdgeSegError, match=r"stdio\.h\); sudo apt install gcc libc6-dev$"):
        counting_emulator(tmp_path)


def test_packages_that_cannot_be_had_are_one_line(empty_path: Path, tmp_path: Path) -> None:
    put(empty_path, "gcc", "exit 0")
    put(empty_path, "apt-get", "echo 'E: Unable to locate package qemu-user' >&2; exit 100")
    with pytest.raises(EdgeSegError, match=r"\(E: Unable .* sudo apt install qemu-user$") as failed:
        counting_emulator(tmp_path)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("version", "usage", "taken"),
    [("7.2.22", "-plugin", True), ("7.2.22", "-version", False), ("9.1.0", "-plugin", False)],
)
def test_this_machine_s_own_qemu_is_used_where_it_takes_the_plugin(
    empty_path: Path, tmp_path: Path, version: str, usage: str, taken: bool
) -> None:
    says = f'[ "$1" = -h ] && echo "{usage}  QEMU_PLUGIN" || echo "qemu-aarch64 version {version}"'
    qemu = put(empty_path, "qemu-aarch64", says)
    put(empty_path, "gcc", "exit 0")
    if not taken:
        with pytest.raises(EdgeSegError, match="there is no apt-get here"):
            counting_emulator(tmp_path)
        return
    found, option, plugin = counting_emulator(tmp_path)
    assert (found, option, Path(plugin).name) == (str(qemu), "-plugin", "count.so")


def test_a_comma_in_the_cache_s_name_is_no_option(empty_path: Path, tmp_path: Path) -> None:
    put(empty_path, "qemu-aarch64", 'echo "-plugin, version 7.2.22"')
    put(empty_path, "gcc", "exit 0")
    (tmp_path / "a,b").mkdir()
    assert "/a,,b/counter-" in counting_emulator(tmp_path / "a,b")[-1]


def test_a_qemu_that_does_not_start_is_told(
    empty_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(folder: Path) -> None:
        (folder / "usr/bin").mkdir(parents=True)
        put(folder / "usr/bin", "qemu-aarch64", "exit 127")

    put(empty_path, "gcc", "exit 0")
    monkeypatch.setattr(instructions, "_download", download)
    with pytest.raises(EdgeSegError, match=r"does not start here.*sudo apt install qemu-user$"):
        counting_emulator(tmp_path)


def test_other_files_are_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match="no such file"):
        count([tmp_path / "none.tflite"])
    (tmp_path / "text.tflite").write_text("no model")
    with pytest.raises(EdgeSegError, match=r"text\.tflite"):
        count([tmp_path / "text.tflite"])
    whole = open_bundle(bundle)
    engine = EngineRef("openvino", "openvino", "2026.4")
    manifest = msgspec.structs.replace(whole.manifest, engine=engine)
    other = tmp_path / "x86.edgeseg"
    write_bundle(other, manifest, {name: whole.read(name) for name in whole.manifest.members})
    with pytest.raises(EdgeSegError, match=r"engine 'openvino' cannot be counted, only litert"):
        count([other])


def test_the_mark_is_one_number_on_both_sides() -> None:
    assert f"#define MARK {counted.MARK} " in instructions.SOURCE.read_text()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")
def test_the_plugin_compiles_without_a_warning(tmp_path: Path) -> None:
    options = ("-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(tmp_path / "count.so"))
    packages.run("gcc", *options, str(instructions.SOURCE), what="compiling", advice="")
    assert (tmp_path / "count.so").is_file()


def test_the_command_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []
    numbers = [Count("cortex-a76", "a.tflite", 600), Count("cortex-a76", "b.tflite", 2400)]
    report = Report("qemu-aarch64 7.2.22", "ai-edge-litert", "2.3.0", numbers, {"cortex-a76": 0.25})
    monkeypatch.setattr(instructions, "count", lambda *given: asked.append(given) or report)
    words = ["instructions", "a.tflite", "b.tflite", "--processor", "cortex-a76"]
    monkeypatch.setattr(sys, "argv", words)
    assert instructions.main() == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=Report) == report
    ((files, _, processors),) = asked
    assert (files, processors) == ([Path("a.tflite"), Path("b.tflite")], ["cortex-a76"])


def test_the_command_says_a_fault_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["instructions", os.fspath(tmp_path / "none.edgeseg")])
    assert instructions.main() == 2
    assert capsys.readouterr().err.count("\n") == 1
