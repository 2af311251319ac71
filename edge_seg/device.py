"""What the device is, how fast and how hot it runs, and what slows it down.

    read_device()     # Device(model="Raspberry Pi 5 Model B Rev 1.0", governor="ondemand", ...)
    read_state()      # DeviceState(clock_mhz=2400.0, temperature_c=61.5, throttled=[])

Read from files of the kernel, on a Raspberry Pi also from its firmware. Nothing here raises:
what a device does not tell is ``None``. ``root`` is where its file system begins.

Sources: the Devicetree Specification, 2.3.2 (``model``); the kernel's cpufreq.rst (kHz) and its
thermal sysfs-api.rst (thousandths of a degree); Raspberry Pi's documentation, "vcgencmd", for
the bits, and "config.txt", overclocking: ``scaling_cur_freq`` is what the kernel asked for, what
the cores run at is ``vcgencmd measure_clock arm``. The kernel's own copy of the bits
(drivers/firmware/raspberrypi.c) is of the voltage driver's last look, which clears the upper ones
every two seconds (drivers/hwmon/raspberrypi-hwmon.c): so ``vcgencmd`` is asked first.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from edge_seg.bundle.manifest import DeviceState
from edge_seg.progress import Item, Track

ROOT = Path("/")
THROTTLING = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
"""What each bit of ``get_throttled`` says."""
FALL = 0.9
"""A clock below this share of what it was before has fallen; the steps of a Pi's are larger."""
FIRMWARE_LIMIT_S = 2.0
"""For ``vcgencmd``, which answers in milliseconds."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change while a device works; ``max_clock_mhz`` is of its fastest core."""

    model: str | None = None
    memory_bytes: int | None = None
    governor: str | None = None
    max_clock_mhz: float | None = None


def read_device(root: Path = ROOT) -> Device:
    """Return what the device is."""
    model = _text(root / "proc/device-tree/model")
    memory = _text(root / "proc/meminfo") or ""
    total = [line.split()[1] for line in memory.splitlines() if line.startswith("MemTotal:")]
    return Device(
        model=model or None,
        memory_bytes=int(total[0]) * 1024 if total and total[0].isdigit() else None,
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        max_clock_mhz=_fastest(root, "cpuinfo_max_freq"),
    )


def read_state(root: Path = ROOT) -> DeviceState:
    """Return how the device fares now."""
    hertz = _number(_firmware(root, "measure_clock", "arm"))
    clock = round(hertz / 1e6, 1) if hertz else _fastest(root, "scaling_cur_freq")
    heat = _number(_text(root / "sys/class/thermal/thermal_zone0/temp"))
    return DeviceState(
        clock_mhz=clock,
        temperature_c=None if heat is None else round(heat / 1000, 1),
        throttled=_throttled(root),
    )


def decode_throttled(bits: int) -> list[str]:
    """Return what the bits of ``get_throttled`` say; bits without a meaning say nothing.

    >>> decode_throttled(0x50005)[:2]
    ['under-voltage now', 'throttled now']
    """
    return [words for bit, words in THROTTLING.items() if bits >> bit & 1]


def watching(track: Track, states: list[DeviceState]) -> Track:
    """Return a track that adds the device's state to ``states`` before each item.

    Between the items, so that nothing that is timed shares the processor with the reading.
    """

    def watched(items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
        for item in track(items, description, total):
            states.append(read_state())
            yield item

    return watched


def slowdowns(before: DeviceState, working: Sequence[DeviceState]) -> list[str]:
    """Return a line for each thing that slowed the device: its states at work, in order of time.

    What was so since boot counts where it was not yet so ``before``.
    """
    known = set(before.throttled or ())
    seen = {words for state in working for words in state.throttled or ()}
    counted = [
        words for words in THROTTLING.values()
        if words in seen and (words.endswith(" now") or words not in known)
    ]  # fmt: skip
    kinds = dict.fromkeys(
        words.removesuffix(" now").removesuffix(" since boot") for words in counted
    )
    lines = []
    if kinds:
        cure = (
            "power supply" if list(kinds) == ["under-voltage"] else "power supply and the cooling"
        )
        lines.append(
            f"throttling reported while frames were timed ({', '.join(kinds)}): "
            f"see to the {cure} and measure again"
        )
    highest = 0.0
    for clock in (state.clock_mhz for state in working):
        if clock is not None and clock < FALL * highest:
            lines.append(
                f"the clock fell from {highest:.0f} to {clock:.0f} MHz while frames were timed: "
                "the later ones took longer"
            )
            break
        highest = max(highest, clock or 0.0)
    return lines


def _throttled(root: Path) -> list[str] | None:
    """Ask the firmware; else the kernel's copy, its alarm of too low a voltage, its cooling."""
    answer = _firmware(root, "get_throttled")
    for path in (root / "sys/devices/platform").glob("soc*/soc*:firmware/get_throttled"):
        answer = answer or _text(path)
    with contextlib.suppress(ValueError):
        return decode_throttled(int(answer or "", 16))
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _text(folder / "name") == "rpi_volt":
            return decode_throttled(int(_text(folder / "in0_lcrit_alarm") == "1"))
    return _cooled(root)


def _cooled(root: Path) -> list[str] | None:
    """Ask the kernel whether heat holds back a clock: any board, a Jetson's CPU and GPU among them.

    Fans are cooling devices, too; those that slow down are named for cpufreq or devfreq
    (drivers/thermal/cpufreq_cooling.c, devfreq_cooling.c).
    """
    folders = (root / "sys/class/thermal").glob("cooling_device*")
    brakes = [path for path in folders if "freq" in (_text(path / "type") or "")]
    if not brakes:
        return None
    active = any((_number(_text(path / "cur_state")) or 0.0) > 0.0 for path in brakes)
    return decode_throttled(int(active) << 1)


def _firmware(root: Path, *words: str) -> str | None:
    """Return what ``vcgencmd`` answers behind the ``=``; it is looked up on PATH, below root."""
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    below = os.pathsep.join(str(root / place.lstrip("/")) for place in places if place)
    program = shutil.which("vcgencmd", path=below)
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, *words], capture_output=True, timeout=FIRMWARE_LIMIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):  # no right to ask, or a firmware that hangs
        return None
    return answer.stdout.decode(errors="replace").partition("=")[2].strip() or None


def _fastest(root: Path, name: str) -> float | None:
    """Return the highest of the cores' figures in MHz: boards with small cores have two clocks."""
    files = (root / "sys/devices/system/cpu").glob(f"cpu[0-9]*/cpufreq/{name}")
    known = [kilohertz for path in files if (kilohertz := _number(_text(path))) is not None]
    return round(max(known) / 1000, 1) if known else None


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _text(path: Path) -> str | None:
    """Return a file's text without the NUL or newline that ends it; None where there is none."""
    try:
        return path.read_bytes().decode(errors="replace").strip("\0 \n") or None
    except OSError:
        return None
