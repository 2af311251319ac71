"""``edge-seg inspect`` and ``edge-seg verify``, as a person calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner

from edge_seg.bundle.archive import Bundle, write_bundle
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.manifest import Manifest, decode
from edge_seg.cli.main import app


def run(*arguments: object) -> str:
    """Return what a command prints; its own errors come through."""
    result = CliRunner().invoke(app, [str(item) for item in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_inspect_shows_the_manifest(bundle: Bundle) -> None:
    shown = run("inspect", bundle.path)
    for word in ("lane-unet", "256x512", "openvino/int8", "91.50", "fbgemm/int8", "no kernel"):
        assert word in shown


def test_inspect_json_is_the_manifest(bundle: Bundle) -> None:
    shown = run("inspect", bundle.path, "--json")
    assert decode(shown.encode()) == bundle.manifest


def test_inspect_takes_the_report_and_the_model_out(
    tmp_path: Path, bundle: Bundle, members: dict[str, bytes]
) -> None:
    run("inspect", bundle.path, "--report", tmp_path / "r.html", "--model", tmp_path / "m.onnx")
    assert (tmp_path / "r.html").read_bytes() == members["report.html"]
    assert (tmp_path / "m.onnx").read_bytes() == members["model.onnx"]


def test_inspect_lets_no_terminal_code_through(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes]
) -> None:
    nasty = msgspec.structs.replace(manifest, name="\x1b[2J[red]lane\nx")
    shown = run("inspect", write_bundle(tmp_path / "x", nasty, members).path)
    assert "\x1b" not in shown
    assert "?[2J[red]lane?x" in shown


def test_verify_json_without_the_runtime(bundle: Bundle) -> None:
    shown = json.loads(run("verify", bundle.path, "--skip-golden", "--json"))
    assert shown["ok"] is True
    assert shown["digest"] == bundle.digest
    assert shown["files"] == 7
    assert shown["signature"] == {"state": "none", "fingerprint": None}
    assert shown["golden"] is None


@pytest.mark.parametrize("command", [["inspect"], ["verify"], ["inspect", "--json"]])
def test_a_damaged_bundle_is_one_line_and_exit_code_2(bundle: Bundle, command: list[str]) -> None:
    bundle.path.write_bytes(bundle.path.read_bytes()[:-100])
    done = subprocess.run(
        [sys.executable, "-m", "edge_seg.cli", *command, bundle.path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "cut short or changed" in done.stderr


def test_verify_with_a_key_wants_a_signature(
    tmp_path: Path, bundle: Bundle, manifest: Manifest, members: dict[str, bytes]
) -> None:
    key = Ed25519PrivateKey.generate()
    pub = tmp_path / "pub.pem"
    pub.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    signed = write_bundle(tmp_path / "signed.edgeseg", manifest, members, key)
    assert "signature  valid" in run("verify", signed.path, "--skip-golden", "--key", pub)
    with pytest.raises(BundleError, match="is not signed"):
        run("verify", bundle.path, "--skip-golden", "--key", pub)


def test_reading_a_bundle_imports_no_runtime_and_no_cryptography(bundle: Bundle) -> None:
    code = (
        "import sys; from edge_seg.bundle import open_bundle; open_bundle(sys.argv[1]);"
        "print({'torch', 'openvino', 'onnxruntime', 'cryptography', 'rich'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, bundle.path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
