"""Torch modules converted by coremltools and run by the MIL interpreter, against torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.mil.builder import ct
from tests.mil.convert import load_converted, quiet
from tinysam_mobile.mil import MilModel, calibrate

# fp32: two orders of summation.
FP32_TOLERANCE = 1e-4
FP16_EPSILON = 2.0**-10


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return x + y


class Attention(nn.Module):
    def __init__(self, mask: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        # Finite: coremltools 9 takes a mask of 0 and -inf for a boolean one and inverts it.
        self.mask = torch.triu(torch.full((6, 6), -20.0), 1) if mask else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.attention(x, x, x, attn_mask=self.mask, need_weights=False)[0]
        return y


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 17, 8) * 0.1)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.token.expand(x.shape[0], -1, -1), tokens), 1) + self.position
        y: Tensor = self.head(self.block(tokens)[:, 0])
        return y


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 6, 3, 2, 1)
        self.middle = nn.Conv2d(6, 6, 3, 1, 1)
        self.up = nn.ConvTranspose2d(6, 6, 2, 2)
        self.out = nn.Conv2d(9, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.down(x))
        y = functional.relu(self.middle(y))
        z: Tensor = self.out(torch.cat((self.up(y), x), 1))
        return z


class Recurrent(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)[0]
        return y


class Window(nn.Module):
    """Swin's partition and its inverse, with a roll."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.roll(x, (1, -1), (2, 3))
        b, c, h, w = x.shape
        y = x.view(b, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
        y = functional.softmax(y @ y.transpose(1, 2), -1) @ y
        return y.view(b, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


IMAGE, TOKENS, VECTOR = (1, 3, 16, 16), (1, 6, 8), (2, 8)


def _conv(*arguments: Any, **options: Any) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, *arguments, **options), nn.ReLU())


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv": (lambda: _conv(3), IMAGE),
    "conv strided": (lambda: _conv(3, 2, 1), IMAGE),
    "conv dilated": (lambda: _conv(3, 1, 2, 2), IMAGE),
    "conv grouped": (lambda: nn.Conv2d(3, 6, 3, groups=3, padding=1), IMAGE),
    "conv reflected": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), IMAGE),
    "conv replicated": (lambda: nn.Conv2d(3, 4, 3, padding=2, padding_mode="replicate"), IMAGE),
    "conv1d": (lambda: nn.Conv1d(6, 4, 3, padding=1), TOKENS),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (1, 2, 4, 5, 6)),
    "conv transposed": (lambda: nn.ConvTranspose2d(3, 4, 3, 2, 1, 1), IMAGE),
    "CNN": (lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.SiLU(), nn.MaxPool2d(2),
        Residual(nn.Conv2d(8, 8, 3, 1, 1)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
        nn.Softmax(-1)), IMAGE),
    "depthwise separable": (lambda: nn.Sequential(
        nn.Conv2d(3, 3, 3, 1, 1, groups=3), nn.Hardswish(), nn.Conv2d(3, 8, 1), nn.Hardsigmoid()), IMAGE),
    "ViT": (ViT, IMAGE),
    "U-Net": (UNet, IMAGE),
    "LSTM": (lambda: Recurrent(nn.LSTM(8, 5, batch_first=True)), TOKENS),
    "two-way LSTM": (lambda: Recurrent(nn.LSTM(8, 5, 2, batch_first=True, bidirectional=True)), TOKENS),
    "GRU": (lambda: Recurrent(nn.GRU(8, 5, batch_first=True)), TOKENS),
    "RNN": (lambda: Recurrent(nn.RNN(8, 5, batch_first=True)), TOKENS),
    "MLP": (lambda: nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 3), nn.Tanh()), VECTOR),
    "attention": (lambda: Attention(False), TOKENS),
    "masked attention": (lambda: Attention(True), TOKENS),
    "transformer layer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), TOKENS),
    "layer norm": (lambda: nn.LayerNorm(8), TOKENS),
    "group norm": (lambda: nn.GroupNorm(3, 6), TOKENS),
    "instance norm": (lambda: nn.InstanceNorm2d(3, affine=True), IMAGE),
    "local response norm": (lambda: nn.LocalResponseNorm(3), IMAGE),
    "average pool": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    "ceil pool": (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    "upsample bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), IMAGE),
    "upsample aligned": (lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), IMAGE),
    "upsample nearest": (lambda: nn.Upsample(scale_factor=2), IMAGE),
    "pixel shuffle": (lambda: nn.Sequential(nn.Conv2d(3, 12, 1), nn.PixelShuffle(2)), IMAGE),
    "pixel unshuffle": (lambda: nn.PixelUnshuffle(2), IMAGE),
    "activations": (lambda: nn.Sequential(
        nn.ELU(), nn.LeakyReLU(0.2), nn.Softplus(), nn.Softsign(), nn.PReLU(3), nn.ReLU6(),
        nn.Sigmoid()), IMAGE),
    "windows": (Window, IMAGE),
    "einsum": (lambda: Function(lambda x: torch.einsum("bij,bkj->bik", x, x)), TOKENS),
    "reductions": (lambda: Function(
        lambda x: x.mean((2, 3)) + x.amax((2, 3)) - x.std((2, 3)) + x.abs().sum((2, 3)).sqrt()), IMAGE),
    "slices": (lambda: Function(
        lambda x: torch.cat((x[:, :, ::2, 1:-1], x[:, :, 1::2, :-2]), 1).flip(3)), IMAGE),
    "stack and split": (lambda: Function(lambda x: torch.stack(x.chunk(2, -1), 1).squeeze(0)), TOKENS),
    "where and clamp": (lambda: Function(
        lambda x: torch.where(x > 0, x.clamp(0.1, 0.5), x * x)), TOKENS),
    "trigonometry": (lambda: Function(
        lambda x: x.sin() + x.cos() * (x / 9).atan() + torch.exp(-x * x)), TOKENS),
    "cumsum": (lambda: Function(lambda x: x.cumsum(1).tril()), TOKENS),
    "pad and roll": (lambda: Function(lambda x: functional.pad(x, (1, 2, 0, 3), value=0.5)), IMAGE),
    "embedding": (lambda: Function(nn.Embedding(10, 4).requires_grad_(False).forward), (2, 5)),
    "grid sample": (lambda: Function(
        lambda x: functional.grid_sample(x, x[:, :2].permute(0, 2, 3, 1).tanh(), align_corners=False)),
        IMAGE),
    "gather": (lambda: Function(
        lambda x: x.gather(1, torch.tensor([[[0, 5, 1, 2, 0, 3, 4, 1]]]))), TOKENS),
    "top k": (lambda: Function(lambda x: x.topk(3, -1).values), TOKENS),
}  # fmt: skip


