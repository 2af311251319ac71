"""What a device installs: markers are the device's, versions this machine's."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from edge_seg.errors import EdgeSegError
from targets.raspberry_pi.emulate.requirements import closure


def test_markers_are_those_of_a_pi() -> None:
    lines = [
        "numpy>=1.26; platform_machine == 'aarch64'",
        "absent-one; platform_machine == 'x86_64'",
        "absent-two; sys_platform == 'win32'",
        "absent-three; python_version < '3.11'",
        "absent-four; extra == 'pack'",
        "msgspec; extra == 'raspberry-pi'",
    ]
    found = closure(lines, {}, "raspberry-pi")
    assert found == {"numpy": version("numpy"), "msgspec": version("msgspec")}


def test_requirements_of_requirements_are_found() -> None:
    found = closure(["rich"], {})
    assert {"rich", "markdown-it-py", "mdurl", "pygments"} <= set(found)


def test_a_pin_wins_and_brings_what_the_installed_version_requires() -> None:
    found = closure(["numpy>=1.26"], {"numpy": "1.26.4", "torch": "2.9.1"})
    assert found["numpy"] == "1.26.4"
    assert found["torch"] == "2.9.1"
    assert {"sympy", "filelock", "jinja2"} <= set(found)
    assert not any(name.startswith("nvidia") for name in found)


def test_versions_are_public_ones() -> None:
    """An index has torch 2.13.0; 2.13.0+cpu is a local build's name."""
    assert all("+" not in number for number in closure(["torch"], {}).values())


def test_what_is_not_installed_here_is_named() -> None:
    with pytest.raises(EdgeSegError, match=r"a device needs no-such-thing.*pip install"):
        closure(["no-such-thing"], {})
