"""Recurrent layers, control flow, lists, states, random numbers and classifiers of the MIL interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.mil.builder import Const, Program, run, set_tensor
from tinysam_mobile.errors import MilError

S, B, N, H = 4, 2, 3, 5  # sequence, batch, inputs, hidden


def _torch_lstm(bidirectional: bool) -> torch.nn.LSTM:
    torch.manual_seed(0)
    return torch.nn.LSTM(N, H, bidirectional=bidirectional)


def _gates(tensor: torch.Tensor) -> np.ndarray:
    """torch's input, forget, cell, output in MIL's order: input, forget, output, cell."""
    i, f, g, o = tensor.detach().chunk(4)
    return torch.cat((i, f, o, g)).numpy()


def _lstm_weights(layer: torch.nn.LSTM, suffix: str, tail: str) -> dict[str, Const]:
    ih, hh = getattr(layer, f"weight_ih_l0{suffix}"), getattr(layer, f"weight_hh_l0{suffix}")
    bias = getattr(layer, f"bias_ih_l0{suffix}") + getattr(layer, f"bias_hh_l0{suffix}")
    return {
        f"weight_ih{tail}": Const(_gates(ih)), f"weight_hh{tail}": Const(_gates(hh)),
        f"bias{tail}": Const(_gates(bias)),
    }  # fmt: skip


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("sequence", [True, False])
def test_lstm_is_torchs(direction: str, sequence: bool) -> None:
    both = direction == "bidirectional"
    layer = _torch_lstm(both)
    x = torch.randn(S, B, N)
    width = 2 if both else 1
    h, c = torch.randn(width, B, H), torch.randn(width, B, H)
    with torch.no_grad():
        out, (last_h, last_c) = layer(x.flip(0) if direction == "reverse" else x, (h, c))
    weights = _lstm_weights(layer, "", "")
    if both:
        weights |= _lstm_weights(layer, "_reverse", "_back")
    result = run(
        "lstm", outputs=3, x=x.numpy(), initial_h=h.transpose(0, 1).reshape(B, -1).numpy(),
        initial_c=c.transpose(0, 1).reshape(B, -1).numpy(), direction=direction,
        output_sequence=sequence, **weights,
    )  # fmt: skip
    final_h = last_h.transpose(0, 1).reshape(B, -1).numpy()
    expected = out.numpy() if sequence else final_h[None]
    np.testing.assert_allclose(result[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result[1], final_h, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result[2], last_c.transpose(0, 1).reshape(B, -1).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_rnn_is_torchs(direction: str) -> None:
    torch.manual_seed(0)
    layer = torch.nn.RNN(N, H)
    x, h = torch.randn(S, B, N), torch.randn(1, B, H)
    with torch.no_grad():
        out, last = layer(x.flip(0) if direction == "reverse" else x, h)
    result = run(
        "rnn", outputs=2, x=x.numpy(), initial_h=h[0].numpy(), output_sequence=True,
        weight_ih=Const(layer.weight_ih_l0.detach().numpy()), direction=direction,
        weight_hh=Const(layer.weight_hh_l0.detach().numpy()),
        bias=Const((layer.bias_ih_l0 + layer.bias_hh_l0).detach().numpy()),
    )  # fmt: skip
    np.testing.assert_allclose(result[0], out.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result[1], last[0].numpy(), rtol=1e-4, atol=1e-5)


def test_gru_with_reset_after_is_torchs() -> None:
    torch.manual_seed(0)
    layer = torch.nn.GRU(N, H)
    x, h = torch.randn(S, B, N), torch.randn(1, B, H)
    with torch.no_grad():
        out, last = layer(x, h)

    def order(tensor: torch.Tensor) -> Const:
        r, z, n = tensor.detach().chunk(3)
        return Const(torch.cat((r, n, z)).numpy())

    result = run(
        "gru", opset="ios18", outputs=2, x=x.numpy(), initial_h=h[0].numpy(),
        weight_ih=order(layer.weight_ih_l0), weight_hh=order(layer.weight_hh_l0),
        bias=order(layer.bias_hh_l0),
        input_bias=order(layer.bias_ih_l0),
        reset_after=True, output_sequence=True,
    )  # fmt: skip
    np.testing.assert_allclose(result[0], out.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result[1], last[0].numpy(), rtol=1e-4, atol=1e-5)


def test_gru_resets_before_the_product_by_default() -> None:
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(1, 1, N)).astype(np.float32), rng.normal(size=(1, H)).astype(np.float32)
    ih, hh = rng.normal(size=(3 * H, N)).astype(np.float32), rng.normal(size=(3 * H, H)).astype(np.float32)

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    i_r, i_o, i_z = np.split(ih @ x[0, 0], 3)
    w_r, w_o, w_z = np.split(hh, 3)
    r, z = sigmoid(i_r + w_r @ h[0]), sigmoid(i_z + w_z @ h[0])
    expected = (1 - z) * np.tanh(i_o + w_o @ (r * h[0])) + z * h[0]
    result = run("gru", outputs=2, x=x, initial_h=h, weight_ih=Const(ih), weight_hh=Const(hh))
    np.testing.assert_allclose(result[1][0], expected, rtol=1e-4, atol=1e-5)


def _conditional(pick: float) -> tuple[np.ndarray, ...]:
    """x + y if the input says so, else x - y with y made outside; y is used by both branches only."""
    program = Program()
    program.add_input("pick", np.array([pick], np.float32))
    program.add_input("x", np.arange(3, dtype=np.float32))
    program.add_op("cast", {"x": "%pick", "dtype": "bool"}, ("flag",), 1)
    program.add_op("squeeze", {"x": "%flag"}, ("scalar",), 1)
    program.add_op("mul", {"x": "%x", "y": 10.0}, ("y",))
    operation = program.add_op("cond", {"pred": "%scalar"}, ("out",))
    for op_type in ("add", "sub"):
        inner = operation.blocks.add(outputs=["inner"])
        branch = Program()
        branch.block = inner
        branch.add_op(op_type, {"x": "%x", "y": "%y"}, ("inner",))
    program.returns("out")
    return program.run()


def test_cond_runs_one_branch() -> None:
    np.testing.assert_array_equal(_conditional(1.0)[0], [0, 11, 22])
    np.testing.assert_array_equal(_conditional(0.0)[0], [0, -9, -18])


def _loop(limit: float) -> Program:
    """while i < limit: i, total = i + 1, total + step, with `step` from outside."""
    program = Program()
    program.add_input("x", np.array([2.0, 3.0], np.float32))
    program.add_op("mul", {"x": "%x", "y": 2.0}, ("step",))
    operation = program.add_op("while_loop", {"loop_vars": (0.0, "%x")}, ("i_out", "total_out"))
    for outputs, ops in (
        (["go"], [("less", {"x": "%i", "y": limit}, "go", 1)]),
        (
            ["next", "sum"],
            [("add", {"x": "%i", "y": 1.0}, "next", 11), ("add", {"x": "%total", "y": "%step"}, "sum", 11)],
        ),
    ):
        block = operation.blocks.add(outputs=outputs)
        for name in ("i", "total"):
            named = block.inputs.add(name=name)
            named.type.tensorType.dataType = 11
        inner = Program()
        inner.block = block
        for op_type, arguments, output, dtype in ops:
            inner.add_op(op_type, arguments, (output,), dtype)
    program.returns("i_out", "total_out")
    return program


@pytest.mark.parametrize("limit", [0, 1, 5])
def test_while_loop(limit: int) -> None:
    count, total = _loop(float(limit)).run()
    assert count.tolist() == [limit]
    np.testing.assert_array_equal(total, np.array([2, 3]) * (1 + 2 * limit))
    program = _loop(float(limit)).load()
    again = [program.predict({"x": np.array([2.0, 3.0], np.float32)})["total_out"] for _ in range(2)]
    np.testing.assert_array_equal(again[0], again[1])


def test_lists() -> None:
    program = Program()
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    program.add_input("x", x)
    program.add_op(
        "make_list", {"init_length": 1, "dynamic_length": True, "elem_shape": (2,), "dtype": "fp32"}, ("ls",)
    )
    program.add_op(
        "list_scatter",
        {"ls": "%ls", "indices": Const(np.array([2, 0, 1], np.int32)), "value": "%x"},
        ("full",),
    )
    program.add_op(
        "list_write",
        {"ls": "%full", "index": Const(np.int32(1)), "value": Const(np.array([9, 9], np.float32))},
        ("written",),
    )
    program.add_op("list_read", {"ls": "%written", "index": Const(np.int32(1))}, ("one",))
    program.add_op("list_gather", {"ls": "%written", "indices": Const(np.array([0, 2], np.int32))}, ("some",))
    program.add_op("list_length", {"ls": "%written"}, ("length",), 23)
    program.returns("one", "some", "length")
    one, some, length = program.run()
    np.testing.assert_array_equal(one, [9, 9])
    np.testing.assert_array_equal(some, [x[1], x[0]])
    assert length.tolist() == [3]


def _counter(*, update: bool = False) -> Program:
    """A state to which each prediction adds x; returns the new state, `update` from the op that sets it."""
    program = Program("ios18")
    named = program.function.inputs.add(name="acc")
    kind = named.type.stateType.wrappedType.tensorType
    kind.dataType, kind.rank = 10, 1
    kind.dimensions.add().constant.size = 2
    state = program.spec.description.state.add(name="acc")
    state.type.stateType.arrayType.shape.append(2)
    state.type.stateType.arrayType.dataType = 65552
    program.add_input("x", np.array([1.0, 2.0], np.float32))
    program.add_op("read_state", {"input": "%acc"}, ("old",), 10)
    program.add_op("add", {"x": "%old", "y": "%x"}, ("new",))
    if update:
        program.add_op("coreml_update_state", {"state": "%acc", "value": "%new"}, ("stored",), 10)
    else:
        program.add_op("write_state", {"input": "%acc", "data": "%new"}, ())
    program.returns("stored" if update else "new")
    return program


def test_states_last_as_long_as_their_state_object() -> None:
    model = _counter().load()
    x = np.array([1.0, 2.0], np.float32)
    first, second = model.make_state(), model.make_state()
    for count in (1, 2, 3):
        np.testing.assert_array_equal(model.predict({"x": x}, first)["new"], count * x)
    np.testing.assert_array_equal(model.predict({"x": x}, second)["new"], x)
    np.testing.assert_array_equal(first.read_state("acc"), 3 * x)
    first.write_state("acc", np.array([10.0, 10.0]))
    np.testing.assert_array_equal(model.predict({"x": x}, first)["new"], [11, 12])


def test_update_state_stores_and_returns_the_new_value() -> None:
    model = _counter(update=True).load()
    x = np.array([1.0, 2.0], np.float32)
    state = model.make_state()
    for count in (1, 2):
        np.testing.assert_array_equal(model.predict({"x": x}, state)["stored"], count * x)
        np.testing.assert_array_equal(state.read_state("acc"), count * x)


def test_state_errors() -> None:
    model = _counter().load()
    x = {"x": np.ones(2, np.float32)}
    with pytest.raises(MilError, match="make_state"):
        model.predict(x)
    state = model.make_state()
    with pytest.raises(MilError, match="no state 'other'"):
        state.read_state("other")
    with pytest.raises(MilError, match="shape"):
        state.write_state("acc", np.zeros(3))
    with pytest.raises(MilError, match="one prediction at a time"):
        model.predict([x], state)


RANDOM: list[tuple[str, dict[str, Any], float, float]] = [
    ("random_uniform", {"low": 2.0, "high": 4.0}, 3.0, 2 / 12**0.5),
    ("random_normal", {"mean": -1.0, "stddev": 2.0}, -1.0, 2.0),
    ("random_bernoulli", {"prob": 0.25}, 0.25, (0.25 * 0.75) ** 0.5),
]


@pytest.mark.parametrize(("name", "arguments", "mean", "deviation"), RANDOM)
def test_random_moments_and_seeds(
    name: str, arguments: dict[str, Any], mean: float, deviation: float
) -> None:
    shape = Const(np.array([100, 100], np.int32))
    values = run(name, shape=shape, seed=7, **arguments)
    # Five standard errors of the mean of 10,000, and of their deviation (kurtosis below 3).
    assert abs(values.mean() - mean) < 5 * deviation / 100
    assert abs(values.std() - deviation) < 5 * deviation / 100
    np.testing.assert_array_equal(values, run(name, shape=shape, seed=7, **arguments))
    assert (values != run(name, shape=shape, seed=8, **arguments)).any()


def test_random_categorical() -> None:
    drawn = run(
        "random_categorical", x=np.log(np.array([[0.7, 0.3, 0.0 + 1e-30]], np.float32)), size=1000, seed=1
    )
    assert drawn.shape == (1, 1000)
    assert abs((drawn == 0).mean() - 0.7) < 5 * (0.21 / 1000) ** 0.5
    assert not (drawn == 2).any()


@pytest.mark.parametrize("labels", [["cat", "dog", "eel"], [10, 20, 30]])
def test_classify(labels: list[Any]) -> None:
    program = Program()
    program.add_input("p", np.array([0.2, 0.5, 0.3], np.float32))
    operation = program.add_op("classify", {"probabilities": "%p"}, ("label", "table"))
    value = operation.inputs["classes"].arguments.add().value
    value.type.listType.length.constant.size = 3
    for label in labels:
        item = value.immediateValue.list.values.add()
        if isinstance(label, str):
            item.type.tensorType.dataType = 2
            item.immediateValue.tensor.strings.values.append(label)
        else:
            set_tensor(item, np.array(label, np.int64))
    program.block.outputs.extend(["label", "table"])
    program.spec.description.output.add(name="label").type.stringType.SetInParent()
    program.spec.description.output.add(name="table").type.dictionaryType.SetInParent()
    label, table = program.run()
    assert label == labels[1]
    assert table == pytest.approx(dict(zip(labels, [0.2, 0.5, 0.3], strict=True)))
