"""Loading by name, factory, exported program and ONNX file; and each way it can go wrong."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.models import catalogue, registry, weights_file
from edge_seg.models.architectures import names
from edge_seg.models.count import count
from edge_seg.models.weights_file import SCHEMA, Header
from edge_seg.preprocess import InputSpec
from edge_seg.quantize import float_graph

TWO = ClassMap(("sky", "ground"), ((0, 0, 0), (9, 9, 9)))


class ChannelsLast(nn.Module):
    """Logits in another layout: (N, H, W, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images).permute(0, 2, 3, 1)


NETS = """
import torch
from torch import nn

def good():
    torch.manual_seed(0)
    return nn.Conv2d(3, 3, 1)

def seven_classes():
    return nn.Conv2d(3, 7, 1)

def half_size():
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.MaxPool2d(2))

class Dictionary(nn.Module):
    def forward(self, x):
        return {"logits": x}

def breaks():
    raise RuntimeError("no weights here")

def not_a_module():
    return 5

def fixed():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "usernets.py").write_text(NETS)
    (tmp_path / "brokennets.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("usernets", "brokennets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def header(architecture: str = "lane-unet", **config: object) -> Header:
    return Header(
        SCHEMA,
        architecture,
        {"depth": 2, **config},
        LANE,
        msgspec.convert({"height": 64, "width": 96}, type=InputSpec),
        "a test",
    )


def small_unet() -> nn.Module:
    from edge_seg.models.unet import UNetConfig, build

    torch.manual_seed(5)
    return build(UNetConfig(depth=2, height=64, width=96)).eval()


def saved(path: Path, **changes: torch.Tensor) -> Path:
    state = {**small_unet().state_dict(), **changes}
    weights_file.save(path, header(height=64, width=96), state)
    return path


def test_random_weights_are_the_same_every_time_and_leave_torch_alone() -> None:
    before = torch.random.get_rng_state()
    first = registry.load("lane-unet", weights="random")
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert registry.load("lane-unet", weights="random").digest == first.digest
    assert first.module is not None
    assert not first.module.training


def test_weights_come_back_as_float16_keeps_them(tmp_path: Path) -> None:
    model = registry.load("lane-unet", saved(tmp_path / "w.safetensors"))
    assert (model.input.height, model.input.width) == (64, 96)
    assert model.source == "a test"
    assert model.module is not None
    for name, value in small_unet().state_dict().items():
        if value.is_floating_point():
            stored = value if name.endswith("running_var") else value.half().float()
            assert torch.equal(model.module.state_dict()[name], stored), name


def test_digest_follows_weights_and_size(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.safetensors")
    first = registry.load("lane-unet", path)
    assert registry.load("lane-unet", path).digest == first.digest
    assert registry.load("lane-unet", path, input_size=(128, 96)).digest != first.digest
    other = saved(tmp_path / "v.safetensors", **{"head.bias": torch.ones(3)})
    assert registry.load("lane-unet", other).digest != first.digest


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lane-unt", "did you mean 'lane-unet'"),
        ("usernets:god", "did you mean 'good'"),
        ("usernet:good", "cannot import usernet.*ModuleNotFoundError"),
        ("brokennets:good", "nothing_of_that_name"),
        ("usernets:breaks", "no weights here"),
        ("usernets:not_a_module", "returns int"),
        ("usernets:half_size", r"\(1, 3, 128, 256\), not \(N, classes, H, W\)"),
        ("usernets:Dictionary", "returns dict"),
        ("usernets:fixed", "fails on an input of shape"),
        (":good", "no factory"),
        ("missing.pt2", "missing.pt2"),
        ("missing.onnx", "missing.onnx"),
    ],
)
def test_bad_models_are_one_line(nets: Path, name: str, says: str) -> None:
    with pytest.raises(EdgeSegError, match=says) as caught:
        registry.load(name)
    assert "\n" not in str(caught.value)


def test_factory_with_each_kind_of_weights(nets: Path) -> None:
    state = {"weight": torch.full((3, 3, 1, 1), 0.5), "bias": torch.arange(3.0)}
    torch.save(state, nets / "w.pt")
    torch.save({"state_dict": state}, nets / "nested.pt")
    from safetensors.torch import save_file

    save_file(state, nets / "w.safetensors")
    for file in ("w.pt", "nested.pt", "w.safetensors"):
        model = registry.load("usernets:good", nets / file)
        assert model.module is not None
        logits = model.module(torch.ones(1, 3, 256, 512))
        assert logits[0, :, 0, 0].tolist() == [1.5, 2.5, 3.5]


def test_a_pickle_that_would_run_code_is_refused(nets: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {nets / 'ran'}",)

    torch.save({"weight": Hostile()}, nets / "w.pt")
    with pytest.raises(EdgeSegError, match="without running code"):
        registry.load("usernets:good", nets / "w.pt")
    assert not (nets / "ran").exists()


def test_class_map_follows_the_outputs_or_must_fit(nets: Path) -> None:
    assert len(registry.load("usernets:seven_classes").classes) == 7
    with pytest.raises(EdgeSegError, match="7 classes, the class map has 2"):
        registry.load("usernets:seven_classes", classes=TWO)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    path = saved(tmp_path / "w.safetensors", **{"head.bias": torch.tensor([0, bad, 0])})
    with pytest.raises(EdgeSegError, match=r"NaN or infinity in head\.bias"):
        registry.load("lane-unet", path)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = small_unet().state_dict()
    del state["head.bias"]
    weights_file.save(tmp_path / "short.safetensors", header(height=64, width=96), state)
    with pytest.raises(EdgeSegError, match=r"head\.bias is missing"):
        registry.load("lane-unet", tmp_path / "short.safetensors")
    saved(tmp_path / "extra.safetensors", **{"extra": torch.ones(2)})
    with pytest.raises(EdgeSegError, match="extra has no place"):
        registry.load("lane-unet", tmp_path / "extra.safetensors")
    saved(tmp_path / "shape.safetensors", **{"head.bias": torch.ones(4)})
    with pytest.raises(EdgeSegError, match=r"head\.bias is \(4,\), the network has \(3,\)"):
        registry.load("lane-unet", tmp_path / "shape.safetensors")
    save_file(state, tmp_path / "foreign.safetensors")
    with pytest.raises(EdgeSegError, match="says nothing of its network"):
        registry.load("lane-unet", tmp_path / "foreign.safetensors")
    with pytest.raises(EdgeSegError, match="weights of lane-unet, not of deeplab"):
        registry.load("deeplabv3plus-mobilenetv2", tmp_path / "extra.safetensors")
    with pytest.raises(EdgeSegError, match=r"\.safetensors file"):
        registry.load("lane-unet", tmp_path / "w.pt")


def test_every_cut_of_a_weights_file_is_one_line(tmp_path: Path) -> None:
    payload = saved(tmp_path / "w.safetensors").read_bytes()
    cut = tmp_path / "cut.safetensors"
    for part in range(64):
        cut.write_bytes(payload[: len(payload) * part // 64])
        with pytest.raises(EdgeSegError):
            registry.load("lane-unet", cut)


def test_class_map_must_fit_a_known_model(tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match="class map has 2 classes"):
        registry.load("lane-unet", saved(tmp_path / "w.safetensors"), classes=TWO)


def test_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match="cannot load") as caught:
        registry.load("deeplabv3plus-mobilenetv2", tmp_path)
    assert "\n" not in str(caught.value)


# ---- exported programs


def exported(path: Path, network: nn.Module | None = None, **options: object) -> Path:
    image = torch.rand(1, 3, 64, 96)
    program = torch.export.export((network or small_unet()).eval(), (image,), **options)  # type: ignore[arg-type]
    torch.export.save(program, path)
    return path


def test_exported_program_says_the_same(tmp_path: Path) -> None:
    model = registry.load(str(exported(tmp_path / "m.pt2")))
    image = torch.rand(1, 3, 64, 96)
    assert model.module is not None
    assert model.module.train(False) is model.module  # ONNX export calls it
    torch.testing.assert_close(model.module(image), small_unet()(image))
    assert (model.input.height, model.input.width, model.classes) == (64, 96, LANE)
    with pytest.raises(EdgeSegError, match="was exported for 64x96, not 32x32"):
        registry.load(str(tmp_path / "m.pt2"), input_size=(32, 32))


def repacked(source: Path, goal: Path, member: str, change: object) -> Path:
    """Copy a .pt2 with one member changed or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(goal, "w") as new:
        folder = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            payload = old.read(name)
            if name == f"{folder}/{member}":
                payload = change(payload)  # type: ignore[operator]
            new.writestr(name, payload)
        if f"{folder}/{member}" not in old.namelist():
            new.writestr(f"{folder}/{member}", change(b""))  # type: ignore[operator]
    return goal


