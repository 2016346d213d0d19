"""The main object of a photo from a salient-object network, used to label training photos, never shipped.

The network is IS-Net (Qin et al., ECCV 2022; weights Apache-2.0), as an ONNX file: the chunks of
`/models/medium` in npm `@imgly/background-removal-data` 1.4.5, one after another.  Its graph of 3x3
convolutions is run by torch, in bf16 and at half of its own input size: 0.25 s a photo instead of 3.5.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tinysam_mobile.errors import RuntimeUnavailableError, UsageError

__all__ = ["SalientObjects", "run_graph", "separate_objects"]

INPUT_SIDE = 512
EXPORTED_SIDE = 1024
"""Side of the input that the file was exported for; sizes in it are those of this side."""
INPUT_MEAN, INPUT_SCALE = 128.0, 256.0
MIN_SHARE, MAX_SHARE = 0.015, 0.85
"""Of the photo: smaller ones are often a detail, larger ones the whole photo."""
MIN_CERTAINTY = 0.9
"""Mean probability inside the mask that a label must have."""
MAX_UNDECIDED = 0.2
"""Pixels outside the mask with a probability above `DOUBT`, as a share of its area."""
DOUBT = 0.15
"""From here on a pixel may belong to the object."""
MIN_PIECE = 0.12
"""Share of the whole that a piece must have to be an object of its own."""
MIN_LARGE_PIECES = 0.85
"""Share of the whole that all such pieces must have together."""

_Node = tuple[str, list[str], str, dict[str, Any]]
"""Kind, names of the inputs, name of the output, attributes."""


class SalientObjects:
    """IS-Net's probability map of a photo; raises `UsageError` for a file that is not that network."""

    def __init__(self, path: Path) -> None:
        try:
            import onnx
        except ImportError as error:
            raise RuntimeUnavailableError(
                "reading the salient-object network needs: pip install onnx"
            ) from error
        try:
            graph = onnx.load(str(path)).graph
        except Exception as error:
            raise UsageError(f"{path}: cannot be read as ONNX ({error})") from error
        same = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
        self._input, self._output = graph.input[0].name, graph.output[0].name
        self._output = same.get(self._output, self._output)
        self._values = {i.name: _weight(onnx.numpy_helper.to_array(i)) for i in graph.initializer}
        self._nodes = [
            (
                node.op_type,
                [same.get(name, name) for name in node.input],
                node.output[0],
                {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            )
            for node in graph.node
            if node.op_type != "Cast"
        ]
        kinds = {kind for kind, *_ in self._nodes}
        if unknown := kinds - set(_OPERATIONS) - {"Constant", "Resize", "Shape", "Slice"}:
            raise UsageError(f"{path}: has operations that IS-Net has not: {', '.join(sorted(unknown))}")
        for kind, _, output, attributes in self._nodes:
            if kind == "Constant":
                array = onnx.numpy_helper.to_array(attributes["value"])
                self._values[output] = torch.from_numpy(array.copy())

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (H, W, 3) → f32 (H, W), how surely each pixel belongs to the main object."""
        height, width, _ = pixels.shape
        square = Image.fromarray(pixels).resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BILINEAR)
        x = torch.from_numpy((np.asarray(square, np.float32) - INPUT_MEAN) / INPUT_SCALE)
        x = x.permute(2, 0, 1).unsqueeze(0).to(torch.bfloat16)
        x = x.contiguous(memory_format=torch.channels_last)
        values = self._values | {self._input: x}
        found = run_graph(self._nodes, values, self._output, scale=INPUT_SIDE / EXPORTED_SIDE)
        resized = F.interpolate(found.float(), (height, width), mode="bilinear", antialias=True)
        return resized[0, 0].numpy()


@torch.inference_mode()
def run_graph(nodes: list[_Node], values: dict[str, Tensor], output: str, *, scale: float) -> Tensor:
    """Run `nodes` until `output` is known; sizes in the graph are multiplied by `scale`.

    `values` holds weights, constants and the input.  Nodes that only measure shapes are left out: what they
    would give is known from the constants.
    """
    known = dict(values)
    for kind, inputs, name, attributes in nodes:
        operands = [known[x] for x in inputs if x in known]
        if kind == "Resize":
            sides = [max(1, ceil(int(side) * scale)) for side in operands[1][-2:]]
            known[name] = F.interpolate(operands[0], size=sides, mode="bilinear")
        elif kind in _OPERATIONS:
            known[name] = _OPERATIONS[kind](operands, attributes)
        if name == output:
            break
    return known[output]


def _weight(array: NDArray[np.float16]) -> Tensor:
    tensor = torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _convolution(x: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    inputs, weight, bias = x
    return F.conv2d(
        inputs,
        weight,
        bias,
        stride=attributes["strides"],
        padding=attributes["pads"][:2],
        dilation=attributes["dilations"],
    )


def _concatenation(x: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    # Of the sizes for a Resize only the constant half is known here; the other is batch and channels.
    return torch.cat(x, attributes["axis"]) if len(x) > 1 else x[0]


_OPERATIONS = {
    "Conv": _convolution,
    "Relu": lambda x, _: x[0].relu(),
    "Sigmoid": lambda x, _: x[0].sigmoid(),
    "Add": lambda x, _: x[0] + x[1],
    "MaxPool": lambda x, _: F.max_pool2d(x[0], 2, 2, ceil_mode=True),
    "Concat": _concatenation,
}


def separate_objects(probabilities: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Return the large pieces of a probability map f32 (H, W) as labels uint8 (H, W) from 1, or None.

    None means doubtful: too small or large, undecided in many places, or in many small pieces.
    """
    import cv2

    mask = probabilities > 0.5
    area = int(mask.sum())
    if not MIN_SHARE <= area / mask.size <= MAX_SHARE:
        return None
    undecided = int(((probabilities > DOUBT) & ~mask).sum())
    if probabilities[mask].mean() < MIN_CERTAINTY or undecided > MAX_UNDECIDED * area:
        return None
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = np.flatnonzero(areas >= MIN_PIECE * area)
    if areas[kept].sum() < MIN_LARGE_PIECES * area:
        return None
    labels = np.zeros(mask.shape, np.uint8)
    for label, piece in enumerate(kept, start=1):
        labels[pieces == piece] = label
    return labels
