"""The recipe: what is quantized and on which grid, as a small readable JSON.

One recipe serves every engine. A lowering whose toolchain takes ranges gets the recipe's;
one that can only calibrate itself does so on the same frames by the same rule
(``range_rule``). Law: ``decode(encode(recipe)) == recipe``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from edge_seg.errors import EdgeSegError
from edge_seg.quantize.learn.curve import Check

SCHEMA = "edge-seg/recipe-1"


BITS = (1, 2, 3, 4, 7)
"""Of a weight: seven, or so few that their grid lies in that of seven exactly."""


class Weights(msgspec.Struct, frozen=True):
    """The grid of the weights: signed, symmetric, one of `BITS`.

    Seven bits leave the top bit free, so that the uint8 x int8 kernels of x86 processors
    without VNNI cannot saturate their 16-bit sums (ONNX Runtime's ``reduce_range``): the
    same file then gives the same masks on every x86 machine. Fewer bits are coarser weights in the
    same kernels (`quantize.coarse`), in files as large.
    """

    bits: int = 7
    per_channel: bool = True

    @property
    def last_step(self) -> int:
        """The largest whole number of the grid: 7 of four bits, 1 of one; 64 of seven.

        A largest magnitude of 64 is ONNX Runtime's choice: 255 x 64 x 2 still fits 16 bits.
        """
        return 64 if self.bits == 7 else max(1, 2 ** (self.bits - 1) - 1)


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """The quantization decisions for one model and one calibration set.

    ``ranges`` maps an activation tensor of the float graph to the lowest and highest value
    it took; activations are uint8 on that range. ``float_layers`` are left in float.
    ``fold_batch_norm`` says that layers took up their batch norm before they were quantized; else
    it is a float operator behind each. ``notes`` say in words what the method found, ``curve``
    how a fine-tuning went.
    """

    schema: str = SCHEMA
    model_digest: str
    calibration_digest: str
    method: str = "ptq"
    range_rule: str = "minmax"
    weights: Weights = Weights()
    fold_batch_norm: bool = True
    layers: tuple[str, ...]
    float_layers: tuple[str, ...] = ()
    ranges: dict[str, tuple[float, float]]
    notes: tuple[str, ...] = ()
    curve: tuple[Check, ...] = ()

    def keeping_float(self, float_layers: tuple[str, ...]) -> Recipe:
        """Return the same recipe with these layers in float."""
        return msgspec.structs.replace(self, float_layers=tuple(sorted(float_layers)))

    def noting(self, text: str) -> Recipe:
        """Return the same recipe with one note more."""
        return msgspec.structs.replace(self, notes=(*self.notes, text))

    def learnt_by(self, curve: Sequence[Check]) -> Recipe:
        """Return the same recipe with a curve; checks that gave no number are left out of it."""
        known = (c for c in curve if math.isfinite(c.loss) and math.isfinite(c.held_out))
        return msgspec.structs.replace(self, curve=tuple(known))


def encode(recipe: Recipe) -> bytes:
    """Return the recipe as readable JSON; equal recipes give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(recipe, order="deterministic"), indent=1)


def decode(payload: bytes) -> Recipe:
    """Read a recipe; raises `EdgeSegError` when it is none or of another schema."""
    try:
        recipe = msgspec.json.decode(payload, type=Recipe)
    except msgspec.MsgspecError as error:
        raise EdgeSegError(f"not a recipe: {error}; pack the model again") from error
    if recipe.schema != SCHEMA:
        raise EdgeSegError(f"a recipe of schema {recipe.schema!r}, this version reads {SCHEMA!r}")
    if recipe.weights.bits not in BITS:
        raise EdgeSegError(f"a recipe with weights of {recipe.weights.bits} bits, known: {BITS}")
    return recipe
