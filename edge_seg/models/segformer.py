"""SegFormer-B0: a small transformer, built from transformers' modules, logits upsampled inside.

    network = build(SegformerConfig())
    logits = network(torch.rand(1, 3, 256, 512))  # (1, 3, 256, 512)

Xie et al. 2021 (arXiv:2105.15203): four stages of overlapping patches, attention whose keys and
values are taken from a smaller map, and a head of linear layers. The layers are those of
`transformers.SegformerForSemanticSegmentation` in its B0 configuration, so its checkpoints load
(`from_transformers`). Its own ``forward`` reads sizes off tensors, which torch.fx cannot trace and
exporters write as arithmetic on shapes; here every size is known when the network is built, and
the layers are called one after the other.

What becomes of it on an integer grid: linear layers, convolutions and the products of attention
are int8; in the Q/DQ graph layer norms, the softmax and GELU's error function stay in float, with a
way to floats and back around each.
"""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from torch import nn

from edge_seg.errors import EdgeSegError
from edge_seg.models.layers import he_initialise
from edge_seg.models.pretrained import (
    Pretrained,
    labels,
    normalisation,
    read,
    read_config,
    transformers_classes,
)

CLASSES = ("SegformerForSemanticSegmentation", "SegformerConfig")
"""What is used of transformers; the defaults of its configuration are B0."""
B0 = {"hidden_sizes": (32, 64, 160, 256), "depths": (2, 2, 2, 2), "decoder_hidden_size": 256}
"""What makes a SegFormer the B0 (table 6 of the paper)."""
STRIDES = (4, 8, 16, 32)


class SegformerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the network looks like: B0, whose layers do not vary."""

    classes: int = 3
    height: int = 256
    width: int = 512

    def check(self) -> None:
        """Refuse what cannot be built, in one line."""
        if self.height % 32 or self.width % 32:
            raise EdgeSegError(
                "segformer-b0 needs an input size in multiples of 32, "
                f"not {self.height}x{self.width}"
            )


class ToMap(nn.Module):
    """Tokens (N, rows * columns, c) -> a map (N, c, rows, columns)."""

    def __init__(self, channels: int, rows: int, columns: int) -> None:
        super().__init__()
        self.shape = (-1, channels, rows, columns)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Put the channels first."""
        return tokens.transpose(1, 2).reshape(self.shape)


class ToTokens(nn.Module):
    """A map (N, c, rows, columns) -> tokens (N, rows * columns, c)."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.shape = (-1, channels, count)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Put the channels last."""
        return features.reshape(self.shape).transpose(1, 2)


