"""``edge-seg doctor``: what it says is what pip says."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_seg.cli.main import app
from edge_seg.doctor import diagnose

runner = CliRunner()


def test_versions_are_those_that_are_installed() -> None:
    parts = {part.name: part for part in diagnose().parts}
    assert parts["openvino"].detail == f"openvino {version('openvino')}"
    assert parts["fbgemm"].detail == f"torch {version('torch')}"
    assert parts["transformers"].detail == version("transformers")
    assert parts["torch"].state == "ok"
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