def test_exported_programs_that_could_run_code_are_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    buffer = io.BytesIO()
    torch.save(Hostile(), buffer)
    hostile = buffer.getvalue()
    good = exported(tmp_path / "m.pt2")
    graph, weights = "models/model.json", "data/weights/model_weights_config.json"
    changes = {
        "sample inputs": ("data/sample_inputs/model.pt", lambda _: hostile),
        "is pickled": (weights, lambda p: p.replace(b'"use_pickle": false', b'"use_pickle": true')),
        "model.pt": ("data/weights/model.pt", lambda _: hostile),
        "aotinductor": ("data/aotinductor/model/x.so", lambda _: b"\x7fELF"),
        "custom_obj": ("data/constants/custom_obj_0", lambda _: hostile),
        "operator": (
            graph,
            lambda p: p.replace(b"torch.ops.aten.relu.default", b"torch.os.system"),
        ),
    }
    for number, (says, (member, change)) in enumerate(changes.items()):
        bad = repacked(good, tmp_path / f"bad{number}.pt2", member, change)
        assert bad.read_bytes() != good.read_bytes()
        with pytest.raises(EdgeSegError, match=says):
            registry.load(str(bad))
    assert not (tmp_path / "ran").exists()


def test_exported_with_dynamic_shapes_is_refused(tmp_path: Path) -> None:
    rows = torch.export.Dim("rows", min=32, max=512)
    path = exported(tmp_path / "m.pt2", nn.Conv2d(3, 3, 1), dynamic_shapes=({2: rows},))
    with pytest.raises(EdgeSegError, match="dynamic"):
        registry.load(str(path))


