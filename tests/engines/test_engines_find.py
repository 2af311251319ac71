from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from edge_seg import engines
from edge_seg.errors import EdgeSegError, MissingRuntimeError
from edge_seg.preprocess import InputSpec


def test_all_registered_engines_are_found_under_their_names() -> None:
    assert {"fbgemm", "onnxruntime", "openvino", "torch"} <= set(engines.names())
    assert engines.names() == sorted(engines.names())
    assert all(engines.find(name).name == name for name in engines.names())


def test_an_unknown_engine_gets_the_closest_name() -> None:
    with pytest.raises(EdgeSegError, match=r"unknown engine 'openvin'.*did you mean 'openvino'"):
        engines.find("openvin")


def test_a_missing_runtime_names_the_extra_that_brings_it() -> None:
    absent = replace(
        engines.find("openvino"), runtime="no_such_module", distribution="no-such-distribution"
    )
    assert not absent.installed
    with pytest.raises(MissingRuntimeError, match=r"pip install 'edge-seg\[x86\]'"):
        absent.open(b"", InputSpec(8, 8), {})
    with pytest.raises(MissingRuntimeError, match="needs no-such-distribution"):
        absent.runtime_version()


def test_only_the_torch_engines_unpickle() -> None:
    unpickling = {name for name in engines.names() if engines.find(name).unpickles}
    assert unpickling == {"torch", "fbgemm", "qnnpack"}


def test_finding_an_engine_imports_no_runtime() -> None:
    script = (
        "import sys; from edge_seg import engines; "
        "[engines.find(n).installed for n in engines.names()]; "
        "print({'torch', 'onnx', 'onnxruntime', 'openvino'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
