"""A device: a clean environment with the ``x86`` extra alone runs a bundle, without torch."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
NOT_ON_A_DEVICE = ("torch", "onnx", "transformers", "safetensors", "jinja2", "matplotlib", "nncf")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
IMPORT_LIMIT_S = 0.3
RUN = """
import sys
import cv2
from edge_seg import FrameSet, Segmenter
with Segmenter(sys.argv[1]) as segmenter:
    mask = segmenter(cv2.imread(sys.argv[2]))
    assert segmenter.timings.total_ms > 0
print(*mask.shape, mask.dtype, mask.max())
print(*{name.partition(".")[0] for name in sys.modules})
"""


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the python of an environment that holds the wheel of this tree and ``x86``."""
    place = tmp_path_factory.mktemp("device")
    wanted = ("edge_seg", "targets", "ros_nodes", "carla_bridge", "calibration_sets")
    for name in wanted:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, place / "source" / name, ignore=ignore)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / "source")
    build = ("wheel", "--no-deps", "--no-build-isolation", "-w", place, place / "source")
    run(*PIP, *build)
    (wheel,) = place.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", place / "venv")
    python = place / "venv/bin/python"
    run(*PIP, "--python", python, "install", "-c", ROOT / "constraints.txt", f"{wheel}[x86]")
    return python


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an int8 bundle of a network with random weights, made where torch is."""
    from edge_seg import engines
    from edge_seg.bundle.archive import write_bundle
    from edge_seg.bundle.golden import make_golden
    from edge_seg.bundle.manifest import EngineRef, Manifest, ModelSource
    from edge_seg.engines.lowering import Source
    from edge_seg.models import registry
    from edge_seg.pipeline import Pipeline
    from edge_seg.quantize import float_graph
    from edge_seg.quantize.ranges import collect_ranges
    from edge_seg.quantize.recipe import Recipe, encode

    model = registry.load("lane-unet", weights="random")
    frame = np.random.default_rng(0).integers(0, 256, (256, 512, 3), dtype=np.uint8)
    graph = float_graph(model)
    recipe = Recipe(
        model_digest=model.digest,
        calibration_digest="0" * 64,
        layers=(),
        ranges=collect_ranges(graph, [frame]),
    )
    engine = engines.find(request.param)
    options = engine.variants["int8"][0]
    lowered = engine.lowering()(Source(model, graph, recipe, [frame]), "int8", options)
    pipeline = Pipeline(engine.open(lowered, model.input, options))
    tests, members = make_golden([frame], [pipeline(frame)])
    pipeline.close()
    manifest = Manifest(
        name="lane",
        target="x86",
        architecture="x86_64",
        model=ModelSource(model.name, model.digest),
        input=model.input,
        classes=model.classes,
        engine=EngineRef(engine.name, engine.distribution, engine.runtime_version()),
        precision="int8",
        model_file="model.onnx",
        options=dict(options),
        golden=tests,
    )
    members = {**members, "model.onnx": lowered, "recipe.json": encode(recipe)}
    path = tmp_path_factory.mktemp("bundle") / "lane.edgeseg"
    write_bundle(path, manifest, members)
    return path


def test_nothing_of_packing_is_installed(device: Path) -> None:
    code = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    assert run(device, "-c", code, *NOT_ON_A_DEVICE).strip() == "[]"


def test_import_takes_less_than_the_limit(device: Path) -> None:
    code = "from time import perf_counter as t; a = t(); import edge_seg; print(t() - a)"
    times = [float(run(device, "-c", code)) for _ in range(7)]
    assert statistics.median(times) < IMPORT_LIMIT_S


def test_a_bundle_runs(device: Path, bundle: Path, tmp_path: Path) -> None:
    import cv2

    frame = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "road.png"), frame)
    shape, loaded = run(device, "-c", RUN, bundle, tmp_path / "road.png").splitlines()
    assert shape.startswith("48 64 uint8")
    assert not set(loaded.split()) & set(NOT_ON_A_DEVICE)


def test_golden_frames_are_what_they_were_where_it_was_packed(device: Path, bundle: Path) -> None:
    result = json.loads(run(device.parent / "edge-seg", "verify", bundle, "--json"))
    assert result["ok"]
    assert result["golden"]["identical"] == result["golden"]["frames"] == 1


def test_the_doctor_names_what_brings_the_missing(device: Path) -> None:
    diagnosis = json.loads(run(device.parent / "edge-seg", "doctor", "--json"))
    parts = {part["name"]: part for part in diagnosis["parts"]}
    assert parts["openvino"]["state"] == parts["onnxruntime"]["state"] == "ok"
    for name in ("fbgemm", "torch", "transformers"):
        assert parts[name]["state"] == "missing"
        assert parts[name]["fix"] == "pip install 'edge-seg[pack]'"
    assert parts["Panda3D"]["fix"] == "pip install 'edge-seg[carla]'"


@pytest.mark.parametrize("command", [["--help"], ["targets"], ["frames", "--help"]])
def test_the_command_line_starts(device: Path, command: list[str]) -> None:
    assert run(device.parent / "edge-seg", *command)


def test_packing_says_which_extra_brings_it(device: Path, tmp_path: Path) -> None:
    command = [device.parent / "edge-seg", "pack", "--target", "x86", "-o", tmp_path / "x.edgeseg"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "edge-seg[pack]" in done.stderr
    assert "Traceback" not in done.stderr
