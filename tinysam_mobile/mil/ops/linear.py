"""Products of matrices.

Source: coremltools, `mil/ops/defs/iOS15/linear.py`, `iOS17/linear.py`, `iOS18/transformers.py`.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from tinysam_mobile.mil.registry import Tensor, Tensors, mil_op

__all__: list[str] = []


@mil_op("linear")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias`; x (*D, D_in), weight (D_out, D_in)."""
    if x.dtype == weight.dtype and x.is_floating_point():
        return functional.linear(x, weight, bias)
    product = matmul(x, weight, transpose_y=True)
    return (product if bias is None else product + bias).to(x.dtype)


@mil_op("matmul")
def matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    """Batched product with numpy's rules for ranks and broadcasting."""
    if transpose_x and x.dim() > 1:
        x = x.transpose(-1, -2)
    if transpose_y and y.dim() > 1:
        y = y.transpose(-1, -2)
    if x.dtype != y.dtype:
        common = torch.promote_types(x.dtype, y.dtype)
        x, y = x.to(common), y.to(common)
    return torch.matmul(x, y)


@mil_op("einsum")
def einsum(values: Tensors, equation: str) -> Tensor:
    """Einstein summation; axes of size 1 broadcast."""
    return torch.einsum(equation, *values)


@mil_op("scaled_dot_product_attention", since="ios18")
def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None
) -> Tensor:
    """`softmax(query @ key.T / sqrt(E) + mask) @ value`; a boolean mask says what takes part."""
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask)
