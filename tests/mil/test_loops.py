"""A GRU of torch's, which coremltools writes as a loop, against torch: at once, step by step, and rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.mil.builder import ct
from tests.mil.convert import load_converted, quiet
from tinysam_mobile.mil import MilModel, trace


class _Gru(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.GRU(4, 6, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def case() -> tuple[MilModel, np.ndarray, np.ndarray]:
    """The converted layer, an input, and what torch makes of it."""
    torch.manual_seed(0)
    module, x = _Gru().eval(), torch.randn(7, 3, 4)
    with quiet():
        traced = torch.jit.trace(module, x)
    (model,) = load_converted(
        traced, "fp32", inputs=[ct.TensorType(name="x", shape=tuple(x.shape))],
        minimum_deployment_target=ct.target.iOS15, compute_precision=ct.precision.FLOAT32,
    )  # fmt: skip
    with torch.no_grad():
        return model, x.numpy(), module(x).numpy()


def _loops(model: MilModel) -> list[Any]:
    return [step for step in model.executable().steps if step.op_type == "while_loop"]


def test_the_loop_is_recognised_and_runs_at_once(case: tuple[MilModel, np.ndarray, np.ndarray]) -> None:
    model, x, expected = case
    loops = _loops(model)
    assert len(loops) == 2, "one for each direction"
    assert all(loop.shortcut is not None for loop in loops)
    (found,) = model.predict({"x": x}).values()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_whoever_watches_sees_every_step(case: tuple[MilModel, np.ndarray, np.ndarray]) -> None:
    model, x, expected = case
    rows = trace(model, {"x": x})
    assert sum(row.op_type == "tanh" for row in rows) == 2 * len(x)
    assert rows[-1].max_abs == pytest.approx(float(np.abs(expected).max()), rel=1e-5)


def test_what_the_pattern_does_not_mean_runs_as_it_stands(
    case: tuple[MilModel, np.ndarray, np.ndarray],
) -> None:
    """A list that is not zero at first is added to: the shortcut steps back."""
    model, x, _ = case
    shortcut = _loops(model)[0].shortcut
    values: list[Any] = [torch.from_numpy(x)] * len(model.plan.values)
    hidden = torch.ones(len(x) + 1, 3, 6)
    assert shortcut(values, [torch.zeros(1, dtype=torch.int32), hidden]) is None
    assert shortcut(values, [torch.ones(1, dtype=torch.int32), torch.zeros_like(hidden)]) is None
