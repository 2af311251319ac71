"""A pack with batch norm left unfolded: who takes it, who cannot, and what the recipe says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from edge_seg.bundle.archive import open_bundle
from edge_seg.cache import Cache
from edge_seg.errors import EdgeSegError
from edge_seg.packer import Request, pack
from edge_seg.quantize.recipe import decode


def test_int8_is_unfolded_and_engines_that_fold_by_themselves_fail_alone(
    tiny_request: Request, tmp_path: Path
) -> None:
    target = replace(tiny_request.target, engines=("fbgemm", "onnxruntime"))
    asked = replace(
        tiny_request, target=target, fold_batch_norm=False, output=tmp_path / "unfolded.edgeseg"
    )
    result = pack(asked, cache=Cache(tmp_path / "cache"))
    rows = {row.label: row for row in result.manifest.candidates}
    assert {label: row.status for label, row in rows.items()} == {
        "onnxruntime/float32": "baseline",
        "fbgemm/int8": "failed",
        "onnxruntime/int8": "winner",
    }
    assert "folds batch norm by itself: leave --no-fold out" in rows["fbgemm/int8"].reason
    assert rows["onnxruntime/int8"].drop == pytest.approx(0, abs=5)
    bundle = open_bundle(result.path)
    assert decode(bundle.read("recipe.json")).fold_batch_norm is False
    graph = onnx.load_from_string(bundle.read(result.manifest.model_file)).graph
    assert [node.op_type for node in graph.node].count("BatchNormalization") == 1


def test_a_method_for_folded_layers_is_refused_before_any_work(
    tiny_request: Request, tmp_path: Path
) -> None:
    asked = replace(
        tiny_request, fold_batch_norm=False, method="equalized+qat", output=tmp_path / "q.edgeseg"
    )
    with pytest.raises(EdgeSegError, match=r"^method 'equalized\+qat' equalizes.*fold it"):
        pack(asked, cache=Cache(tmp_path / "cache"))
    assert not list((tmp_path / "cache").iterdir())
