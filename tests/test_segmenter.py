from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
from drawn_roads import draw_road

from edge_seg import Segmenter, engines
from edge_seg.bundle.archive import Bundle, open_bundle, write_bundle
from edge_seg.bundle.manifest import EngineRef
from edge_seg.engines.lowering import Source
from edge_seg.errors import EdgeSegError, MissingRuntimeError
from edge_seg.frames import FrameSet
from edge_seg.metrics import evaluate
from edge_seg.models.model import Model
from edge_seg.preprocess import Frame
from edge_seg.quantize import float_graph
from edge_seg.quantize.recipe import decode
from edge_seg.segmenter import parse_options

MODEL = "model.onnx"


@pytest.fixture(scope="module")
def segmenter(tiny_bundle: Path) -> Iterator[Segmenter]:
    with Segmenter(tiny_bundle, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def frame() -> Frame:
    return draw_road(300)[0]


def repacked(bundle: Path, to: Path, key=None, model: bytes | None = None, **changes) -> Bundle:
    """The bundle with some fields of its manifest changed, as a bundle of its own."""
    opened = open_bundle(bundle)
    members = {name: opened.read(name) for name in opened.manifest.members}
    if model is not None:
        del members[MODEL]
        members[changes["model_file"]] = model
    return write_bundle(to, msgspec.structs.replace(opened.manifest, **changes), members, key)


@pytest.mark.parametrize("size", [(120, 160), (64, 128), (1, 1), (7, 300), (481, 641)])
def test_a_mask_has_the_frames_size_and_ids_of_classes(
    segmenter: Segmenter, size: tuple[int, int]
) -> None:
    mask = segmenter(np.full((*size, 3), 90, np.uint8))
    assert mask.shape == size and mask.dtype == np.uint8
    assert mask.max() < len(segmenter.classes)


def test_the_masks_are_those_of_the_drawn_roads(segmenter: Segmenter, few_frames: FrameSet) -> None:
    scores = evaluate(segmenter, few_frames)
    assert scores.miou is not None and scores.miou > 75


def test_equal_frames_give_equal_masks(segmenter: Segmenter, frame: Frame) -> None:
    first = segmenter(frame)
    other = segmenter(draw_road(301)[0])
    assert (first != other).any()
    assert np.array_equal(segmenter(frame.copy()), first)


@pytest.mark.parametrize("size", [(120, 160), (64, 128)])
def test_a_mask_is_the_callers_own(segmenter: Segmenter, size: tuple[int, int]) -> None:
    first_frame, second_frame = draw_road(302, *size)[0], draw_road(303, *size)[0]
    first = segmenter(first_frame)
    kept = first.copy()
    second = segmenter(second_frame)
    assert np.array_equal(first, kept)
    wanted = second.copy()
    second[:] = 77
    assert np.array_equal(segmenter(second_frame), wanted)


def test_the_frame_is_only_read(segmenter: Segmenter, frame: Frame) -> None:
    fixed = frame.copy()
    fixed.flags.writeable = False
    wanted = segmenter(frame)
    assert np.array_equal(segmenter(fixed), wanted)
    assert np.array_equal(fixed, frame)


@pytest.mark.parametrize("size", [(120, 160), (64, 128)])
def test_a_view_of_a_larger_image_is_a_frame(segmenter: Segmenter, size: tuple[int, int]) -> None:
    """Cameras and simulators hand out BGRA, crops and mirrored pictures."""
    image = draw_road(304, *size)[0]
    with_alpha = np.dstack([image, np.full(size, 255, np.uint8)])
    padded = np.zeros((size[0] + 9, size[1] + 9, 3), np.uint8)
    padded[5 : 5 + size[0], 3 : 3 + size[1]] = image
    mirrored = np.ascontiguousarray(image[:, ::-1])
    wanted = segmenter(image)
    for view in (
        with_alpha[:, :, :3],
        padded[5 : 5 + size[0], 3 : 3 + size[1]],
        mirrored[:, ::-1],
        np.asfortranarray(image),
        np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1],
    ):
        assert np.array_equal(segmenter(view), wanted)


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (np.zeros((8, 8, 3), np.float32), "float32"),
        (np.zeros((8, 8, 3), np.int64), "int64"),
        (np.zeros((8, 8, 3), np.uint16), "uint16"),
        (np.zeros((8, 8), np.uint8), r"\(8, 8\)"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"\(1, 8, 8, 3\)"),
        (np.zeros((8, 8, 4), np.uint8), r"\(8, 8, 4\)"),
        (np.zeros((3, 8, 8), np.uint8), r"\(3, 8, 8\)"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
        (np.zeros((8, 0, 3), np.uint8), r"\(8, 0, 3\)"),
        ([[[0, 0, 0]]], "list"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_frame_is_refused_in_one_line(
    segmenter: Segmenter, frame: Frame, bad: object, found: str
) -> None:
    wanted = segmenter(frame)
    with pytest.raises(EdgeSegError, match=rf"H, W, 3.*not .*{found}") as caught:
        segmenter(bad)
    assert "\n" not in str(caught.value)
    assert np.array_equal(segmenter(frame), wanted)


def test_the_stages_add_up_to_the_total(segmenter: Segmenter, frame: Frame) -> None:
    segmenter(frame)
    spent = segmenter.timings
    stages = (spent.preprocess_ms, spent.inference_ms, spent.postprocess_ms)
    assert all(stage > 0 for stage in stages)
    assert sum(stages) == pytest.approx(spent.total_ms)


def test_a_closed_segmenter_says_so(tiny_bundle: Path, frame: Frame) -> None:
    with Segmenter(str(tiny_bundle), threads=1) as opened:
        opened(frame)
    for use in (lambda: opened(frame), lambda: opened.timings):
        with pytest.raises(EdgeSegError, match="closed: open the bundle again"):
            use()
    opened.close()
    assert opened.classes.names[1] == "road"


def test_two_segmenters_do_not_share_buffers(
    segmenter: Segmenter, tiny_bundle: Path, frame: Frame
) -> None:
    with Segmenter(open_bundle(tiny_bundle), threads=1) as other:
        wanted = segmenter(frame)
        other(draw_road(305)[0])
        assert np.array_equal(other(frame), wanted)


def test_a_bundle_for_another_architecture_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    foreign = repacked(tiny_bundle, tmp_path / "x.edgeseg", architecture="riscv64")
    with pytest.raises(EdgeSegError, match="is for 'riscv64' and this machine is"):
        Segmenter(foreign.path)


def test_an_engine_that_is_not_known_here_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    wanted = EngineRef("onnxruntim", "onnxruntime", "1.20", "1.18")
    foreign = repacked(tiny_bundle, tmp_path / "x.edgeseg", engine=wanted)
    with pytest.raises(EdgeSegError, match=r"unknown engine.*did you mean 'onnxruntime'"):
        Segmenter(foreign.path)


@pytest.mark.parametrize(
    ("limits", "words"), [((None, "0.9.1"), "<=0.9.1"), (("999.0", None), ">=999.0")]
)
def test_a_runtime_of_another_version_is_refused(
    tiny_bundle: Path, tmp_path: Path, limits: tuple[str | None, str | None], words: str
) -> None:
    wanted = EngineRef("onnxruntime", "onnxruntime", "1.20", *limits)
    other = repacked(tiny_bundle, tmp_path / "x.edgeseg", engine=wanted)
    with pytest.raises(MissingRuntimeError, match=f"pip install 'onnxruntime{words}'"):
        Segmenter(other.path)


def test_a_model_file_that_is_no_model_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    broken = repacked(tiny_bundle, tmp_path / "x.edgeseg", model=b"nothing", model_file=MODEL)
    with pytest.raises(EdgeSegError, match="ONNX Runtime refuses the model") as caught:
        Segmenter(broken.path)
    assert "\n" not in str(caught.value)


@pytest.fixture
def torch_bundle(tiny_bundle: Path, tmp_path: Path, fitted_model: Model):
    """Return what makes the same network's bundle for the torch engine, signed or not."""
    engine = engines.find("torch")
    recipe = decode(open_bundle(tiny_bundle).read("recipe.json"))
    source = Source(fitted_model, float_graph(fitted_model), recipe, [])
    payload = engine.lowering()(source, "float32", {})
    reference = EngineRef("torch", "torch", engine.runtime_version(), engine.minimum_version)

    def make(key=None) -> Path:
        changes = {"engine": reference, "model_file": "model.pt", "options": {}}
        goal = tmp_path / f"torch-{key is not None}.edgeseg"
        return repacked(tiny_bundle, goal, key, payload, **changes).path

    return make


@pytest.fixture
def trusted_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from edge_seg.bundle.signature import trusted_keys_folder

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = trusted_keys_folder()
    folder.mkdir(parents=True)
    assert folder.is_relative_to(tmp_path)
    return folder


def test_a_file_that_is_unpickled_needs_trust(
    torch_bundle, trusted_keys: Path, segmenter: Segmenter, frame: Frame
) -> None:
    path = torch_bundle()
    with pytest.raises(EdgeSegError, match=r"TorchScript.*--trust"):
        Segmenter(path)
    with Segmenter(path, trust=True, threads=1) as opened:
        assert np.mean(opened(frame) == segmenter(frame)) > 0.97


def test_a_signature_of_a_trusted_key_is_trust(
    torch_bundle, trusted_keys: Path, frame: Frame
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    for name, owner in (("stranger", stranger), ("mine", key)):
        path = torch_bundle(key)
        with pytest.raises(EdgeSegError, match="--trust"):
            Segmenter(path)
        public = owner.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (trusted_keys / f"{name}.pem").write_bytes(public)
    with Segmenter(path, threads=1) as opened:
        assert opened(frame).shape == frame.shape[:2]


def grown_by(segmenter: Segmenter, frames: int) -> int:
    """Return the bytes that resident memory grows by over so many frames of three sizes."""
    pictures = [
        draw_road(seed, *size)[0] for seed, size in enumerate([(120, 160), (64, 128), (90, 70)])
    ]
    process = psutil.Process(os.getpid())
    for index in range(200):
        segmenter(pictures[index % 3])
    before = process.memory_info().rss
    for index in range(frames):
        segmenter(pictures[index % 3])
    return process.memory_info().rss - before


def test_memory_is_flat(segmenter: Segmenter) -> None:
    assert grown_by(segmenter, 2_000) < 10 * 2**20


def test_memory_is_flat_over_ten_thousand_frames(segmenter: Segmenter) -> None:
    assert grown_by(segmenter, 10_000) < 10 * 2**20


def test_options_are_those_that_the_engine_has() -> None:
    openvino = engines.find("openvino")
    own = {"resize": "host", "ids": "argmax"}
    assert parse_options("", openvino, own) == {}
    assert parse_options("resize=graph", openvino, own) == {"resize": "graph"}
    tensorrt = engines.find("tensorrt")
    chosen = parse_options("cuda_graph=False, workspace_mb=64", tensorrt, {"workspace_mb": 256})
    assert chosen == {"cuda_graph": False, "workspace_mb": 64}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resise=graph", "did you mean 'resize'"),
        ("resize=grahp", "did you mean 'graph'"),
        ("cuda_graph=perhaps", "of kind bool"),
        ("workspace_mb=much", "of kind int"),
        ("workspace_mb", "of kind int"),
    ],
)
def test_an_option_that_is_none_says_so(text: str, words: str) -> None:
    engine = engines.find("openvino" if "resi" in text else "tensorrt")
    with pytest.raises(EdgeSegError, match=words):
        parse_options(text, engine, {"workspace_mb": 256})


def test_a_bundle_opens_with_another_option(tiny_bundle: Path) -> None:
    frame = np.zeros((60, 80, 3), np.uint8)
    with Segmenter(tiny_bundle) as plain, Segmenter(tiny_bundle, options="ids=compare") as other:
        assert np.array_equal(plain(frame), other(frame))
    with pytest.raises(EdgeSegError, match="no option 'speed'"):
        Segmenter(tiny_bundle, options="speed=high")
