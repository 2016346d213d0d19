"""Recurrent layers.

Source: coremltools, `mil/ops/defs/iOS15/recurrent.py`, `iOS17/recurrent.py`, `iOS18/recurrent.py`.
x is (sequence, batch, inputs).  A reverse layer returns its steps in the order in which it made
them; a bidirectional one in the order of the input.  Layers with the usual activations run on torch's
own kernels, the others step by step.
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


def _for_batch(state: Tensor, x: Tensor) -> Tensor:
    """The initial state (batch, hidden) of the rows of x.

    coremltools hands the state of a whole batch to a layer over one of its sequences, or one row to all; the
    first rows count, and one row is repeated.
    """
    batch = x.shape[1]
    if state.shape[0] == batch:
        return state
    return state.expand(batch, -1) if state.shape[0] == 1 else state[:batch]


def _in_order(weights: Tensor, order: tuple[int, ...]) -> Tensor:
    """The gates' rows (or elements of a bias) in another order."""
    parts = weights.chunk(len(order))
    return torch.cat([parts[i] for i in order])


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
    h, hidden = _for_batch(initial_h, x), []
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
    x, h = _ordered(x, direction), _for_batch(initial_h, x)
    weights, biases = (weight_ih, weight_hh), (input_bias, bias)
    if reset_after and (recurrent_activation.lower(), activation.lower()) == ("sigmoid", "tanh"):
        out, last = _torch_gru(x, h, weights, biases)
        return (out if output_sequence else out[-1:]), last
    acts = (_activation(recurrent_activation), _activation(activation))
    hidden = _gru(x, h, weights, biases, acts, reset_after)
    return _steps(hidden, output_sequence), hidden[-1]


def _torch_gru(
    x: Tensor, h: Tensor, weights: tuple[Tensor, Tensor], biases: tuple[Tensor | None, Tensor | None]
) -> tuple[Tensor, Tensor]:
    """torch's kernel, whose gates are in the order reset, update, output."""
    rows = [_in_order(weight, (0, 2, 1)) for weight in weights]
    for bias in biases:
        rows.append(x.new_zeros(rows[0].shape[0]) if bias is None else _in_order(bias, (0, 2, 1)))
    out, last = torch.gru(x, h[None].contiguous(), rows, True, 1, 0.0, False, False, False)
    return out, last[0]


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

    def run(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states of each step (sequence, batch, hidden), the last of them, and the last cell state."""
        if self.is_usual:
            return self._run_in_torch(x, h, c)
        hidden, c = self._run_step_by_step(x, h, c)
        return torch.stack(hidden), hidden[-1], c

    @property
    def is_usual(self) -> bool:
        """Whether torch has a kernel for it."""
        acts = (self.gate_act, self.cell_act, self.out_act)
        return self.peephole is None and self.clip is None and acts == (torch.sigmoid, torch.tanh, torch.tanh)

    def _run_in_torch(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """torch's kernel, whose gates are in the order input, forget, cell, output."""
        rows = [_in_order(weight, (0, 1, 3, 2)) for weight in (self.weight_ih, self.weight_hh)]
        if self.bias is not None:
            bias = _in_order(self.bias, (0, 1, 3, 2))
            rows += [bias, torch.zeros_like(bias)]
        state = (h[None].contiguous(), c[None].contiguous())
        out, h, c = torch.lstm(x, state, rows, self.bias is not None, 1, 0.0, False, False, False)
        return out, h[0], c[0]

    def _run_step_by_step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[list[Tensor], Tensor]:
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
    h, c = _for_batch(initial_h, x), _for_batch(initial_c, x)
    if direction != "bidirectional":
        hidden, h, c = forward.run(_ordered(x, direction), h, c)
        return (hidden if output_sequence else hidden[-1:]), h, c
    if weight_ih_back is None or weight_hh_back is None:
        raise ValueError("a bidirectional lstm needs weight_ih_back and weight_hh_back")
    backward = _Lstm(
        weight_ih=weight_ih_back, weight_hh=weight_hh_back, bias=bias_back, peephole=peephole_back,
        clip=clip, gate_act=forward.gate_act, cell_act=forward.cell_act, out_act=forward.out_act,
    )  # fmt: skip
    return _both_ways(forward, backward, x, h, c, output_sequence)


def _both_ways(
    forward: _Lstm, backward: _Lstm, x: Tensor, h: Tensor, c: Tensor, output_sequence: bool
) -> tuple[Tensor, Tensor, Tensor]:
    h_there, h_back = h.chunk(2, dim=1)
    c_there, c_back = c.chunk(2, dim=1)
    there, h_there, c_there = forward.run(x, h_there, c_there)
    back, h_back, c_back = backward.run(x.flip(0), h_back, c_back)
    last_h, last_c = torch.cat((h_there, h_back), dim=1), torch.cat((c_there, c_back), dim=1)
    if not output_sequence:
        return last_h.unsqueeze(0), last_h, last_c
    return torch.cat((there, back.flip(0)), dim=2), last_h, last_c