def test_exported_in_training_mode_is_refused(tmp_path: Path) -> None:
    network = small_unet().train()
    program = torch.export.export(network, (torch.rand(1, 3, 64, 96),))
    torch.export.save(program, tmp_path / "m.pt2")
    with pytest.raises(EdgeSegError, match="training mode"):
        registry.load(str(tmp_path / "m.pt2"))


# ---- ONNX files


def onnx_file(path: Path, network: nn.Module | None = None, **options: object) -> Path:
    image = torch.rand(1, 3, 64, 96)
    torch.onnx.export(
        (network or small_unet()).eval(), (image,), path, dynamo=False, opset_version=17, **options
    )  # type: ignore[arg-type]
    return path


def test_onnx_file_is_read_and_its_size_fixed(tmp_path: Path) -> None:
    path = onnx_file(
        tmp_path / "m.onnx", input_names=["x"], dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}}
    )
    model = registry.load(str(path), input_size=(128, 64))
    assert model.module is None
    assert (model.input.height, model.input.width, len(model.classes)) == (128, 64, 3)
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra x86")
    session = onnxruntime.InferenceSession(model.onnx, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [1, 3, 128, 64]
    image = torch.rand(1, 3, 128, 64)
    got = session.run(None, {"x": image.numpy()})[0]
    np.testing.assert_allclose(got, small_unet()(image).detach().numpy(), atol=1e-4)


def test_bad_onnx_files_are_one_line(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx")
    with pytest.raises(EdgeSegError, match="fixed input height of 64, not 32"):
        registry.load(str(path), input_size=(32, 96))
    with pytest.raises(EdgeSegError, match="3 classes, the class map has 2"):
        registry.load(str(path), classes=TWO)
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(EdgeSegError, match="no valid ONNX"):
        registry.load(str(tmp_path / "cut.onnx"))
    poisoned = small_unet()
    with torch.no_grad():
        poisoned.head.bias[1] = float("nan")  # type: ignore[index, union-attr]
    with pytest.raises(EdgeSegError, match="NaN or infinity"):
        registry.load(str(onnx_file(tmp_path / "nan.onnx", poisoned)))
    pooled = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1))
    with pytest.raises(EdgeSegError, match="upsample the logits"):
        registry.load(str(onnx_file(tmp_path / "pooled.onnx", pooled)))
    turned = onnx_file(tmp_path / "turned.onnx", ChannelsLast())
    with pytest.raises(EdgeSegError, match="put the classes on axis 1"):
        registry.load(str(turned))
    flat = onnx_file(tmp_path / "flat.onnx", nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten()))
    with pytest.raises(EdgeSegError, match=r"not \(N, classes, H, W\)"):
        registry.load(str(flat))


