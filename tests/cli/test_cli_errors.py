"""Bad input: one line that says what is wrong and what to do, exit code 2, no traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import pytest
from command_line import edge_seg, refusal
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from onnx import TensorProto, helper, numpy_helper
from rogue import install

from edge_seg.bundle.archive import open_bundle, write_bundle
from edge_seg.bundle.container import join, split
from edge_seg.bundle.manifest import EngineRef
from edge_seg.classes import LANE
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet, FrameSetWriter
from edge_seg.models import weights_file
from edge_seg.models.model import Model
from edge_seg.preprocess import InputSpec

TINY = ("--model", "lane-unet", "--weights", "random", "--input-size", "64x128", "--threads", 1)


@pytest.fixture
def pack(
    road_frames: FrameSet, few_frames: FrameSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Return what calls ``edge-seg pack`` with good input but for what it is given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sets = ("--calibration", road_frames.path, "--eval", few_frames.path)
    out = tmp_path / "x.edgeseg"
    return lambda *bad: refusal("pack", *TINY, *sets, "-o", out, *bad)


def test_unknown_names_get_the_closest(pack: Callable[..., str]) -> None:
    assert "unknown target 'x68': did you mean 'x86'?" in pack("--target", "x68")
    assert "unknown model 'lane-unt': did you mean 'lane-unet'?" in pack("--model", "lane-unt")
    assert "did you mean 'openvino'?" in pack("--engine", "openvio")
    assert "unknown method 'ptp': did you mean 'ptq'?" in pack("--method", "ptp")
    assert "did you mean 'lane-mini'?" in pack("--calibration", "lane-min")
    assert "did you mean 'lane-test'?" in pack("--eval", "lane-tets")
    assert "write height x width" in pack("--input-size", "64*128")
    assert "10 to 99999 pixels a side" in pack("--input-size", "64x100000")
    assert "only float baselines would compete" in pack("--engine", "torch")
    assert "competes in precision 'int9': did you mean 'int8'?" in pack("--precision", "int9")
    assert "there is no proof for target x86" in pack("--prove")


def test_methods_for_folded_layers_need_them_folded(pack: Callable[..., str]) -> None:
    words = "method 'equalized' equalizes, which is for layers that have taken up their batch norm"
    assert words in pack("--no-fold", "--method", "equalized")


def test_what_no_entrant_would_do_is_refused(pack: Callable[..., str]) -> None:
    bfloat16 = ("--engine", "openvino", "--precision", "bfloat16")
    words = "for int8, which would not compete, so nothing would come of it: leave it out"
    assert f"--method qat, --labels: {words}" in pack(*bfloat16, "--method", "qat", "--labels")
    assert f"--observer mse: {words}" in pack(*bfloat16, "--observer", "mse")
    assert f"--per-tensor: {words}" in pack(*bfloat16, "--per-tensor")
    assert "every method begins with the ranges of ptq" in pack("--method", "qat+ptq")
    assert "names equalized 2 times" in pack("--method", "equalized+equalized")


def noise(folder: Path, count: int) -> FrameSet:
    random = np.random.default_rng(0)
    with FrameSetWriter(folder, name=folder.name) as writer:
        for _ in range(count):
            writer.add(random.integers(0, 256, (48, 64, 3), dtype=np.uint8), format="png")
    return FrameSet.open(folder)


def test_calibration_sets_that_are_none(
    pack: Callable[..., str], few_frames: FrameSet, tmp_path: Path
) -> None:
    few = pack("--calibration", few_frames.path)
    assert "at least 32 different frames" in few and "add 26 more" in few
    noisy = pack("--calibration", noise(tmp_path / "noisy", 32).path)
    assert "32 of 32 frames of 'noisy' are random noise" in noisy
    assert "frames without masks" in pack("--eval", noise(tmp_path / "bare", 1).path)


def test_weights_that_are_none(pack: Callable[..., str], tiny_model: Model, tmp_path: Path) -> None:
    import torch

    assert tiny_model.module is not None
    state = tiny_model.module.state_dict()
    first = next(name for name in state if name.endswith("weight"))
    state[first] = torch.full_like(state[first], float("nan"))
    header = weights_file.Header(
        weights_file.SCHEMA, "lane-unet", {}, LANE, InputSpec(64, 128), "nowhere"
    )
    weights_file.save(tmp_path / "nan.safetensors", header, state)
    assert f"NaN or infinity in {first}" in pack("--weights", tmp_path / "nan.safetensors")
    assert "cannot read the weights" in pack("--weights", tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\0" * 20)
    assert "no whole safetensors file" in pack("--weights", tmp_path / "cut.safetensors")
    assert "no such model file" in pack("--model", tmp_path / "none.onnx")
    assert "--model package.module:factory --weights" in pack("--model", tmp_path / "mine.pth")
    assert "there is no such file" in pack(
        "--model", "torch.nn:Identity", "--weights", tmp_path / "none.pth"
    )


@pytest.fixture
def pack_onnx(
    road_frames: FrameSet, few_frames: FrameSet, tmp_path: Path
) -> Callable[[onnx.NodeProto, list[int]], str]:
    """Return what packs an ONNX file: three "logits" a pixel, and a last node that makes "out"."""
    path = tmp_path / "lanes.onnx"
    sets = ("--calibration", road_frames.path, "--eval", few_frames.path)

    def call(last: onnx.NodeProto, shape: list[int]) -> str:
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 128])
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)
        weight = numpy_helper.from_array(np.eye(3, dtype=np.float32)[:, :, None, None], "weight")
        nodes = [helper.make_node("Conv", ["image", "weight"], ["logits"]), last]
        made = helper.make_graph(nodes, "lanes", [image], [out], [weight])
        domains = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
        onnx.save(helper.make_model(made, opset_imports=domains, ir_version=8), str(path))
        return refusal("pack", "--model", path, *sets, "-o", tmp_path / "x.edgeseg")

    return call


@pytest.mark.parametrize(("kind", "domain"), [("Rode", ""), ("Road", "mine")])
def test_an_operator_that_nobody_knows_is_named(
    pack_onnx: Callable[..., str], kind: str, domain: str
) -> None:
    last = helper.make_node(kind, ["logits"], ["out"], domain=domain)
    line = pack_onnx(last, [1, 3, 64, 128])
    assert "lanes" in line and kind in line


@pytest.mark.parametrize(
    ("last", "shape", "words"),
    [
        (helper.make_node("Flatten", ["logits"], ["out"]), [1, 24576], "returns 2 dimensions"),
        (
            helper.make_node("ReduceMax", ["logits"], ["out"], axes=[1], keepdims=0),
            [1, 64, 128],
            "returns 3 dimensions",
        ),
        (
            helper.make_node("Transpose", ["logits"], ["out"], perm=[0, 2, 3, 1]),
            [1, 64, 128, 3],
            "returns (1, 64, 128, 3)",
        ),
        (
            helper.make_node("MaxPool", ["logits"], ["out"], kernel_shape=[2, 2], strides=[2, 2]),
            [1, 3, 32, 64],
            "returns (1, 3, 32, 64)",
        ),
    ],
    ids=["flat", "class ids", "channels last", "half the size"],
)
def test_an_output_that_is_not_logits_of_the_inputs_size_is_named(
    pack_onnx: Callable[..., str], last: onnx.NodeProto, shape: list[int], words: str
) -> None:
    assert f"{words}, not (N, classes, H, W)" in pack_onnx(last, shape)


def test_places_that_cannot_be_written(pack: Callable[..., str], tmp_path: Path) -> None:
    assert "the folder does not exist" in pack("-o", tmp_path / "no" / "x.edgeseg")
    assert "the folder does not exist" in pack("--json", tmp_path / "no" / "x.json")
    assert "it is a folder" in pack("-o", tmp_path)
    assert "none.pem" in pack("--sign", tmp_path / "none.pem")


def test_nothing_that_is_read_is_overwritten(
    pack: Callable[..., str], tiny_bundle: Path, tmp_path: Path
) -> None:
    own, key = tmp_path / "own.onnx", tmp_path / "key.pem"
    for path in (own, key):
        path.write_text("mine")
    assert "would be lost" in pack("--model", own, "-o", own)
    assert "would be lost" in pack("--sign", key, "-o", key)
    assert "would be lost" in pack("--model", own, "--json", own)
    assert "named for two results" in pack("--json", tmp_path / "x.edgeseg")
    assert "exists and is no bundle" in pack("-o", own)
    copy = tmp_path / "copy.edgeseg"
    copy.write_bytes(tiny_bundle.read_bytes())
    assert "would be lost" in refusal("inspect", copy, "--report", copy)
    assert own.read_text() == key.read_text() == "mine"
    assert copy.read_bytes() == tiny_bundle.read_bytes()


def test_numbers_that_nobody_can_compute_with(pack: Callable[..., str]) -> None:
    assert "frames are divided by --std" in pack("--std", "0,0,0")
    assert "frames are divided by --std" in pack("--std", "1e-320,1,1")
    assert "no numbers to compute with" in pack("--mean", "nan,0,0")


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory; skip where this user may not."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full(
    pack: Callable[..., str], tiny_bundle: Path, few_frames: FrameSet, tmp_path: Path
) -> None:
    with mounted(tmp_path / "full", "size=64k") as full:
        with contextlib.suppress(OSError):
            (full / "filler").write_bytes(b"x" * 2**17)
        assert "no space left" in pack("-o", full / "x.edgeseg")
        assert "no space left" in refusal("run", tiny_bundle, few_frames.path, "-o", full / "out")
        names = {path.name for path in full.rglob("*") if path.is_file()}
        assert names == {"filler"}


def test_a_small_disk_for_temporary_files_is_refused_at_once(
    pack: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(tmp_path / "small", "size=1m") as small:
        monkeypatch.setattr(tempfile, "tempdir", str(small))
        assert "are needed: free some" in pack()


def test_a_disk_that_is_read_only(
    pack: Callable[..., str], tiny_bundle: Path, few_frames: FrameSet, tmp_path: Path
) -> None:
    with mounted(tmp_path / "fixed", "ro") as fixed:
        assert "permission denied" in pack("-o", fixed / "x.edgeseg")
        line = refusal("run", tiny_bundle, few_frames.path, "-o", fixed / "out")
        assert "permission denied" in line


def packed_with(bundle: Path, goal: Path, **changes: object) -> Path:
    """Pack a bundle anew with another manifest."""
    opened = open_bundle(bundle)
    members = {name: opened.read(name) for name in opened.manifest.members}
    return write_bundle(goal, msgspec.structs.replace(opened.manifest, **changes), members).path


@pytest.fixture(params=["run", "eval", "bench", "verify"])
def use(request: pytest.FixtureRequest, few_frames: FrameSet, tmp_path: Path) -> Callable[..., str]:
    """Return what refuses a bundle: each of the commands that would run it."""
    rest = {
        "run": (few_frames.path, "-o", tmp_path / "out"),
        "eval": (few_frames.path,),
        "bench": ("--set", few_frames.path, "--frames", 10),
        "verify": (),
    }[request.param]
    return lambda bundle: refusal(request.param, bundle, *rest)


def test_bundles_that_are_none(use: Callable[..., str], tiny_bundle: Path, tmp_path: Path) -> None:
    data = tiny_bundle.read_bytes()
    cut = tmp_path / "cut.edgeseg"
    cut.write_bytes(data[: len(data) // 2])
    assert "cut short or changed" in use(cut)
    members = dict(split(data))
    manifest = bytes(members["manifest.json"])
    members["manifest.json"] = manifest.replace(b"edge-seg/bundle-1", b"edge-seg/bundle-2")
    newer = tmp_path / "newer.edgeseg"
    newer.write_bytes(join(members))
    assert "made by a newer edge-seg: upgrade" in use(newer)
    assert "no such file" in use(tmp_path / "none.edgeseg")


def test_a_bundle_for_another_processor(
    use: Callable[..., str], tiny_bundle: Path, tmp_path: Path
) -> None:
    other = packed_with(tiny_bundle, tmp_path / "arm.edgeseg", architecture="riscv64")
    assert "is for 'riscv64' and this machine is" in use(other)


def test_a_runtime_that_is_missing_names_the_extra(
    use: Callable[..., str], tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch, runtime="notinstalled")
    engine = EngineRef("rogue", "notinstalled", "1.0")
    line = use(packed_with(tiny_bundle, tmp_path / "x.edgeseg", engine=engine))
    assert "needs notinstalled, which is not installed: pip install 'edge-seg[x86]'" in line


def test_a_bundle_of_an_unknown_engine(
    use: Callable[..., str], tiny_bundle: Path, tmp_path: Path
) -> None:
    engine = EngineRef("onnxruntme", "onnxruntime", "1.0")
    line = use(packed_with(tiny_bundle, tmp_path / "x.edgeseg", engine=engine))
    assert "did you mean 'onnxruntime'?" in line


def test_torchscript_needs_trust(
    use: Callable[..., str], tiny_bundle: Path, tmp_path: Path
) -> None:
    engine = EngineRef("fbgemm", "torch", "2.13", "2.13")
    line = use(packed_with(tiny_bundle, tmp_path / "x.edgeseg", engine=engine))
    assert "use --trust" in line


def test_the_wrong_key(tiny_bundle: Path, tmp_path: Path) -> None:
    opened = open_bundle(tiny_bundle)
    members = {name: opened.read(name) for name in opened.manifest.members}
    key = Ed25519PrivateKey.generate()
    signed = write_bundle(tmp_path / "signed.edgeseg", opened.manifest, members, key).path
    for name, public in (("right", key), ("wrong", Ed25519PrivateKey.generate())):
        form = public.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pem").write_bytes(form)
    edge_seg("verify", signed, "--key", tmp_path / "right.pem")
    command = ["verify", str(signed), "--key", str(tmp_path / "wrong.pem")]
    done = in_a_process(*command)
    assert done.returncode == 2
    assert "signed.edgeseg" in done.stderr
    (tmp_path / "no-key.pem").write_text("hello")
    assert "no-key.pem" in refusal("verify", signed, "--key", tmp_path / "no-key.pem")


def test_no_runtime_sees_a_bundle_of_the_wrong_maker(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch)
    opened = open_bundle(tiny_bundle)
    manifest = msgspec.structs.replace(opened.manifest, engine=EngineRef("rogue", "numpy", "1.0"))
    members = {name: opened.read(name) for name in opened.manifest.members}
    members[manifest.model_file] = b"killed-at-load"
    deadly = write_bundle(tmp_path / "x.edgeseg", manifest, members, Ed25519PrivateKey.generate())
    other = Ed25519PrivateKey.generate().public_key()
    form = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "other.pem").write_bytes(form)
    command = ["verify", str(deadly.path), "--trust"]
    assert in_a_process(*command).returncode == -signal.SIGILL
    done = in_a_process(*command, "--key", str(tmp_path / "other.pem"))
    assert done.returncode == 2
    assert "give its maker's public key" in done.stderr


def test_the_verdict_on_a_damaged_bundle_is_json_too(tiny_bundle: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.edgeseg"
    cut.write_bytes(tiny_bundle.read_bytes()[:-100])
    done = in_a_process("verify", str(cut), "--json")
    assert done.returncode == 2
    verdict = msgspec.json.decode(done.stdout)
    assert verdict["ok"] is False and verdict["bundle"] == str(cut)
    assert done.stderr == f"error: {verdict['faults'][0]}\n"


def test_a_typo_is_found_before_torch_is_loaded() -> None:
    """Loading it takes seconds; ``-X importtime`` lists every module that was loaded."""
    command = [sys.executable, "-X", "importtime", "-m", "edge_seg.cli", "pack"]
    for typo in ("--model=lane-unt", "--engine=openvno", "--eval=lane-tst", "--method=ptp"):
        done = subprocess.run([*command, typo], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert "| torch" not in done.stderr


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_seg.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_person_sees_one_line_and_a_shell_sees_2(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    done = in_a_process("run", str(tiny_bundle), str(tmp_path / "empty.jpg"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_frame_of_no_use_to_the_segmenter(tiny_bundle: Path) -> None:
    from edge_seg import Segmenter

    with Segmenter(tiny_bundle, threads=1) as segmenter:
        for frame in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), cv2.imread("none.jpg")):
            with pytest.raises(EdgeSegError, match="a frame "):
                segmenter(frame)