class Attention(nn.Module):
    """Every token looks at a smaller map of all: (N, tokens, c) as they came."""

    def __init__(self, source: Any, rows: int, columns: int) -> None:
        super().__init__()
        ratio, channels = source.sequence_reduction_ratio, source.q_proj.in_features
        looked_at = rows * columns // ratio**2
        self.reduce: nn.Module = nn.Identity()
        if ratio > 1:
            self.reduce = nn.Sequential(
                ToMap(channels, rows, columns),
                source.sequence_reduction.sequence_reduction,
                ToTokens(channels, looked_at),
                source.sequence_reduction.layer_norm,
            )
        self.query, self.key, self.value = source.q_proj, source.k_proj, source.v_proj
        self.out = source.o_proj
        self.softmax = nn.Softmax(dim=-1)
        self.scale = float(source.scaling)
        heads, each = source.num_attention_heads, source.head_dim
        self.asking = (-1, rows * columns, heads, each)
        self.asked = (-1, looked_at, heads, each)
        self.shape = (-1, rows * columns, channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return, for each token, the values of what it looks at, weighted."""
        context = self.reduce(tokens)
        query = self.query(tokens).reshape(self.asking).transpose(1, 2) * self.scale
        key = self.key(context).reshape(self.asked).permute(0, 2, 3, 1)
        value = self.value(context).reshape(self.asked).transpose(1, 2)
        weights = self.softmax(torch.matmul(query, key))
        return self.out(torch.matmul(weights, value).transpose(1, 2).reshape(self.shape))


class MixFfn(nn.Module):
    """Two linear layers with a depthwise 3x3 between, which says where a token is."""

    def __init__(self, source: Any, rows: int, columns: int) -> None:
        super().__init__()
        channels = source.fc1.out_features
        self.fc1 = source.fc1
        self.to_map = ToMap(channels, rows, columns)
        self.depthwise = source.dwconv.dwconv
        self.to_tokens = ToTokens(channels, rows * columns)
        self.act = nn.GELU()
        self.fc2 = source.fc2

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, tokens, c) as they came."""
        wide = self.to_tokens(self.depthwise(self.to_map(self.fc1(tokens))))
        return self.fc2(self.act(wide))


class Block(nn.Module):
    """Attention, then the feed-forward part; both are added to what they get."""

    def __init__(self, source: Any, rows: int, columns: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = source.layernorm_before, source.layernorm_after
        self.attention = Attention(source.attention, rows, columns)
        self.ffn = MixFfn(source.mlp, rows, columns)
        self.drop_path = source.drop_path

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, tokens, c) as they came."""
        tokens = self.drop_path(self.attention(self.norm1(tokens))) + tokens
        return self.drop_path(self.ffn(self.norm2(tokens))) + tokens


class Stage(nn.Module):
    """One size: a map (N, inputs, h, w) -> tokens (N, rows * columns, c)."""

    def __init__(self, source: Any, rows: int, columns: int) -> None:
        super().__init__()
        self.embed = source.patch_embeddings.proj
        self.to_tokens = ToTokens(self.embed.out_channels, rows * columns)
        self.norm_in = source.patch_embeddings.layer_norm
        self.blocks = nn.Sequential(*(Block(block, rows, columns) for block in source.blocks))
        self.norm_out = source.layer_norm

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Cut into overlapping patches, then run the blocks."""
        tokens = self.norm_in(self.to_tokens(self.embed(features)))
        return self.norm_out(self.blocks(tokens))


class Segformer(nn.Module):
    """The layers of transformers' model, called in a straight line, for one input size.

    (N, 3, height, width) float RGB -> logits (N, classes, height, width). The weights fit any
    size in multiples of 32.
    """

    def __init__(self, config: SegformerConfig, source: Any) -> None:
        super().__init__()
        config.check()
        self.config = config
        sizes = [(config.height // stride, config.width // stride) for stride in STRIDES]
        head = source.decode_head
        self.stages, self.to_maps = nn.ModuleList(), nn.ModuleList()
        for stage, size in zip(source.segformer.stages, sizes, strict=True):
            self.stages.append(Stage(stage, *size))
            self.to_maps.append(ToMap(stage.patch_embeddings.proj.out_channels, *size))
        self.project, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, (layer, size) in enumerate(zip(head.linear_projections, sizes, strict=True)):
            self.project.append(layer.proj)
            grow = nn.Sequential(ToMap(layer.proj.out_features, *size))
            if level > 0:
                # A factor, not a size: exporters write a size as arithmetic on the input's shape.
                grow.append(nn.Upsample(scale_factor=2.0**level, mode="bilinear"))
            self.grow.append(grow)
        self.fuse, self.norm, self.act = head.linear_fuse, head.batch_norm, head.activation
        self.dropout, self.classifier = head.dropout, head.classifier
        self.upsample = nn.Upsample(scale_factor=4.0, mode="bilinear")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes, height, width)."""
        features, parts = images, []
        for stage, to_map, project, grow in zip(
            self.stages, self.to_maps, self.project, self.grow, strict=True
        ):
            tokens = stage(features)
            features = to_map(tokens)
            parts.append(grow(project(tokens)))
        features = self.act(self.norm(self.fuse(torch.cat(parts[::-1], dim=1))))
        return self.upsample(self.classifier(self.dropout(features)))


def build(config: SegformerConfig) -> Segformer:
    """Return the network with random weights, drawn from torch's global generator.

    Linear layers as transformers draws them, normal with 0.02; convolutions by He's rule in place
    of the same 0.02, which is made for fine-tuning.
    """
    segformer, segformer_config = transformers_classes(*CLASSES)
    network = Segformer(config, segformer(segformer_config(num_labels=config.classes)))
    he_initialise(network, network.classifier)
    return network


def from_transformers(place: str, height: int, width: int) -> Pretrained:
    """Load a local ``save_pretrained`` folder or a checkpoint of the hub, safetensors only.

    Mean and std come from its ``preprocessor_config.json`` where there is one, else 0 and 1.
    Raises `EdgeSegError` where the place holds no SegFormer-B0 or only pickled weights.
    """
    segformer, segformer_config = transformers_classes(*CLASSES)
    stored = read_config(place, CLASSES[0], segformer_config)
    for name, wanted in B0.items():
        found = getattr(stored, name)
        if (tuple(found) if isinstance(found, list) else found) != wanted:
            raise EdgeSegError(
                f"{place} is a SegFormer, and not the B0: its {name} are {found}, not {wanted}; "
                "bring it with --model package.module:factory"
            )
    config = SegformerConfig(classes=stored.num_labels, height=height, width=width)
    network = Segformer(config, read(place, segformer, stored))
    return Pretrained(network, labels(stored), *normalisation(place))
