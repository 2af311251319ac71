"""x86 boxes: industrial PCs, NUCs, laptops, with or without VNNI or AMX."""

from edge_seg.target import Target

TARGET = Target(
    name="x86",
    description="64-bit Intel and AMD processors, from AVX2 on",
    architecture="x86_64",
    engines=("torch", "fbgemm", "onnxruntime", "openvino"),
    extra="x86",
    aliases=("x86_64", "pc"),
)
