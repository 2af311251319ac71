"""Which servers are spoken with, what is missing said in one line, and weather by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from carla_bridge.client import environment
from carla_bridge.client.environment import ensure_home, import_carla
from carla_bridge.client.versions import KNOWN, check_versions, newest_client
from carla_bridge.client.weathers import GRID, HOURS, SKIES, WEATHERS, find, light
from edge_seg.errors import EdgeSegError, MissingRuntimeError


@pytest.mark.parametrize("server", ["0.9.16", "0.9.16-dirty"])
def test_a_known_pair_passes(server: str) -> None:
    check_versions("0.9.16", server)


@pytest.mark.parametrize(
    ("server", "word"),
    [("0.9.15", "(older)"), ("0.9.9.4", "(older)"), ("0.10.0", "(newer)"), ("1.0", "(newer)")],
)
def test_another_server_is_refused_with_the_table(server: str, word: str) -> None:
    with pytest.raises(EdgeSegError) as refused:
        check_versions("0.9.16", server)
    said = str(refused.value)
    assert f"{server} {word}" in said
    assert "client 0.9.16 with server 0.9.16" in said
    assert "edge-seg world" in said
    assert "\n" not in said


@pytest.mark.parametrize("server", ["", "latest", "0.9.16-4-gabcdef0", "v0.9.16", "9" * 10_000])
def test_odd_versions_are_refused_too(server: str) -> None:
    with pytest.raises(EdgeSegError) as refused:
        check_versions("0.9.16", server)
    assert len(str(refused.value)) < 400


def test_an_unknown_client_is_told_which_to_install() -> None:
    with pytest.raises(EdgeSegError, match=r"pip install carla==0\.9\.16"):
        check_versions("0.9.15", "0.9.15")


def test_the_installed_client_is_the_newest_of_the_table() -> None:
    carla = pytest.importorskip("carla", reason="needs the extra carla")
    client = carla.Client("127.0.0.1", 9)
    assert client.get_client_version() == newest_client()
    assert newest_client() in KNOWN[newest_client()]


def test_without_carla_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "carla", None)
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    with pytest.raises(MissingRuntimeError, match=r'pip install "edge-seg\[carla\]"'):
        import_carla()
    monkeypatch.setattr(environment.platform, "machine", lambda: "aarch64")
    with pytest.raises(MissingRuntimeError, match="no wheel for aarch64"):
        import_carla()


def test_import_works_without_home() -> None:
    pytest.importorskip("carla", reason="needs the extra carla")
    code = "from carla_bridge.client.environment import import_carla as i; print(i().Location(1).x)"
    bare = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=bare, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1.0"), done.stderr


@pytest.mark.parametrize("home", [None, ""])
def test_home_is_a_folder_that_exists(home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    ensure_home()
    assert Path(os.environ["HOME"]).is_dir()
    monkeypatch.setenv("HOME", "/somewhere")
    ensure_home()
    assert os.environ["HOME"] == "/somewhere"


def test_weathers_cover_each_sky_at_each_hour() -> None:
    assert len(GRID) == len(set(GRID)) == len(SKIES) * len(HOURS)
    assert {light(WEATHERS[name]) for name in GRID} == {"day", "low-sun", "night"}
    assert WEATHERS["rain"] == WEATHERS["rain-noon"]
    assert WEATHERS["night"] == WEATHERS["clear-night"]
    assert WEATHERS["rain-night"]["precipitation"] == 60.0
    assert all(fields.keys() == WEATHERS["fog"].keys() for fields in WEATHERS.values())


def test_weathers_are_fields_of_carlas() -> None:
    carla = pytest.importorskip("carla", reason="needs the extra carla")
    for fields in WEATHERS.values():
        made = carla.WeatherParameters(**fields)
        for name, value in fields.items():
            assert getattr(made, name) == pytest.approx(value)


def test_an_unknown_weather_names_the_closest() -> None:
    with pytest.raises(EdgeSegError, match="did you mean 'sunset'"):
        find("sunsett")
