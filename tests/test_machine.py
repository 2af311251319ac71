"""Devices by their files: boards made by hand as folders, and what is read of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_seg import device
from edge_seg.bundle.manifest import DeviceState
from edge_seg.device import Device, decode_throttled, read_device, read_state, slowdowns, watching
from edge_seg.machine import this_machine

CPU = "sys/devices/system/cpu"
PI_CORE = """processor\t: {core}
BogoMIPS\t: 108.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part}
CPU revision\t: 3
"""
PI_4 = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": "\n".join(
        PI_CORE.format(core=core, features="fp asimd evtstrm crc32 cpuid", part="0xd08")
        for core in range(4)
    )
    + "\nRevision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
    "proc/meminfo": "MemTotal:        3884360 kB\nMemFree:          100000 kB\n",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "ondemand\n",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "600000\n",
    f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "1500000\n",
    "sys/class/thermal/thermal_zone0/temp": "48686\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
}
PI_5 = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/cpuinfo": PI_CORE.format(core=0, features="fp asimd asimdhp asimddp", part="0xd0b"),
    f"{CPU}/cpu0/cpufreq/scaling_governor": "performance\n",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
    f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "2400000\n",
    "sys/class/thermal/thermal_zone0/temp": "85250\n",
    "usr/bin/vcgencmd": """#!/bin/sh
case "$1 $2" in
    "measure_clock arm") echo "frequency(0)=1500398464" ;;
    "get_throttled ") echo "throttled=0xe0006" ;;
    *) exit 1 ;;
