"""The cache of built engines: what it hands out was built for exactly this, or is built now.

Its other half is in `test_engines_tensorrt_plans_kill`.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_builder import ORIN, Api, Builder, Built, Settings

from edge_seg.engines.tensorrt import plans
from edge_seg.engines.tensorrt.built_for import About
from edge_seg.engines.tensorrt.plans import KEPT, forget, plan_for, plans_folder
from edge_seg.errors import EdgeSegError
from edge_seg.files import sha256
from edge_seg.models.model import Model


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return plans_folder()


@pytest.fixture
def builder() -> Builder:
    return Builder()


def only(folder: Path, suffix: str) -> Path:
    (path,) = folder.glob(f"*.{suffix}")
    return path


def test_an_engine_is_built_once(builder: Builder, folder: Path) -> None:
    assert [builder.get() for _ in range(3)] == [b"plan 1 of model"] * 3
    assert builder.said == ["building the engine for Orin: takes minutes, once"]
    assert folder == Path(os.environ["XDG_CACHE_HOME"]) / "edge-seg" / "engines"
    about = About.decoded(only(folder, "json").read_bytes())
    assert about is not None
    assert about.plan_sha256 == sha256(b"plan 1 of model")
    assert (about.built_for.gpu, about.built_for.compute_capability) == ("Orin", "8.7")
    assert about.built_for.model_sha256 == sha256(b"model")


def test_tensorrt_for_rtx_takes_seconds(builder: Builder) -> None:
    builder.get(api=Api("tensorrt-rtx", "1.7.1.116"))
    assert builder.said == ["building the engine for Orin: takes seconds, once"]


OTHERS = {
    "gpu": (
        {"gpu": replace(ORIN, name="Xavier", compute_capability="7.2")},
        "was built for another GPU (Orin, 8.7)",
    ),
    "same-name": (
        {"gpu": replace(ORIN, compute_capability="8.9")},
        "was built for another GPU (Orin, 8.7)",
    ),
    "version": (
        {"api": Api(version="10.3.0")},
        "was built with TensorRT 10.7.0, this is TensorRT 10.3.0",
    ),
    "flavour": (
        {"api": Api("tensorrt-rtx", "1.7.1")},
        "was built with TensorRT 10.7.0, this is TensorRT for RTX 1.7.1",
    ),
    "driver": (
        {"gpu": replace(ORIN, driver_version="13.0")},
        "was built under CUDA 12, this is CUDA 13",
    ),
    "dla": ({"settings": Settings(dla=True)}, "was built without DLA"),
    "workspace": ({"settings": Settings(1 << 20)}, "was built with another workspace"),
}


@pytest.mark.parametrize(("change", "reason"), OTHERS.values(), ids=OTHERS)
def test_an_engine_of_another_machine_is_built_again(
    builder: Builder, change: dict[str, Any], reason: str
) -> None:
    builder.get()
    assert builder.get(**change) == b"plan 2 of model"
    assert builder.reason == f"the engine in the cache {reason}: building again"
    assert builder.get() == b"plan 1 of model"
    assert builder.get(**change) == b"plan 2 of model"
    assert builder.builds == 2


@pytest.mark.parametrize(("change", "reason"), OTHERS.values(), ids=OTHERS)
def test_an_engine_of_another_machine_in_this_ones_place_is_not_used(
    builder: Builder, folder: Path, change: dict[str, Any], reason: str
) -> None:
    """Somebody copied a cache and renamed its files."""
    builder.get()
    foreign = {path.suffix: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    builder.get(**change)
    only(folder, "json").write_bytes(foreign[".json"])
    only(folder, "plan").write_bytes(foreign[".plan"])
    assert builder.get(**change) == b"plan 3 of model"
    assert builder.reason == f"the engine in the cache {reason}: building again"


def test_a_newer_driver_of_the_same_cuda_keeps_the_engine(builder: Builder) -> None:
    builder.get()
    builder.get(gpu=replace(ORIN, driver_version="12.8"))
    assert builder.builds == 1


def test_another_layout_is_built_again(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    builder.get()
    monkeypatch.setattr(plans, "LAYOUT", plans.LAYOUT + 1)
    builder.get()
    assert "was built by another version of edge-seg" in builder.reason


def test_the_nearest_engine_says_why(builder: Builder) -> None:
    builder.get(gpu=replace(ORIN, name="Xavier"), api=Api(version="8.5"))
    builder.get(settings=Settings(dla=True))
    builder.said.clear()
    builder.get()
    assert "was built for DLA" in builder.reason


def test_models_do_not_know_of_each_other(builder: Builder) -> None:
    assert builder.get(b"one") != builder.get(b"two")
    assert not [line for line in builder.said if "again" in line]


def test_a_damaged_plan_is_built_again(builder: Builder, folder: Path) -> None:
    whole = builder.get()
    for index in range(len(whole)):
        plan = only(folder, "plan")
        good = plan.read_bytes()
        plan.write_bytes(good[:index] + bytes([good[index] ^ 1]) + good[index + 1 :])
        builder.said.clear()
        assert builder.get() == f"plan {index + 2} of model".encode()
        assert builder.reason == "the engine in the cache is damaged: building again"
    assert builder.get() == only(folder, "plan").read_bytes()


@pytest.mark.parametrize("length", [0, 1, 14])
def test_a_plan_of_another_length_is_built_again(
    builder: Builder, folder: Path, length: int
) -> None:
    whole = builder.get()
    only(folder, "plan").write_bytes(whole[:length])
    builder.get()
    assert "is damaged" in builder.reason
    only(folder, "plan").write_bytes(b"plan 2 of model and more")
    assert builder.get() == b"plan 3 of model"


@pytest.mark.parametrize("lost", ["plan", "json"])
def test_half_an_entry_is_built_again(builder: Builder, folder: Path, lost: str) -> None:
    """A plan alone is what a kill between the two files leaves."""
    builder.get()
    only(folder, lost).unlink()
    assert builder.get() == b"plan 2 of model"
    assert "is damaged" in builder.reason
    assert builder.get() == b"plan 2 of model"


@pytest.mark.parametrize("suffix", ["plan", "json"])
def test_a_folder_in_a_files_place_stops_nobody(
    builder: Builder, folder: Path, suffix: str
) -> None:
    builder.get()
    path = only(folder, suffix)
    path.unlink()
    path.mkdir()
    assert builder.get() == b"plan 2 of model"
    assert "used, but not kept: cannot write" in builder.said[-1]
    assert "\n" not in builder.said[-1]


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.binary(max_size=300), st.integers(0, 10**9)))
def test_no_json_makes_it_trust_a_plan_or_fall(folder: Path, hostile: bytes | int) -> None:
    """Any bytes, or a true JSON with a bit of it turned."""
    builder = Builder()
    forget(b"model", ORIN, Api(), Settings())
    builder.get()
    about = only(folder, "json")
    true = about.read_bytes()
    if isinstance(hostile, int):
        place, bit = divmod(hostile % (8 * len(true)), 8)
        hostile = true[:place] + bytes([true[place] ^ (1 << bit)]) + true[place + 1 :]
    about.write_bytes(hostile)
    only(folder, "plan").write_bytes(b"not what was built")
    assert builder.get() == b"plan 2 of model"
    assert all("\n" not in line for line in builder.said)


def test_jsons_that_are_bombs(builder: Builder, folder: Path) -> None:
    builder.get()
    for bomb in (b"[" * 60_000, b'{"plan_bytes":' + b"9" * 60_000, b"{" + b" " * 10**7, b"\xff"):
        only(folder, "json").write_bytes(bomb)
        (folder / f"{'0' * 32}.json").write_bytes(bomb)
        builder.said.clear()
        builder.get()
        assert "is damaged" in builder.reason
        (folder / f"{'0' * 32}.json").unlink()


def test_what_is_printed_of_a_json_is_one_plain_line(builder: Builder, folder: Path) -> None:
    builder.get(gpu=replace(ORIN, name="Evil\n\x1b[31m" + "x" * 500))
    builder.get()
    assert "\x1b" not in builder.reason
    assert len(builder.reason) < 200


def test_a_plan_that_is_forgotten_is_built_again(builder: Builder, folder: Path) -> None:
    for _ in range(2):
        builder.get()
        forget(b"model", ORIN, Api(), Settings())
    assert builder.builds == 2
    assert not [line for line in builder.said if "again" in line]
    assert {path.suffix for path in folder.iterdir()} == {".lock", ".timing"}


def test_a_build_that_fails_leaves_nothing(builder: Builder, folder: Path) -> None:
    def fail(*arguments: object, **keywords: object) -> Built:
        raise EdgeSegError("TensorRT refuses the graph")

    with pytest.raises(EdgeSegError, match="refuses the graph"):
        plan_for(b"model", ORIN, Api(), Settings(), fail)
    assert {path.suffix for path in folder.iterdir()} <= {".lock"}
    assert builder.get() == b"plan 1 of model"


def test_the_timing_cache_is_shared_by_models_and_by_no_other_gpu(builder: Builder) -> None:
    builder.get(b"one")
    builder.get(b"two")
    builder.get(b"three", settings=Settings(dla=True))
    builder.get(b"one", gpu=replace(ORIN, name="Xavier"))
    builder.get(b"one", api=Api(version="10.3.0"))
    assert builder.timings == [b"", b"t", b"tt", b"", b""]


def test_a_damaged_timing_cache_is_ignored(builder: Builder, folder: Path) -> None:
    for number, damage in enumerate([lambda b: b[:-1], lambda b: b + b"!", lambda b: b"", bytes]):
        builder.get(str(number).encode())
        timing = only(folder, "timing")
        timing.write_bytes(damage(timing.read_bytes()))
    builder.get(b"last")
    assert builder.timings == [b"", b"", b"", b"", b"t"]


def test_the_plans_that_were_used_last_stay(builder: Builder, folder: Path) -> None:
    long_ago = time.time() - 10_000
    for number in range(KEPT):
        builder.get(str(number).encode())
        for path in folder.glob("*.*"):
            if path.stat().st_mtime > time.time() - 1000:
                os.utime(path, (long_ago + number, long_ago + number))
    assert builder.get(b"0") == b"plan 1 of 0"  # used now, though the oldest
    builder.get(b"new")
    assert len(list(folder.glob("*.plan"))) == len(list(folder.glob("*.json"))) == KEPT
    builds = builder.builds
    for kept in (b"0", b"new", *(str(number).encode() for number in range(2, KEPT))):
        builder.get(kept)
    assert builder.builds == builds
    builder.get(b"1")
    assert builder.builds == builds + 1
    assert len(list(folder.glob("*.lock"))) <= KEPT + 1


def test_a_real_engine_is_kept_with_what_its_builder_measured(
    fitted_model: Model, folder: Path
) -> None:
    """TensorRT for RTX builds for a GPU that is not here."""
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    from edge_seg.engines.lowering import Source
    from edge_seg.engines.tensorrt import build as building
    from edge_seg.engines.tensorrt.api import load_api
    from edge_seg.engines.tensorrt.lowering import lower
    from edge_seg.quantize import Recipe, float_graph

    graph = float_graph(fitted_model)
    recipe = Recipe(model_digest="m", calibration_digest="c", layers=(), ranges={})
    model = lower(Source(fitted_model, graph, recipe, []), "float32", {})
    api, gpu = load_api("tensorrt_rtx_bindings"), replace(ORIN, name="RTX")
    ahead = building.Settings(compute_capability="SM86")
    said: list[str] = []
    made = [plan_for(model, gpu, api, ahead, building.build, say=said.append) for _ in range(2)]
    assert made[0] == made[1] == only(folder, "plan").read_bytes()
    assert said == ["building the engine for RTX: takes seconds, once"]
    about = About.decoded(only(folder, "json").read_bytes())
    assert about is not None and about.built_for.tensorrt_version == api.version
    forget(model, gpu, api, ahead)
    again = plan_for(model, gpu, api, ahead, building.build)
    assert len(again) == only(folder, "plan").stat().st_size
    with pytest.raises(EdgeSegError, match="no ONNX file"):
        plan_for(b"no model", gpu, api, ahead, building.build)
