from __future__ import annotations

import platform

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.manifest import Candidate, Manifest, check_runs_here, decode, encode

finite = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def changed(manifest: Manifest, **fields: object) -> bytes:
    """The manifest's JSON with fields that a `Manifest` itself would not take."""
    return msgspec.json.encode({**msgspec.to_builtins(manifest), **fields})


def test_decode_returns_what_was_encoded(manifest: Manifest) -> None:
    assert decode(encode(manifest)) == manifest


@given(
    iou=st.dictionaries(st.text(), finite),
    miou=finite,
    size=st.none() | st.integers(0, 2**40),
    reason=st.text(),
    layers=st.lists(st.text()),
)
def test_any_candidate_survives(
    manifest: Manifest,
    iou: dict[str, float | None],
    miou: float | None,
    size: int | None,
    reason: str,
    layers: list[str],
) -> None:
    row = Candidate(
        engine="e",
        precision="p",
        status="passed",
        iou=iou,
        miou=miou,
        size_bytes=size,
        reason=reason,
        float_layers=layers,
    )
    with_row = msgspec.structs.replace(manifest, candidates=[row])
    assert decode(encode(with_row)) == with_row


def test_the_order_of_dict_keys_does_not_change_the_bytes(manifest: Manifest) -> None:
    one = msgspec.structs.replace(manifest, versions={"a": "1", "b": "2"})
    other = msgspec.structs.replace(manifest, versions={"b": "2", "a": "1"})
    assert encode(one) == encode(other)


def test_a_metric_that_is_nan_is_read_as_none(manifest: Manifest) -> None:
    row = Candidate(
        engine="e", precision="p", status="failed", miou=float("nan"), iou={"road": float("nan")}
    )
    read = decode(encode(msgspec.structs.replace(manifest, candidates=[row]))).candidates[0]
    assert read.miou is None
    assert read.iou == {"road": None}


def test_a_newer_schema_says_upgrade(manifest: Manifest) -> None:
    payload = changed(manifest, schema="edge-seg/bundle-2", input="of another shape")
    with pytest.raises(BundleError, match="newer edge-seg: upgrade with pip install -U edge-seg"):
        decode(payload)


def test_a_field_of_a_later_version_is_ignored(manifest: Manifest) -> None:
    assert decode(changed(manifest, colour="blue")) == manifest


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"schema": 1}',
        b'{"schema": "edge-seg/bundle-1"}',
        b'{"schema": "edge-seg/bundle-0"}',
        b'{"schema": "edge-seg/bundle-1\\n"}',
        b'{"schema": "edge-seg/bundle-99999999999999999999999"}',
        b'{"schema": "someone/else-1"}',
        b'{"schema": "edge-seg/bundle-1", "x": "\xff"}',
        b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b', "schema": "edge-seg/bundle-1"}',
        b"[" * 4_000_000,
        b" " * 5_000_000,
    ],
    ids=lambda payload: repr(payload[:40]),
)
def test_what_is_no_manifest_is_refused_in_one_line(payload: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        decode(payload)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": 3},
        {"input": {"height": 0, "width": 512}},
        {"input": {"height": 256, "width": 10**9}},
        {"input": {"height": 256, "width": 512, "std": [1.0, 0.0, 1.0]}},
        {"classes": {"names": ["a", "a"], "palette": [[0, 0, 0], [1, 1, 1]]}},
        {"classes": {"names": ["a"], "palette": [[0, 0, 256]]}},
        {"members": {"model.onnx": {"sha256": "zz", "size": 1}}},
        {"members": {"model.onnx": {"sha256": "ab" * 32, "size": -1}}},
        {"golden": [{"frame": "a", "mask": "b", "mask_sha256": "ab" * 32, "agreement": 0}]},
        {"candidates": [{"engine": "e", "precision": "p", "status": "splendid"}]},
        {"options": {"list": []}},
    ],
    ids=str,
)
def test_a_wrong_field_is_refused(manifest: Manifest, fields: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="manifest is damaged"):
        decode(changed(manifest, **fields))


@pytest.mark.parametrize(
    ("architecture", "machine", "fits"),
    [
        ("x86_64", "x86_64", True),
        ("x86_64", "AMD64", True),
        ("aarch64", "arm64", True),
        ("aarch64", "x86_64", False),
        ("x86_64", "aarch64", False),
    ],
)
def test_a_bundle_runs_on_its_own_architecture_only(
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    architecture: str,
    machine: str,
    fits: bool,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    candidate = msgspec.structs.replace(manifest, architecture=architecture)
    if fits:
        check_runs_here(candidate)
    else:
        with pytest.raises(BundleError, match=f"is for '{architecture}' and this machine is"):
            check_runs_here(candidate)
