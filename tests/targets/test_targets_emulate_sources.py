"""apt's configuration: both formats are read, only Debian's own release is taken."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_seg.errors import EdgeSegError
from targets.raspberry_pi.emulate import packages
from targets.raspberry_pi.emulate.sources import (
    debian_sources,
    for_arm64,
    parse_deb822,
    parse_list,
)

DEB822 = """\
# the system's own
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://other.example/node
Suites: nodistro
Components: main
Architectures: amd64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
"""
ONE_LINE = """\
deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian bookworm main non-free # ours
deb-src http://one.example/debian bookworm main
# deb http://gone.example/debian bookworm main
deb\thttp://sec.example/debian-security   bookworm-security  main
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    folder = tmp_path / "apt"
    (folder / "sources.list.d").mkdir(parents=True)
    return folder


def test_deb822_is_read_with_keys_over_many_lines() -> None:
    system, off, node = parse_deb822(DEB822)
    assert system["uris"] == "http://mirror.example/debian"
    assert system["signed-by"] == "/usr/share/keyrings/debian.gpg"
    assert off["enabled"] == "no"
    assert node["signed-by"].splitlines()[1:] == [
        " -----BEGIN PGP PUBLIC KEY BLOCK-----",
        " .",
        " abc",
    ]


def test_one_line_entries_are_read_with_their_options() -> None:
    first, security = parse_list(ONE_LINE)
    assert first["signed-by"] == "/k.gpg"
    assert first["components"] == "main non-free"
    assert security["uris"] == "http://sec.example/debian-security"
    assert security["suites"] == "bookworm-security"


def test_only_this_release_of_debian_is_taken(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    (apt / "sources.list.d/debian.sources.disabled").write_text(DEB822)
    found = debian_sources(apt, "bookworm")
    assert [(entry["uris"].split("/")[2], entry["suites"]) for entry in found] == [
        ("one.example", "bookworm"),
        ("sec.example", "bookworm-security"),
        ("mirror.example", "bookworm bookworm-updates"),
    ]
    assert debian_sources(apt, "trixie") == []


def test_what_is_written_asks_for_arm64_main_and_keeps_the_key(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    first, security = parse_deb822(for_arm64(debian_sources(apt, "bookworm")))
    assert first["architectures"] == security["architectures"] == "arm64"
    assert first["components"] == "main"
    assert first["signed-by"] == "/k.gpg"
    assert "signed-by" not in security


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get here")
def test_apt_reads_what_is_written(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    release = {"VERSION_CODENAME": "bookworm"}
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    options = packages.private_apt(tmp_path / "state", apt)
    command = ["apt-get", *options, "--print-uris", "update"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    fetched = {line.split("'")[1] for line in done.stdout.splitlines()}
    place = "http://mirror.example/debian/dists"
    for suite in ("bookworm", "bookworm-updates"):
        assert f"{place}/{suite}/InRelease" in fetched
        assert f"{place}/{suite}/main/binary-arm64/Packages.xz" in fetched
    assert all(uri.startswith(place) and "amd64" not in uri for uri in fetched)


@pytest.mark.parametrize("codename", ["noble", ""])
def test_a_system_without_such_a_source_is_told(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codename: str
) -> None:
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    release = {"VERSION_CODENAME": codename} if codename else {}
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    with pytest.raises(EdgeSegError, match=r"names no source .* Debian 12") as failed:
        packages.private_apt(tmp_path / "state", apt)
    assert "\n" not in str(failed.value)


def test_a_program_that_fails_or_is_missing_is_one_line(tmp_path: Path) -> None:
    script = "echo Get:1; echo W: first >&2; echo 'E: no network' >&2; exit 100"
    with pytest.raises(EdgeSegError, match=r"^update failed \(E: no network\); go online$"):
        packages.run("sh", "-c", script, what="update", advice="go online")
    with pytest.raises(EdgeSegError, match="there is no apt-got here"):
        packages.run("apt-got", what="update", advice="")
