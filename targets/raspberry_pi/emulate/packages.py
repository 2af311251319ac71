"""Downloads: Debian's arm64 Python through apt, a Raspberry Pi's wheels through pip.

    debs(folder)                                # libc6_..._arm64.deb, python3.11-minimal_..., ...
    wheels(folder, {"numpy": "2.4.6"})          # numpy-2.4.6-...aarch64.whl

apt runs with a state of its own: nothing of this machine changes, no root is needed. Where
packages come from is what this machine's apt and pip are configured with.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from edge_seg.errors import EdgeSegError
from targets.raspberry_pi.emulate.sources import debian_sources, for_arm64

PYTHON = "3.11"
"""Of Raspberry Pi OS 12, whose C library is 2.36."""
NEWEST_GLIBC = 36
DEBS = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
    *("libc6", "libgcc-s1", "libstdc++6", "libgomp1", "zlib1g", "libbz2-1.0", "liblzma5"),
    *("libffi8", "libssl3", "libexpat1", "libcrypt1", "libuuid1", "libsqlite3-0"),
    *("libncursesw6", "libtinfo6", "libreadline8", "libdb5.3"),
)
"""Debian 12's Python and the libraries that it and the wheels load."""
TIME_LIMIT_S = 900.0

PLATFORMS = (
    *(f"manylinux_2_{minor}_aarch64" for minor in range(NEWEST_GLIBC, 16, -1)),
    "manylinux2014_aarch64",
    "any",
)
FOR_A_PI = (
    *("--python-version", PYTHON, "--implementation", "cp", "--abi", "cp311"),
    *("--only-binary", ":all:"),
    *(word for name in PLATFORMS for word in ("--platform", name)),
)
"""What tells pip to choose for a Pi; pip takes each platform literally, so every one is named."""

_PREFER_DEBIAN = "Package: *\nPin: release o=Debian\nPin-Priority: 900\n"
"""Others' archives name their suites like Debian's."""


def debs(folder: Path) -> None:
    """Download Debian's packages into ``folder``."""
    state = folder / "apt"
    options = private_apt(state, Path("/etc/apt"))
    advice = "is the network there, and do apt's sources serve arm64 (Debian's do, Ubuntu's not)?"
    for words in (("update",), ("download", *DEBS)):
        what = f"Debian's arm64 Python cannot be had: apt-get {words[0]}"
        run("apt-get", *options, *words, cwd=folder, what=what, advice=advice)
    shutil.rmtree(state)


def wheels(folder: Path, pins: Mapping[str, str]) -> None:
    """Download these versions' wheels for a Pi into ``folder``; ``pins`` are complete."""
    wanted = [f"{name}=={version}" for name, version in sorted(pins.items())]
    pip("download", "--no-deps", *FOR_A_PI, "--dest", str(folder), *wanted)


def install(folder: Path, found: Path) -> None:
    """Install every wheel of the folder ``found`` into ``folder``, as a Pi's pip would."""
    wanted = [str(wheel) for wheel in sorted(found.glob("*.whl"))]
    pip("install", "--no-deps", "--no-index", *FOR_A_PI, "--target", str(folder), *wanted)


def pip(*arguments: str) -> None:
    """Run this environment's pip, with this machine's configuration."""
    command = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    advice = "is the network there, and pip in this environment?"
    run(*command, *arguments, what=f"pip {arguments[0]}", advice=advice)


def run(*command: str, what: str, advice: str, cwd: Path | None = None) -> None:
    """Run a program; raises `EdgeSegError` with its last words where it fails."""
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=TIME_LIMIT_S
        )
    except FileNotFoundError as error:
        raise EdgeSegError(
            f"{what}: there is no {command[0]} here; emulation is made for Debian 12, a "
            "container of it will do"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise EdgeSegError(f"{what} took more than {TIME_LIMIT_S:.0f} s; {advice}") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()
        errors = [line for line in lines if line.startswith(("E: ", "ERROR: "))]
        reason = errors[0] if errors else lines[-1]  # apt and pip say the cause first
        raise EdgeSegError(f"{what} failed ({reason[:200]}); {advice}")


def private_apt(state: Path, etc: Path) -> list[str]:
    """Return options that give apt a state of its own in ``state``, for arm64."""
    for name in ("lists", "cache", "sources"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()
    (state / "preferences").write_text(_PREFER_DEBIAN)
    (state / "sources/debian.sources").write_text(for_arm64(_sources(etc)))
    settings = {
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": state / "sources",
        "Dir::Etc::preferences": state / "preferences",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _sources(etc: Path) -> list[Mapping[str, str]]:
    try:
        codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        codename = ""
    entries = debian_sources(etc, codename) if codename else []
    if not entries:
        raise EdgeSegError(
            f"{etc} names no source of Debian's main packages for {codename or 'this system'}; "
            "emulation is made for Debian 12, a container of it will do"
        )
    return entries
