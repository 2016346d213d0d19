"""Small graphs through the ExecuTorch converter: its rewriter, other backends, conversions that fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.converters.tester import (
    BOUNDS,
    HALF_DEPTH,
    check_nearness,
    inputs_of,
    request_of,
    run_torch,
    sqnr_db,
)
from tinysam_mobile.contract.spec import Component, Label, Signature, TensorSpec
from tinysam_mobile.converters.base import ConversionRequest
from tinysam_mobile.converters.executorch import BACKENDS, HALF_SCOPES, convert
from tinysam_mobile.converters.executorch_rewrite import MAX_FOLDED_BYTES, GraphRewriter
from tinysam_mobile.converters.executorch_rules import XNNPACK_RULES
from tinysam_mobile.errors import (
    ConversionError,
    RuntimeUnavailableError,
    UnknownNameError,
)
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.simulator.executorch import open_session

MIN_DB, MIN_HALF_DB = (BOUNDS["executorch", recipe].encoder_db for recipe in ("fp32", "fp16"))
MIN_HALF_SPARE_DB = 50.0


class Layers(nn.Module):
    """Every operation that has a rule, on (1, 4, 8) with a float32 head before the float16 part."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image_encoder = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16))
        for parameter in self.image_encoder.parameters():
            nn.init.uniform_(parameter, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        """(1, 4, 8) → (2, 4, 16)."""
        y: Tensor = self.image_encoder((x - 120.0) / 60)
        first, second = y.split(8, dim=-1)
        parts = torch.stack([p.squeeze(0) for p in y.unsqueeze(1).unbind(1)], dim=1).select(1, -1)
        z = torch.cat([second, first], -1).masked_fill(y > 2.0, 0.5) + parts.expand(2, 4, 16)
        z = torch.softmax(z.transpose(1, 2).contiguous().view(2, 16, -1), -1) @ torch.arange(16.0).view(4, 4)
        return (1 - z.flatten(1).t().t().reshape(2, 4, 16)).to(torch.float32)


class Tail(nn.Module):
    """A stand-in for a decoder that exports in no time."""

    def forward(self, image_embeddings: Tensor) -> Tensor:
        """(2, 4, 16) → the same."""
        return image_embeddings * 2


class Table(nn.Module):
    """A sum over all pairs of rows and columns, as a positional encoding is."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.rows = nn.Buffer(torch.arange(size, dtype=torch.float32).unsqueeze(1))
        self.columns = nn.Buffer(torch.arange(size, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rows.sin() * self.columns.cos()


class Unexportable(nn.Module):
    """A graph that depends on values."""

    def forward(self, image: Tensor) -> Tensor:
        """Fails under torch.export."""
        return image if image.sum() > 0 else -image


def rewritten(module: nn.Module, *scopes: str) -> tuple[Any, Tensor]:
    image = torch.rand(1, 4, 8) * 255
    program = torch.export.export(module, (image,))
    return GraphRewriter(program, XNNPACK_RULES, half_scopes=scopes).rewrite(), image


def test_rewriting_keeps_the_answer() -> None:
    module = Layers()
    graph, image = rewritten(module)
    with torch.inference_mode():
        assert sqnr_db(module(image).numpy(), graph(image)[0].numpy()) >= MIN_DB
    left = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert not {name for name in left for lacking in ("norm", "expand", "stack", "split") if lacking in name}


@pytest.mark.parametrize(("size", "is_stored"), [(64, True), (65, False)])
def test_only_small_tables_are_stored(size: int, is_stored: bool) -> None:
    x = torch.zeros(size, size)
    rewritten = GraphRewriter(torch.export.export(Table(size), (x,)), XNNPACK_RULES).rewrite()
    torch.testing.assert_close(rewritten(x)[0], Table(size)(x))
    largest = max(buffer.numel() * buffer.element_size() for buffer in rewritten.buffers())
    assert largest == (MAX_FOLDED_BYTES if is_stored else 4 * size)


def test_rewriting_to_half_precision() -> None:
    module = Layers()
    graph, image = rewritten(module, "image_encoder")
    with torch.inference_mode():
        out = graph(image)[0]
        assert sqnr_db(module(image).numpy(), out.numpy()) >= MIN_HALF_DB
    assert out.dtype == torch.float32
    halves = {node.meta["val"].dtype for node in graph.graph.nodes if "linear" in str(node.target)}
    assert torch.float16 in halves


def test_spare_slots_change_nothing_in_half_precision() -> None:
    answers = []
    for slots in (2, 6):
        model = stand_in_model(HALF_DEPTH)
        contract = contract_of(model, slots=slots)
        entry = entry_points(model, contract)["decode"]
        shape = entry.signature.inputs[0].shape
        embeddings = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
        points = [(Label.FOREGROUND, Label.FOREGROUND)]
        inputs = inputs_of(entry.signature, contract, {"image_embeddings": embeddings}, kinds=points)
        tensors = tuple(torch.from_numpy(value) for value in inputs.values())
        program = torch.export.export(entry.module, tensors)
        with torch.inference_mode():
            answers.append(GraphRewriter(program, XNNPACK_RULES, half_scopes=HALF_SCOPES).rewrite()(*tensors))
    for bare, spare in zip(*answers, strict=True):
        assert sqnr_db(bare.numpy(), spare.numpy()) >= MIN_HALF_SPARE_DB


def small_request(
    folder: Path, *, module: nn.Module, recipe: str = "fp32", backend: str = "xnnpack"
) -> ConversionRequest:
    image = TensorSpec(name="image", shape=(1, 4, 8))
    middle = TensorSpec(name="image_embeddings", shape=(2, 4, 16))
    encode = Signature(name="encode", component=Component.ENCODER, inputs=(image,), outputs=(middle,))
    decode = Signature(name="decode", component=Component.DECODER, inputs=(middle,), outputs=(middle,))
    entries = {
        "encode": EntryPoint(signature=encode, module=module.eval()),
        "decode": EntryPoint(signature=decode, module=Tail().eval()),
    }
    return replace(request_of(entries, folder, recipe), executorch_backend=backend)


def test_half_precision_file_answers_in_float32(tmp_path: Path) -> None:
    request = small_request(tmp_path, module=Layers(), recipe="fp16")
    file, entry = convert(request)[0], request.entry_points["encode"]
    session = open_session(
        file.path,
        signatures={"encode": entry.signature},
        entry_points=file.entry_points,
        num_threads=None,
    )
    inputs = {"image": np.random.default_rng(1).uniform(0, 255, (1, 4, 8)).astype(np.float32)}
    answer = session.run("encode", inputs)
    assert answer["image_embeddings"].dtype == np.float32
    check_nearness(run_torch(entry, inputs), answer, MIN_HALF_DB)


def in_another_order(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same values, with the last axis outermost in memory."""
    moved: NDArray[np.float32] = np.moveaxis(np.moveaxis(array, -1, 0).copy(), 0, -1)
    return moved


def with_odd_strides(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same memory, with a stride for the axis of length 1 that numpy does not look at."""
    return np.lib.stride_tricks.as_strided(array, array.shape, (4, *array.strides[1:]))


@pytest.mark.parametrize("laid_out", [in_another_order, with_odd_strides])
def test_inputs_count_by_their_values_not_by_their_memory(
    laid_out: Callable[[NDArray[np.float32]], NDArray[np.float32]], tmp_path: Path
) -> None:
    request = small_request(tmp_path, module=Layers())
    file, entry = convert(request)[0], request.entry_points["encode"]
    signatures = {"encode": entry.signature}
    session = open_session(file.path, signatures=signatures, entry_points=file.entry_points, num_threads=None)
    image = np.random.default_rng(1).uniform(0, 255, (1, 4, 8)).astype(np.float32)
    moved = laid_out(image)
    np.testing.assert_array_equal(moved, image)
    answer = session.run("encode", {"image": moved})
    check_nearness(run_torch(entry, {"image": image}), answer, MIN_DB)


@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - {"xnnpack"}))
def test_other_backends_are_made_here_but_not_run(tmp_path: Path, backend: str) -> None:
    request = small_request(tmp_path, module=Layers(), backend=backend)
    file = convert(request)[0]
    assert backend in file.notes[0]
    signatures = {"encode": request.entry_points["encode"].signature}
    with pytest.raises(RuntimeUnavailableError, match="does not have on this machine"):
        open_session(file.path, signatures=signatures, entry_points=file.entry_points, num_threads=None)


def test_failed_conversion_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"could not express encoder\.pte"):
        convert(small_request(tmp_path, module=Unexportable()))
    assert not list(tmp_path.iterdir())


def test_unknown_recipe_and_backend_are_named(tmp_path: Path) -> None:
    request = small_request(tmp_path, module=Layers(), backend="metal")
    with pytest.raises(UnknownNameError, match="coreml, vulkan, xnnpack"):
        convert(request)
    odd = RECIPES["palettized_w4"]
    with pytest.raises(ConversionError, match="nearest that it can is dynamic_w8"):
        convert(ConversionRequest(entry_points={}, recipe=odd, contract={}, folder=tmp_path))
    with pytest.raises(ConversionError, match="dynamic_w8 is for --executorch-backend xnnpack"):
        convert(
            ConversionRequest(
                entry_points={},
                recipe=RECIPES["dynamic_w8"],
                contract={},
                folder=tmp_path,
                executorch_backend="vulkan",
            )
        )
