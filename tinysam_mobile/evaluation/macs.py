"""Parameters and multiply-accumulates (MACs) of a model, counted on the operators that torch really runs.

Tensors have shapes but no data (torch's meta device), so the size of the image does not matter.

The published network has 38.8 G in the encoder and 1.0 G in the decoder, where SAM's own way to write the
two-way attention needs 1.8 G (`modeling.transformer`).  The paper's table says 42.0 G: the same encoder, and
3.2 G for the decoder, of which 1.2 are transposed convolutions counted per output pixel (test_macs.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tinysam_mobile.modeling.entry_points import contract_of, entry_points, example_inputs
from tinysam_mobile.modeling.sam import TinySAM

__all__ = ["ModelCost", "count_macs", "model_cost"]

aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """Parameters by part, and MACs of one image (`encode`), of one prompt with two slots (`decode`), and of
    each further prompt in a call of many (`further_prompt`).
    """

    parameters: Mapping[str, int]
    encode_macs: int
    decode_macs: int
    further_prompt_macs: int

    @property
    def macs(self) -> int:
        """One image and one prompt, the figure of the paper's tables."""
        return self.encode_macs + self.decode_macs


def _plain_product(arguments: tuple[Any, ...], output: Tensor) -> int:
    return int(output.numel()) * int(arguments[0].shape[-1])


def _added_product(arguments: tuple[Any, ...], output: Tensor) -> int:
    return int(output.numel()) * int(arguments[1].shape[-1])


def _convolution(arguments: tuple[Any, ...], output: Tensor) -> int:
    """Each output takes in/groups x kernel terms; transposed, each input feeds out/groups x kernel."""
    image, weight, is_transposed = arguments[0], arguments[1], arguments[6]
    elements: int = image.numel() if is_transposed else output.numel()
    return elements * int(prod(weight.shape[1:]))


def _attention(arguments: tuple[Any, ...], output: Any) -> int:  # noqa: ARG001
    query, key, value = arguments[:3]
    return int(prod(query.shape[:-1])) * int(key.shape[-2]) * int(query.shape[-1] + value.shape[-1])


RULES: Mapping[Any, Callable[[tuple[Any, ...], Any], int]] = {
    aten.mm.default: _plain_product,
    aten.bmm.default: _plain_product,
    aten.addmm.default: _added_product,
    aten.baddbmm.default: _added_product,
    aten.convolution.default: _convolution,
    aten._scaled_dot_product_flash_attention_for_cpu.default: _attention,
    aten._scaled_dot_product_fused_attention_overrideable.default: _attention,
    aten._scaled_dot_product_attention_math.default: _attention,
}
"""Operator → its MACs.  Element by element work (norms, activations, softmax, resizing) is no MAC."""


class _Counter(TorchDispatchMode):
    """Adds up the MACs of every operator that runs inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in RULES:
            self.macs += RULES[func](args, output)
        return output


def count_macs(module: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Return the MACs of one call of `module`; both are moved to the meta device, the module for good."""
    module = module.to("meta")
    with torch.device("meta"), torch.no_grad(), _Counter() as counter:
        module(*(tensor.to("meta") for tensor in inputs))
    return int(counter.macs)


def model_cost(model: TinySAM) -> ModelCost:
    """Count a model at its own image size; it is copied, not changed."""

    slots = max(2, model.config.rules.fixed_points)

    def macs(entry_point: str, prompts: int) -> int:
        point = entry_points(model, contract_of(model, slots=slots, batch=prompts))[entry_point]
        return count_macs(point.module, example_inputs(point.signature))

    one_prompt = macs("decode_batch", 1)
    return ModelCost(
        parameters={name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()},
        encode_macs=macs("encode", 1),
        decode_macs=one_prompt,
        further_prompt_macs=macs("decode_batch", 2) - one_prompt,
    )
