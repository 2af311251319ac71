"""``edge-seg doctor``: what it says is what pip says."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from edge_seg.cli.main import app
from edge_seg.doctor import Part, diagnose

runner = CliRunner()


def test_versions_are_those_that_are_installed() -> None:
    parts = {part.name: part for part in diagnose().parts}
    assert parts["openvino"].detail == f"openvino {version('openvino')}"
    assert parts["fbgemm"].detail == f"torch {version('torch')}"
    assert parts["transformers"].detail == version("transformers")
    assert parts["torch"].state == "ok"
    assert parts["qemu-aarch64-static"].group == "proof"
    for part in parts.values():
        assert bool(part.fix) == (part.state != "ok"), part


def test_memory_and_cores_are_of_a_real_machine() -> None:
    diagnosis = diagnose()
    assert diagnosis.memory_bytes > diagnosis.memory_free_bytes > 2**20
    assert diagnosis.machine.cores >= 1


def test_folders_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert diagnose().cache.files == 0
    for path in ("cache/edge-seg/pack/a", "cache/edge-seg/b"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"123")
    keys = tmp_path / "config/edge-seg/trusted_keys"
    keys.mkdir(parents=True)
    (keys / "maker.pem").write_bytes(b"1")
    (keys / "notes.txt").write_bytes(b"1")
    diagnosis = diagnose()
    assert (diagnosis.cache.files, diagnosis.cache.size_bytes) == (2, 6)
    assert (diagnosis.trusted_keys.files, diagnosis.trusted_keys.path) == (1, str(keys))


def test_the_command_prints_json_and_a_table() -> None:
    result = runner.invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0
    diagnosis = json.loads(result.stdout)
    assert diagnosis["schema"] == "edge-seg/doctor-1"
    table = runner.invoke(app, ["doctor"], env={"COLUMNS": "160"})
    assert table.exit_code == 0
    assert all(part["name"] in table.stdout for part in diagnosis["parts"])


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Part]]:
    """Return what diagnoses a machine on which these versions are installed too."""

    def diagnosed(machine: str, **versions: str) -> dict[str, Part]:
        for name, number in versions.items():
            folder = tmp_path / f"{name}-{number}.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Name: {name}\nVersion: {number}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(platform, "machine", lambda: machine)
        return {part.name: part for part in diagnose().parts}

    return diagnosed


@pytest.mark.parametrize(
    ("torch", "state"),
    [
        ("2.9.1", "ok"),
        ("2.9.1+cpu", "ok"),
        ("2.10.0", "other version"),
        ("2.13.0", "other version"),
    ],
)
def test_the_torch_that_every_pi_can_run(
    installed: Callable[..., dict[str, Part]], torch: str, state: str
) -> None:
    part = installed("aarch64", torch=torch)["torch on ARM"]
    assert part.state == state
    assert part.fix == ("" if state == "ok" else "pip install torch==2.9.1")


def test_a_board_is_asked_for_its_camera_and_not_for_an_emulator(
    installed: Callable[..., dict[str, Part]],
) -> None:
    parts = installed("aarch64")
    assert "sudo apt install python3-picamera2" in parts["picamera2"].fix
    assert "--system-site-packages" in parts["picamera2"].fix
    assert "qemu-aarch64-static" not in parts and "64-bit Python" not in parts
    # The extra pack would bring a torch that a Pi cannot load.
    assert not [part for part in parts.values() if "[pack]" in part.fix]


def test_a_32_bit_system_is_told_so(
    installed: Callable[..., dict[str, Part]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    part = installed("armv7l")["64-bit Python"]
    assert part.state == "missing" and "64-bit Raspberry Pi OS" in part.fix


def test_the_emulator_that_proofs_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: Callable[..., dict[str, Part]]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    part = installed("x86_64")["qemu-aarch64-static"]
    assert (part.state, part.fix) == ("missing", "sudo apt install qemu-user-static")
    program = tmp_path / "qemu-aarch64"
    program.touch(0o755)
    assert installed("x86_64")["qemu-aarch64-static"].detail == str(program)


@pytest.mark.parametrize(("numpy", "state"), [("1.26.4", "ok"), ("2.4.6", "other version")])
def test_the_old_runtime_wants_the_old_numpy(
    monkeypatch: pytest.MonkeyPatch, numpy: str, state: str
) -> None:
    from edge_seg import doctor

    found = {"tflite-runtime": "2.14.0", "numpy": numpy}
    monkeypatch.setattr(doctor, "_version", found.get)
    (part,) = doctor._old_runtime()
    assert (part.name, part.state) == ("tflite-runtime", state)
    assert ("'numpy<2'" in part.fix) == (state != "ok")
    found["ai-edge-litert"] = "2.3.0"  # then nothing runs with the old one
    assert list(doctor._old_runtime()) == []


def test_a_pi_tells_how_it_fares(tmp_path: Path) -> None:
    files = {
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "sys/class/thermal/thermal_zone0/temp": "61500",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    diagnosis = diagnose(tmp_path)
    assert diagnosis.device.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert diagnosis.device_state.temperature_c == 61.5
    assert diagnosis.device_state.throttled is not None
    assert "throttled now" in diagnosis.device_state.throttled


def test_the_table_shows_clock_heat_and_throttling() -> None:
    from edge_seg.bundle.manifest import DeviceState
    from edge_seg.cli.doctor import _condition
    from edge_seg.device import Device

    diagnosis = msgspec.structs.replace(
        diagnose(),
        device=Device(model="a Pi", governor="ondemand", max_clock_mhz=2400.0),
        device_state=DeviceState(clock_mhz=1500.0, temperature_c=85.2, throttled=["throttled now"]),
    )
    assert dict(_condition(diagnosis)) == {
        "clock": "1500 of 2400 MHz, governor ondemand",
        "temperature": "85.2 °C",
        "throttling": "throttled now",
    }