# Those that coremltools' TorchScript frontend cannot convert beside numpy 2.
EXPORTED = {"ViT", "attention", "masked attention", "transformer layer", "local response norm", "windows"}


def _prepared(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    make, shape = MODULES[name]
    x = torch.randint(0, 10, shape, dtype=torch.int32) if name == "embedding" else torch.randn(shape)
    return make().eval(), x


def _convert(module: nn.Module, x: Tensor, *precisions: str, export: bool, **options: Any) -> list[MilModel]:
    options.setdefault("minimum_deployment_target", ct.target.iOS17)
    with torch.no_grad(), quiet():
        if export:
            program = torch.export.export(module, (x,)).run_decompositions({})
            return load_converted(program, *precisions, **options)
        traced = torch.jit.trace(module, x)
    dtype = np.int32 if x.dtype == torch.int32 else np.float32
    inputs = [ct.TensorType(name="x", shape=x.shape, dtype=dtype)]
    return load_converted(traced, *precisions, inputs=inputs, **options)


def _run(model: MilModel, x: Tensor) -> np.ndarray:
    result: np.ndarray = next(iter(model.predict({next(iter(model.inputs)): x.numpy()}).values()))
    return result


def _depth(model: MilModel) -> int:
    """Ops that round, which is as often as an error of half an epsilon can be added."""
    return sum(not step.moves_data for step in model.executable().steps)


def _fp16_bound(model: MilModel, expected: np.ndarray) -> float:
    """What fp16 may cost: one relative epsilon per rounding op, of the largest value at hand.

    Weights and inputs are rounded too, and sums of n terms keep the relative error of their terms'
    magnitudes; a factor of 4 covers values inside that are larger than the result.
    """
    return 4 * FP16_EPSILON * (2 + _depth(model)) * max(1.0, float(np.abs(expected).max()))


@pytest.mark.parametrize("name", MODULES)
def test_module_runs_as_in_torch(name: str) -> None:
    module, x = _prepared(name)
    with torch.no_grad():
        expected = module(x).numpy()
    options = {"export": name in EXPORTED}
    (exact,) = _convert(module, x, "fp32", compute_precision=ct.precision.FLOAT32, **options)
    np.testing.assert_allclose(_run(exact, x), expected, rtol=FP32_TOLERANCE, atol=FP32_TOLERANCE)
    (half,) = _convert(module, x, "fp16", compute_precision=ct.precision.FLOAT16, **options)
    np.testing.assert_allclose(_run(half, x), expected, atol=_fp16_bound(half, expected))


class Detector(nn.Module):
    """Boxes and scores of a grid, to be followed by non-maximum suppression."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, 2, 1)
        self.boxes, self.scores = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = functional.relu(self.body(x))
        boxes = self.boxes(y).flatten(2).transpose(1, 2).sigmoid() * 16 + 1
        return boxes, self.scores(y).flatten(2).transpose(1, 2).sigmoid()


@pytest.mark.parametrize("target", ["iOS15", "iOS16", "iOS17", "iOS18"])
def test_detection_head_with_suppression(target: str) -> None:
    """coremltools has no torch op for NMS: the op is added to the converted program, as its users do."""
    from coremltools.converters.mil.mil import Builder as mb  # noqa: N813

    torch.manual_seed(0)
    module, x = Detector().eval(), torch.randn(IMAGE)
    with torch.no_grad():
        boxes, scores = module(x)
    new = target in ("iOS17", "iOS18")
    shapes = [(1, 4, 64), (1, 2, 64)] if new else [(1, 64, 4), (1, 64, 2)]

    @mb.program(
        input_specs=[mb.TensorSpec(shape=s) for s in shapes], opset_version=getattr(ct.target, target)
    )
    def program(boxes: Any, scores: Any) -> Any:
        options = {} if new else {"score_threshold": 0.1}
        return mb.non_maximum_suppression(
            boxes=boxes,
            scores=scores,
            iou_threshold=0.4,
            max_boxes=10,
            per_class_suppression=False,
            **options,
        )[2]

    (model,) = load_converted(
        program, "fp32", minimum_deployment_target=getattr(ct.target, target),
        compute_precision=ct.precision.FLOAT32,
    )  # fmt: skip
    data = {"boxes": boxes.numpy(), "scores": scores.numpy()}
    if new:
        data = {name: value.swapaxes(1, 2) for name, value in data.items()}
    indices = next(iter(model.predict(data).values()))[0]
    expected: list[int] = []
    best = scores[0].amax(1)
    for i in best.argsort(descending=True, stable=True).tolist():
        if all(_overlap(boxes[0, i], boxes[0, j]) <= 0.4 for j in expected):
            expected.append(i)
    kept = expected[:10]
    assert indices.astype(int).tolist() == kept + [-1] * (10 - len(kept))


def _overlap(a: Tensor, b: Tensor) -> float:
    low = torch.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2)
    high = torch.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    common = (high - low).clamp(min=0).prod()
    return float(common / (a[2:].prod() + b[2:].prod() - common))


def _compression(kind: str) -> Any:
    cto = ct.optimize.coreml
    if kind == "int8":
        return cto.linear_quantize_weights, cto.OpLinearQuantizerConfig(mode="linear", weight_threshold=0)
    if kind == "int4 blocks":
        config = cto.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=8, weight_threshold=0
        )
        return cto.linear_quantize_weights, config
    if kind == "palette":
        return cto.palettize_weights, cto.OpPalettizerConfig(mode="uniform", nbits=4, weight_threshold=0)
    return cto.prune_weights, cto.OpMagnitudePrunerConfig(target_sparsity=0.6, weight_threshold=0)


@pytest.mark.parametrize(
    ("kind", "target"),
    [(kind, target) for kind in ("int8", "palette", "sparse") for target in ("iOS16", "iOS18")]
    + [("int4 blocks", "iOS18")],
)
def test_compressed_weights_are_what_coremltools_unpacks(kind: str, target: str) -> None:
    """The compressed model runs as the same model with the weights that coremltools decompresses."""
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)).eval(), torch.randn(4, 16)
    compress, config = _compression(kind)
    with quiet(), torch.no_grad():
        plain = ct.convert(
            torch.jit.trace(module, x), inputs=[ct.TensorType(name="x", shape=x.shape)],
            minimum_deployment_target=getattr(ct.target, target), compute_precision=ct.precision.FLOAT32,
        )  # fmt: skip
        packed = compress(plain, ct.optimize.coreml.OptimizationConfig(global_config=config))
        opened = ct.optimize.coreml.decompress_weights(packed)
        models = [MilModel.load(m) for m in (packed, opened, plain)]
        del plain, packed, opened
    ops = {node.op_type for node in models[0].plan.nodes()}
    assert any(op.startswith("constexpr_") for op in ops)
    compressed, decompressed, original = (_run(model, x) for model in models)
    np.testing.assert_allclose(compressed, decompressed, rtol=FP32_TOLERANCE, atol=FP32_TOLERANCE)
    assert np.abs(compressed - original).max() > FP32_TOLERANCE, (
        "compression that changes nothing tests nothing"
    )


def test_activations_quantized_with_our_ranges() -> None:
    """W8A8 on Linux: coremltools' own passes, fed by `calibrate`, and the result run by the interpreter."""
    from coremltools.converters.mil.frontend.milproto.load import load as load_milproto
    from coremltools.converters.mil.mil.passes.graph_pass import PassOption
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY
    from coremltools.models import utils as model_utils

    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU()).eval()
    x = torch.randn(IMAGE)
    config = ct.optimize.coreml.OptimizationConfig(
        global_config=ct.optimize.coreml.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0)
    )
    with quiet(), torch.no_grad():
        plain = ct.convert(
            torch.jit.trace(module, x), inputs=[ct.TensorType(name="x", shape=x.shape)],
            minimum_deployment_target=ct.target.iOS17, compute_precision=ct.precision.FLOAT16,
        )  # fmt: skip
        ranges = calibrate(MilModel.load(plain), [{"x": x.numpy()}])
        passes = []
        for name in ("insert_prefix_quantize_dequantize_pair", "insert_suffix_quantize_dequantize_pair"):
            step = PASS_REGISTRY[f"compression::{name}"]
            step.set_options([PassOption("config", config), PassOption("activation_stats", ranges)])
            passes.append(step)
        quantized = model_utils._apply_graph_pass(
            plain, passes, spec_version=ct.target.iOS17, pymil_load_func=load_milproto, skip_model_load=True
        )
        model = MilModel.load(quantized)
        del plain, quantized
    ops = [node.op_type for node in model.plan.nodes()]
    assert "quantize" in ops
    assert "dequantize" in ops
    expected = module(x).detach().numpy()
    noise = np.square(_run(model, x) - expected).mean()
    # Symmetric 8 bits over +-max of a normal distribution: about 1/127 of 4 sigma, 12 dB off its best.
    assert 10 * np.log10(np.square(expected).mean() / noise) > 25
