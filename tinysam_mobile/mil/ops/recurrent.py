"""Recurrent layers.

Source: coremltools, `mil/ops/defs/iOS15/recurrent.py`, `iOS17/recurrent.py`, `iOS18/recurrent.py`.
x is (sequence, batch, inputs).  A reverse layer returns its steps in the order in which it made
them; a bidirectional one in the order of the input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from tinysam_mobile.mil.ops.activation import recurrent_activation
from tinysam_mobile.mil.registry import Tensor, mil_op

__all__: list[str] = []

_Activation = Callable[[Tensor], Tensor]


def _ordered(x: Tensor, direction: str) -> Tensor:
    if direction not in ("forward", "reverse"):
        raise ValueError(f"unknown direction {direction!r}")
    return x.flip(0) if direction == "reverse" else x


def _steps(hidden: list[Tensor], output_sequence: bool) -> Tensor:
    return torch.stack(hidden if output_sequence else hidden[-1:])


@mil_op("rnn")
def rnn(
    x: Tensor,
    initial_h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    activation: str = "tanh",
) -> tuple[Tensor, Tensor]:
    """`h = activation(W_ih x + W_hh h + b)`: every (or the last) h, and the last h."""
    act = recurrent_activation(activation)
    h, hidden = initial_h, []
    for step in functional.linear(_ordered(x, direction), weight_ih, bias):
        h = act(step + functional.linear(h, weight_hh))
        hidden.append(h)
    return _steps(hidden, output_sequence), h


def _gru(
    x: Tensor,
    h: Tensor,
    weights: tuple[Tensor, Tensor],
    biases: tuple[Tensor | None, Tensor | None],
    acts: tuple[_Activation, _Activation],
    reset_after: bool,
) -> list[Tensor]:
    """Hidden states of each step.  Gates are in the order reset, output, update."""
    weight_ih, weight_hh = weights
    input_bias, bias = biases
    gate_act, out_act = acts
    size = h.shape[1]
    b_r, b_o, b_z = (bias if bias is not None else x.new_zeros(3 * size)).chunk(3)
    w_r, w_o, w_z = weight_hh.chunk(3)
    hidden = []
    for step in functional.linear(x, weight_ih, input_bias):
        i_r, i_o, i_z = step.chunk(3, dim=1)
        r = gate_act(i_r + functional.linear(h, w_r, b_r))
        z = gate_act(i_z + functional.linear(h, w_z, b_z))
        if reset_after:
            o = out_act(i_o + r * functional.linear(h, w_o, b_o))
        else:
            o = out_act(i_o + functional.linear(r * h, w_o, b_o))
        h = (1 - z) * o + z * h
        hidden.append(h)
    return hidden


@mil_op("gru")
def gru(
    x: Tensor,
    initial_h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    reset_after: bool = False,
    input_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Gated recurrent unit: every (or the last) h, and the last h.

    The reset gate multiplies h before its matrix, or after it (with its bias) when `reset_after`.
    """
    acts = (_activation(recurrent_activation), _activation(activation))
    biases = (input_bias, bias)
    hidden = _gru(_ordered(x, direction), initial_h, (weight_ih, weight_hh), biases, acts, reset_after)
    return _steps(hidden, output_sequence), hidden[-1]


# `gru` and `lstm` have parameters of the function's own name.
_activation = recurrent_activation


@dataclass(frozen=True, kw_only=True)
class _Lstm:
    """Weights of one direction; gates are in the order input, forget, output, cell."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor | None
    peephole: Tensor | None
    gate_act: _Activation
    cell_act: _Activation
    out_act: _Activation
    clip: float | None

    def run(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[list[Tensor], Tensor]:
        """Hidden states of each step, and the last cell state."""
        size = h.shape[1]
        peephole = self.peephole if self.peephole is not None else x.new_zeros(3 * size)
        p_i, p_f, p_o = peephole.chunk(3)
        hidden = []
        for step in functional.linear(x, self.weight_ih, self.bias):
            i, f, o, z = (step + functional.linear(h, self.weight_hh)).chunk(4, dim=1)
            i, f, z = self.gate_act(i + p_i * c), self.gate_act(f + p_f * c), self.cell_act(z)
            c = f * c + i * z
            if self.clip is not None:
                c = c.clamp(-self.clip, self.clip)
            h = self.gate_act(o + p_o * c) * self.out_act(c)
            hidden.append(h)
        return hidden, c


@mil_op("lstm")
def lstm(
    x: Tensor,
    initial_h: Tensor,
    initial_c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    peephole: Tensor | None = None,
    weight_ih_back: Tensor | None = None,
    weight_hh_back: Tensor | None = None,
    bias_back: Tensor | None = None,
    peephole_back: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
    clip: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Long short-term memory: every (or the last) h, the last h, the last c."""
    forward = _Lstm(
        weight_ih=weight_ih, weight_hh=weight_hh, bias=bias, peephole=peephole, clip=clip,
        gate_act=_activation(recurrent_activation), cell_act=_activation(cell_activation),
        out_act=_activation(activation),
    )  # fmt: skip
    if direction != "bidirectional":
        hidden, c = forward.run(_ordered(x, direction), initial_h, initial_c)
        return _steps(hidden, output_sequence), hidden[-1], c
    if weight_ih_back is None or weight_hh_back is None:
        raise ValueError("a bidirectional lstm needs weight_ih_back and weight_hh_back")
    backward = _Lstm(
        weight_ih=weight_ih_back, weight_hh=weight_hh_back, bias=bias_back, peephole=peephole_back,
        clip=clip, gate_act=forward.gate_act, cell_act=forward.cell_act, out_act=forward.out_act,
    )  # fmt: skip
    return _both_ways(forward, backward, x, initial_h, initial_c, output_sequence)


def _both_ways(
    forward: _Lstm, backward: _Lstm, x: Tensor, h: Tensor, c: Tensor, output_sequence: bool
) -> tuple[Tensor, Tensor, Tensor]:
    h_there, h_back = h.chunk(2, dim=1)
    c_there, c_back = c.chunk(2, dim=1)
    there, c_there = forward.run(x, h_there, c_there)
    back, c_back = backward.run(x.flip(0), h_back, c_back)
    last_h = torch.cat((there[-1], back[-1]), dim=1)
    last_c = torch.cat((c_there, c_back), dim=1)
    if not output_sequence:
        return last_h.unsqueeze(0), last_h, last_c
    return torch.cat((torch.stack(there), torch.stack(back[::-1])), dim=2), last_h, last_c
