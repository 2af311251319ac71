"""The networks: those with a name, of which three ship trained, and those that a user brings.

    from edge_seg.models import registry

    model = registry.load("lane-unet")
    logits = model.module(images)  # (N, 3, 256, 512) float32 RGB -> (N, 3, 256, 512)

`registry` finds a model by name or file; `architectures` names the networks `unet` and `deeplab`;
`user`, `exported` and `onnx_file` read what a user brings; `weights_file` is the
safetensors format of the weights; `count` counts parameters and multiplications.
"""
