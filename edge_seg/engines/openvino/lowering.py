"""OpenVINO's file: the same ONNX graph that ONNX Runtime gets.

A file of NNCF's own quantizer runs no faster, and one graph for all engines means one
place where accuracy is decided. ONNX stays readable across OpenVINO versions, which its
own IR with compiled preprocessing does not promise.
"""

from edge_seg.engines.onnxruntime.lowering import lower

__all__ = ["lower"]