esac
""",
}
RK3588 = {
    "proc/cpuinfo": "\n".join(
        PI_CORE.format(core=core, features="asimd asimddp", part=part)
        for core, part in enumerate(["0xd05"] * 4 + ["0xd0b"] * 4)
    ),
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1800000",
    f"{CPU}/cpu4/cpufreq/scaling_cur_freq": "2256000",
    f"{CPU}/cpu4/cpufreq/cpuinfo_max_freq": "2400000",
}


@pytest.fixture(autouse=True)
def usual_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def board(root: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if path.parent.name == "bin":
            path.chmod(0o755)
    return root


def test_a_pi_4_at_rest(tmp_path: Path) -> None:
    root = board(tmp_path, PI_4)
    assert read_device(root) == Device(
        model="Raspberry Pi 4 Model B Rev 1.4",
        memory_bytes=3884360 * 1024,
        governor="ondemand",
        max_clock_mhz=1500.0,
    )
    assert read_state(root) == DeviceState(clock_mhz=600.0, temperature_c=48.7, throttled=[])
    machine = this_machine(root)
    assert (machine.cpu, machine.isa) == ("Cortex-A72", ["asimd"])


def test_a_throttled_pi_5_is_asked_through_its_firmware(tmp_path: Path) -> None:
    """The kernel believes in 2400 MHz; the firmware knows better."""
    root = board(tmp_path, PI_5)
    state = read_state(root)
    assert (state.clock_mhz, state.temperature_c) == (1500.4, 85.2)
    assert state.throttled == [
        "frequency capped now",
        "throttled now",
        "frequency capped since boot",
        "throttled since boot",
        "soft temperature limit since boot",
    ]
    machine = this_machine(root)
    assert (machine.cpu, machine.isa) == ("Cortex-A76", ["asimd", "asimddp"])


@pytest.mark.parametrize(
    "script", ["#!/bin/sh\nexit 255\n", "#!/bin/sh\nexec sleep 60\n", "no script"]
)
def test_a_firmware_that_does_not_answer_leaves_the_kernels_files(
    tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "FIRMWARE_LIMIT_S", 0.2)
    root = board(tmp_path, {**PI_4, "usr/bin/vcgencmd": script})
    assert read_state(root) == DeviceState(clock_mhz=600.0, temperature_c=48.7, throttled=[])


def test_a_kernel_without_the_bits_has_the_voltage_alarm(tmp_path: Path) -> None:
    alarm = {"sys/class/hwmon/hwmon1/name": "rpi_volt\n"}
    root = board(tmp_path, {**alarm, "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"})
    assert read_state(root).throttled == ["under-voltage now"]
    board(root, {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n"})
    assert read_state(root).throttled == []


def test_heat_that_holds_back_a_jetson_s_clock(tmp_path: Path) -> None:
    fan = {"sys/class/thermal/cooling_device0/type": "pwm-fan\n",
           "sys/class/thermal/cooling_device0/cur_state": "2\n"}  # fmt: skip
    root = board(tmp_path, fan)
    assert read_state(root).throttled is None  # a fan that turns slows nothing
    gpu = "sys/class/thermal/cooling_device1"
    board(root, {f"{gpu}/type": "devfreq-17000000.gpu\n", f"{gpu}/cur_state": "0\n"})
    assert read_state(root).throttled == []
    board(root, {f"{gpu}/cur_state": "3\n"})
    assert read_state(root).throttled == ["frequency capped now"]


def test_a_box_that_tells_nothing(tmp_path: Path) -> None:
    assert read_device(tmp_path) == Device()
    assert read_state(tmp_path) == DeviceState(clock_mhz=None, temperature_c=None, throttled=None)
    machine = this_machine(tmp_path)
    assert machine.cpu and machine.cores >= 1 and machine.isa == []


def test_files_that_hold_nonsense_are_unknown(tmp_path: Path) -> None:
    root = board(tmp_path, {name: "\udcff?".encode("utf-8", "replace").decode() for name in PI_4})
    assert read_device(root).max_clock_mhz is None
    assert read_state(root) == DeviceState()


def test_a_board_with_two_kinds_of_cores_has_the_clock_of_the_faster(tmp_path: Path) -> None:
    root = board(tmp_path, RK3588)
    assert this_machine(root).cpu == "Cortex-A55 and Cortex-A76"
    assert read_state(root).clock_mhz == 2256.0
    assert read_device(root).max_clock_mhz == 2400.0


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0, []),
        (
            0x50005,
            [
                "under-voltage now",
                "throttled now",
                "under-voltage since boot",
                "throttled since boot",
            ],
        ),
        (0x80008, ["soft temperature limit now", "soft temperature limit since boot"]),
        (0x20002, ["frequency capped now", "frequency capped since boot"]),
        (0xFFF0FFF0, []),
    ],
)
def test_bits_by_hand(bits: int, words: list[str]) -> None:
    assert decode_throttled(bits) == words


def state(clock: float | None = None, bits: int = 0) -> DeviceState:
    return DeviceState(clock_mhz=clock, throttled=decode_throttled(bits))


def test_a_steady_device_gives_no_warning() -> None:
    assert slowdowns(state(600), [state(1500), state(1500), state(1450)]) == []
    assert slowdowns(DeviceState(), [DeviceState(), DeviceState()]) == []
    # What happened before the run is not of this run.
    assert slowdowns(state(bits=0x50000), [state(bits=0x50000)]) == []


def test_throttling_while_it_works_is_reported() -> None:
    (line,) = slowdowns(state(), [state(), state(bits=0x40004), state(bits=0x40000)])
    assert "(throttled)" in line and "cooling" in line
    (line,) = slowdowns(state(), [state(), state(bits=0x10000)])
    assert "(under-voltage)" in line and "power supply and measure" in line


def test_a_clock_that_falls_is_reported_once() -> None:
    (line,) = slowdowns(state(600), [state(2400), state(1500), state(1000)])
    assert "from 2400 to 1500 MHz" in line
    assert slowdowns(state(600), [state(600), state(1500)]) == []  # it rises at the start


def test_states_are_read_between_the_items() -> None:
    log: list[str] = []

    def track(items, description, total):  # type: ignore[no-untyped-def]
        for item in items:
            log.append(f"item {item}")
            yield item

    states: list[DeviceState] = []
    for item in watching(track, states)(range(3), "timing", 3):
        assert len(states) == item + 1
    assert log == ["item 0", "item 1", "item 2"]