def test_open_sizes_of_an_onnx_file_are_fixed_to_the_input_size(tmp_path: Path) -> None:
    """The usual export for robots: batch, height and width left open."""
    open_axes = {0: "n", 2: "h", 3: "w"}
    torch.onnx.export(
        small_unet(),
        (torch.zeros(1, 3, 32, 64),),
        str(tmp_path / "open.onnx"),
        input_names=["image"],
        output_names=["mask"],
        dynamic_axes={"image": open_axes, "mask": open_axes},
        dynamo=False,
        opset_version=17,
    )
    model = registry.load(str(tmp_path / "open.onnx"), input_size=(64, 96))
    graph = float_graph(model).graph
    sizes = [[axis.dim_value for axis in g.type.tensor_type.shape.dim] for g in graph.output]
    assert sizes == [[1, 3, 64, 96]]


def test_the_catalogue_counts_a_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = catalogue.catalogue()
    monkeypatch.setattr(registry, "load", None)  # a second load would fail
    assert catalogue.catalogue() == first


def test_models_command_prints_json() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge_seg.cli", "models", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    listed = msgspec.json.decode(done.stdout)
    assert [entry["name"] for entry in listed] == names()
    known = {entry["name"]: entry for entry in listed}
    assert known["lane-unet"]["parameters"] == 1942611
    assert textwrap.shorten(known["lane-unet"]["trained_on"], 200)
    assert known["enet"]["weights_bytes"] == 0
    assert known["enet"]["trained_on"] == ""
    assert known["fcn-resnet50"]["gmac"] == pytest.approx(69.2, abs=0.1)


def test_a_network_without_weights_says_how_to_train_it() -> None:
    assert registry.shipped() == ["deeplabv3plus-mobilenetv2", "lane-unet", "lane-unet-light"]
    with pytest.raises(EdgeSegError, match=r"edge-seg train --model enet \.\.\."):
        registry.load("enet")
    with pytest.raises(EdgeSegError, match=r"weights of enet are a \.safetensors file, not w\.pt"):
        registry.load("enet", "w.pt")


def test_its_size_is_counted_without_weights_as_with_them() -> None:
    entry = catalogue.entry("enet")
    size = count(registry.load("enet", weights="random"))
    assert entry.parameters == size.parameters
    assert entry.gmac == pytest.approx(size.gmac, abs=1e-3)
