"""More ops for random programs, as `fuzz_ops` has them: activations, norms, sorting, bands, gathers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.mil.fuzz_drawing import Drawer, Drawn
from tests.mil.fuzz_ops import _reduce, _sigmoid

__all__ = ["MORE_MAKERS"]


def _with_numbers(op_type: str, function: Any, **numbers: float) -> Callable[[Drawer], Drawn]:
    """An activation with fixed parameters, computed in float64."""

    def make(draw: Drawer) -> Drawn:
        x = draw.value("f", rank=1)
        expected = np.asarray(function(x.array.astype(np.float64), **numbers)).astype(np.float32)
        return Drawn(op_type=op_type, arguments={"x": x, **numbers}, expected=(expected,))

    return make


def _gelu(draw: Drawer) -> Drawn:
    x = draw.value("f", rank=1)
    mode = draw.pick(["EXACT", "TANH_APPROXIMATION"])
    approximate = "none" if mode == "EXACT" else "tanh"
    wide = torch.from_numpy(x.array.astype(np.float64))
    expected = torch.nn.functional.gelu(wide, approximate=approximate).numpy().astype(np.float32)
    return Drawn(op_type="gelu", arguments={"x": x, "mode": mode}, expected=(expected,))


def _argsort(draw: Drawer) -> Drawn:
    x = draw.value("f", rank=1, where=lambda a: a.size > 0 and not bool(np.isnan(a).any()))
    axis, ascending = draw.axis(x.array), draw.flag()
    order = np.argsort(x.array if ascending else -x.array, axis=axis, kind="stable").astype(np.int32)
    return Drawn(
        op_type="argsort", arguments={"x": x, "axis": axis, "ascending": ascending}, expected=(order,)
    )


def _along_axis(draw: Drawer) -> Drawn:
    x = draw.value(rank=1, where=lambda a: a.size > 0)
    axis = draw.axis(x.array)
    shape = list(x.array.shape)
    shape[axis] = draw.integer(1, 3)
    rng = np.random.default_rng(draw.integer(0, 99))
    indices = rng.integers(0, x.array.shape[axis], shape).astype(np.int32)
    expected = np.take_along_axis(x.array, indices, axis)
    arguments = {"x": x, "indices": indices, "axis": axis}
    return Drawn(op_type="gather_along_axis", arguments=arguments, expected=(expected,))


def _by_size(draw: Drawer) -> Drawn:
    x = draw.value(rank=1, where=lambda a: a.size > 0)
    begin = [draw.integer(0, size - 1) for size in x.array.shape]
    counts = [draw.integer(1, size - b) for size, b in zip(x.array.shape, begin, strict=True)]
    given = [draw.pick([c, -1]) if b + c == s else c
             for s, b, c in zip(x.array.shape, begin, counts, strict=True)]  # fmt: skip
    part = x.array[tuple(slice(b, b + c) for b, c in zip(begin, counts, strict=True))]
    arguments = {"x": x, "begin": np.int32(begin), "size": np.int32(given)}
    return Drawn(op_type="slice_by_size", arguments=arguments, expected=(part,))


def _band(draw: Drawer) -> Drawn:
    x = draw.value("fi", rank=2)
    lower, upper = draw.integer(-1, 3), draw.integer(-1, 3)
    rows, columns = np.indices(x.array.shape[-2:])
    keep = ((lower < 0) | (rows - columns <= lower)) & ((upper < 0) | (columns - rows <= upper))
    expected = np.where(keep, x.array, np.zeros((), x.array.dtype))
    return Drawn(
        op_type="band_part", arguments={"x": x, "lower": lower, "upper": upper}, expected=(expected,)
    )


MORE_MAKERS: list[Callable[[Drawer], Drawn]] = [
    _with_numbers("elu", lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), alpha=0.75),
    _with_numbers("leaky_relu", lambda x, alpha: np.where(x >= 0, x, alpha * x), alpha=0.25),
    _with_numbers("thresholded_relu", lambda x, alpha: np.where(x >= alpha, x, 0), alpha=0.5),
    _with_numbers(
        "sigmoid_hard", lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1), alpha=0.25, beta=0.5
    ),
    _with_numbers("linear_activation", lambda x, alpha, beta: alpha * x + beta, alpha=0.25, beta=-1.5),
    _with_numbers("scaled_tanh", lambda x, alpha, beta: alpha * np.tanh(beta * x), alpha=1.5, beta=0.5),
    _with_numbers(
        "clamped_relu", lambda x, alpha, beta: np.minimum(beta, np.where(x >= 0, x, alpha * x)),
        alpha=0.25, beta=0.75,
    ),
    _with_numbers("relu6", lambda x: np.clip(x, 0, 6)),
    _with_numbers("softsign", lambda x: x / (1 + np.abs(x))),
    _with_numbers("silu", lambda x: x * _sigmoid(x)), _with_numbers("softplus", lambda x: np.logaddexp(x, 0)),
    _gelu, _argsort, _along_axis, _by_size, _band, _reduce("reduce_prod", np.prod, "f"),
    _reduce("reduce_l1_norm", lambda x, **k: np.sum(np.abs(x), **k), "fi"),
    _reduce("reduce_l2_norm", lambda x, **k: np.sqrt(np.sum(x * x, **k)), "f"),
    _reduce("reduce_sum_square", lambda x, **k: np.sum(x * x, **k), "fi"),
]  # fmt: skip
