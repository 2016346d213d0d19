"""Faults that were found once, each kept from coming back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.mil.builder import TYPES, Const, Program, run
from tests.mil.hostile import attack, attack_text, base_programs
from tinysam_mobile.errors import MilError
from tinysam_mobile.mil import Limits, binding
from tinysam_mobile.mil.ops import detection


def test_suppression_looks_for_no_more_boxes_than_it_may_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without overlap all survive; only max_boxes of each class need be found."""
    looked: list[int] = []
    original = detection._iou_with

    def counted(box: Any, boxes: Any) -> Any:
        looked.append(len(boxes))
        return original(box, boxes)

    monkeypatch.setattr(detection, "_iou_with", counted)
    count, classes, kept = 100, 4, 5
    boxes = np.stack([np.arange(count) * 10, np.zeros(count), np.ones(count), np.ones(count)], -1)
    scores = np.random.default_rng(0).random((1, count, classes)).astype(np.float32)
    result = run(
        "non_maximum_suppression", opset="ios16", outputs=4, boxes=boxes[None].astype(np.float32),
        scores=scores, iou_threshold=0.5, score_threshold=0.0, max_boxes=kept, per_class_suppression=True,
    )  # fmt: skip
    assert len(looked) == classes * kept
    best = np.sort(scores[0].max(1))[::-1][:kept]
    np.testing.assert_allclose(result[1][0].max(1), best)


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_lstm_takes_a_state_of_another_batch(rows: int) -> None:
    """As for packed sequences: one row for all, or the rows of a larger batch."""
    torch.manual_seed(0)
    layer = torch.nn.LSTM(4, 5)
    x, h, c = torch.randn(6, 3, 4), torch.randn(rows, 5), torch.randn(rows, 5)
    start = [s.expand(3, -1) if rows == 1 else s[:3] for s in (h, c)]
    with torch.no_grad():
        out, _ = layer(x, (start[0][None].contiguous(), start[1][None].contiguous()))

    def gates(tensor: torch.Tensor) -> Const:
        i, f, g, o = tensor.detach().chunk(4)
        return Const(torch.cat((i, f, o, g)).numpy())

    result = run(
        "lstm", outputs=3, x=x.numpy(), initial_h=h.numpy(), initial_c=c.numpy(),
        weight_ih=gates(layer.weight_ih_l0), weight_hh=gates(layer.weight_hh_l0),
        bias=gates(layer.bias_ih_l0 + layer.bias_hh_l0), direction="forward", output_sequence=True,
    )  # fmt: skip
    np.testing.assert_allclose(result[0], out.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32"])
def test_gather_nd_takes_narrow_indices(dtype: str) -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    indices = np.array([[1, 2], [0, 1]], dtype)
    result = run("gather_nd", opset="ios17", x=x, indices=Const(indices))
    np.testing.assert_array_equal(result, x[indices[:, 0], indices[:, 1]])


def test_results_are_compared_with_what_the_program_declares() -> None:
    x = np.ones((2, 3), np.float32)
    program = Program("ios17")
    program.add_input("x", x)
    program.add_op("stack", {"values": ("%x", "%x"), "axis": 0}, ("y",), 11, (2, 2, 4))
    program.returns("y")
    with pytest.raises(MilError, match=r"gives the shape \(2, 2, 3\), but the program declares \(2, 2, 4\)"):
        program.run()
    program = Program("ios17")
    program.add_input("x", x)
    program.add_op("greater", {"x": "%x", "y": 0.0}, ("y",), 11, (2, 3))
    program.returns("y")
    with pytest.raises(MilError, match="gives bool, but the program declares float32"):
        program.run()


@pytest.mark.parametrize("declared", ["int32", "float32"])
def test_a_product_of_a_float_and_an_integer_has_the_declared_type(declared: str) -> None:
    """As coremltools' iOS 17 matmul infers: that of the operand that is no constant."""
    x = np.arange(6, dtype=declared).reshape(2, 3)
    other = np.float32([[1.5], [2], [4]]) if declared == "int32" else np.int32([[1], [2], [4]])
    program = Program("ios17")
    program.add_input("x", x)
    program.add_op("matmul", {"x": "%x", "y": Const(other)}, ("y",), dtype=TYPES[declared], shape=(2, 1))
    program.returns("y")
    result = program.load().predict(program.data)["y"]
    assert result.dtype == np.dtype(declared)
    np.testing.assert_array_equal(result, np.matmul(x, other).astype(declared))


def test_compressed_weights_are_expanded_when_they_are_needed() -> None:
    """Binding makes no float of them; the first prediction does, and keeps it."""
    program = Program("ios18")
    program.add_input("x", np.ones((1, 64), np.float32))
    codes = np.random.default_rng(0).integers(0, 16, (64, 64)).astype(np.uint8)
    table = np.random.default_rng(1).normal(size=(1, 1, 16, 1)).astype(np.float32)
    lut = {"indices": Const(codes, "uint4"), "lut": Const(table)}
    program.add_op("constexpr_lut_to_dense", lut, ("w",), 11, (64, 64))
    program.add_op("linear", {"x": "%x", "weight": "%w"}, ("y",), 11, (1, 64))
    program.returns("y")
    model = program.load()
    (step,) = model.executable().steps
    lazy = next(cell.cell_contents.lazy[0][1] for cell in _cells(step.call) if _has_lazy(cell))
    assert isinstance(lazy, binding.Lazy)
    assert lazy._value is None
    expected = table[0, 0, codes, 0].sum(1, dtype=np.float64)
    np.testing.assert_allclose(model.predict(program.data)["y"][0], expected, rtol=1e-4, atol=1e-4)
    assert lazy._value is not None


def _cells(call: Any) -> list[Any]:
    return list(call.__closure__ or ())


def _has_lazy(cell: Any) -> bool:
    return bool(getattr(cell.cell_contents, "lazy", None))


def _endless() -> Program:
    program = next(p for p in base_programs() if p.block.operations[0].type == "while_loop")
    test = program.block.operations[0].blocks[0].operations[0]
    test.inputs["y"].arguments[0].value.immediateValue.tensor.floats.values[0] = np.inf
    return program


def test_a_loop_without_end_is_an_error() -> None:
    with pytest.raises(MilError, match=r"did not end within 0\.05 seconds"):
        _endless().run(limits=Limits(loop_s=0.05))


@pytest.mark.parametrize(
    ("op_type", "arguments"),
    [
        ("fill", {"shape": np.int32([100000, 100000]), "value": 1.0}),
        ("tile", {"x": "%x", "reps": np.int32([100000, 100000])}),
        ("range_1d", {"start": 0.0, "end": 1e12, "step": 1.0}),
        ("one_hot", {"indices": np.int32([1]), "one_hot_vector_size": 2**31 - 1}),
        ("pad", {"x": "%x", "pad": np.int32([0, 0, 0, 2**30]), "mode": "constant", "constant_val": 0.0}),
        ("upsample_nearest_neighbor",
         {"x": "%x", "scale_factor_height": 1e6, "scale_factor_width": 1e6}),
        ("resize_bilinear", {"x": "%x", "target_size_height": 10**6, "target_size_width": 10**6}),
        ("random_normal", {"shape": np.int32([100000, 100000])}),
        ("make_list", {"init_length": 2**31 - 1, "elem_shape": (np.int32(2),), "dtype": "fp32"}),
    ],
)  # fmt: skip
def test_sizes_are_bounded_before_anything_is_made(op_type: str, arguments: dict[str, Any]) -> None:
    program = Program("ios17")
    program.add_input("x", np.ones((2, 3), np.float32))
    program.add_op(op_type, arguments, ("y",))
    program.returns("y")
    with pytest.raises(MilError, match=f"op 'y' \\({op_type}\\) failed: it would make .* elements"):
        program.run()


def test_what_a_program_keeps_is_bounded() -> None:
    program = Program("ios17")
    program.add_input("x", np.ones(1, np.float32))
    names = [f"y{i}" for i in range(8)]
    for name in names:
        program.add_op("fill", {"shape": Const(np.int32([1 << 21])), "value": "%x"}, (name,), 11, (1 << 21,))
    program.returns(*names)
    with pytest.raises(MilError, match=r"keeps 0\.0 GiB, more than the 0\.0 that it may"):
        program.run(limits=Limits(memory_bytes=32 << 20))
    assert len(program.run(limits=Limits(memory_bytes=128 << 20))) == 8


@pytest.mark.parametrize("seed", range(0, 150, 10))
def test_hostile_packages_end_in_one_line(seed: int, tmp_path: Any) -> None:
    for number in range(seed, seed + 10):
        outcome, message = attack(number, tmp_path / str(number))
        assert outcome in ("refused", "ran"), f"{number}: {message}"
        assert "\n" not in message


def test_hostile_text_ends_in_one_line(tmp_path: Any) -> None:
    for number in range(100):
        outcome, message = attack_text(number, tmp_path / str(number))
        assert outcome in ("refused", "ran"), f"{number}: {message}"
        assert "\n" not in message


@pytest.mark.slow
def test_five_thousand_hostile_packages(tmp_path: Any) -> None:
    outcomes = [attack(number, tmp_path) for number in range(5000)]
    assert not [message for outcome, message in outcomes if outcome == "fault"]
