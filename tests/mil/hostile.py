"""Packages that mean harm, or have been cut: good ones, each changed in one or a few places.

    python -m tests.mil.hostile --count 5000 --seed 0

prints what came of them: refused with one line, run as if nothing were wrong, or a fault of ours.
"""

from __future__ import annotations

import json
import random
import re
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any

import click
import numpy as np

from tests.mil.builder import Const, Program
from tinysam_mobile.errors import TinySAMError
from tinysam_mobile.mil import Limits, MilModel
from tinysam_mobile.mil.proto import model_proto
from tinysam_mobile.mil.text_writer import write_program

__all__ = ["attack", "attack_text", "base_programs", "main"]

LIMITS = Limits(loop_s=1.0, memory_bytes=1 << 30)
BIG = [0, -1, 1, 2, 7, 255, 65536, 2**31 - 1, -(2**31), 10**9, 2**28, 2**40, 2**62]
TEXTS = [
    "",
    "x",
    "y",
    "w",
    "fp16",
    "int32",
    "custom",
    "same",
    "\x00",
    "a" * 5000,
    "../../etc/passwd",
    "CoreML9",
]
FLOATS = [0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e38, 1e-45, 3.0]


def _finish(program: Program, *names: str) -> Program:
    program.returns(*names)
    return program


def _convolution() -> Program:
    program = Program("ios17")
    program.add_input("x", np.ones((1, 2, 6, 6), np.float32))
    program.add_op("conv", {
        "x": "%x", "weight": Const(np.ones((3, 2, 3, 3), np.float32)), "strides": np.int32([1, 1]),
        "pad_type": "custom", "pad": np.int32([1, 1, 1, 1]), "dilations": np.int32([1, 1]), "groups": 1,
    }, ("c",), 11, (1, 3, 6, 6))  # fmt: skip
    program.add_op("max_pool", {
        "x": "%c", "kernel_sizes": np.int32([2, 2]), "strides": np.int32([2, 2]), "pad_type": "valid",
        "pad": np.int32([0, 0, 0, 0]), "ceil_mode": False,
    }, ("p",), 11, (1, 3, 3, 3))  # fmt: skip
    program.add_op("upsample_bilinear", {
        "x": "%p", "scale_factor_height": 2.0, "scale_factor_width": 2.0, "align_corners": False,
    }, ("u",), 11, (1, 3, 6, 6))  # fmt: skip
    program.add_op("reshape", {"x": "%u", "shape": np.int32([3, -1])}, ("y",), 11, (3, 36))
    return _finish(program, "y")


def _shapes() -> Program:
    program = Program("ios16")
    program.add_input("x", np.arange(6, dtype=np.float32).reshape(2, 3))
    program.add_op("fill", {"shape": np.int32([2, 3]), "value": 1.5}, ("f",), 11, (2, 3))
    program.add_op("concat", {"values": ("%x", "%f"), "axis": 0, "interleave": False}, ("c",), 11, (4, 3))
    program.add_op("tile", {"x": "%c", "reps": np.int32([1, 2])}, ("t",), 11, (4, 6))
    program.add_op("pad", {"x": "%t", "pad": np.int32([0, 0, 1, 1]), "mode": "constant", "constant_val": 0.0},
                   ("p",), 11, (4, 8))  # fmt: skip
    bounds = {"start": np.int32(0), "end": np.int32(4), "step": np.int32(1)}
    program.add_op("range_1d", bounds, ("r",), 23, (4,))
    program.add_op("gather", {"x": "%p", "indices": "%r", "axis": 0}, ("g",), 11, (4, 8))
    program.add_op("one_hot", {"indices": "%r", "one_hot_vector_size": 4}, ("o",), 23, (4, 4))
    program.add_op("cast", {"x": "%o", "dtype": "fp32"}, ("h",), 11, (4, 4))
    program.add_op("matmul", {"x": "%h", "y": "%g"}, ("m",), 11, (4, 8))
    program.add_op("topk", {"x": "%m", "k": 2, "axis": 1, "ascending": False}, ("a", "b"), 0)
    return _finish(program, "a", "b")


def _loop() -> Program:
    program = Program("ios17")
    program.add_input("x", np.float32([0.0]))
    loop = program.block.operations.add(type="while_loop")
    loop.inputs["loop_vars"].arguments.add().name = "x"
    output = loop.outputs.add(name="y")
    output.type.tensorType.dataType, output.type.tensorType.rank = 11, 1
    output.type.tensorType.dimensions.add().constant.size = 1
    outer = program.block
    for index, (op_type, dtype, value) in enumerate((("less", 1, 10.0), ("add", 11, 1.0))):
        block = loop.blocks.add()
        block.inputs.add(name=f"v{index}").type.CopyFrom(output.type)
        program.block = block
        program.add_op(op_type, {"x": f"%v{index}", "y": value}, (f"r{index}",), dtype, (1,))
        block.outputs.append(f"r{index}")
    program.block = outer
    return _finish(program, "y")


def _weights() -> Program:
    """With a weight in a blob, and one in 4 bits."""
    program = Program("ios18")
    program.add_input("x", np.ones((2, 8), np.float32))
    weight = program.block.operations.add(type="const")
    _blob(weight.attributes["val"], 11, (4, 8), 64)
    weight.outputs.add(name="w").type.CopyFrom(weight.attributes["val"].type)
    codes = program.block.operations.add(type="const")
    _blob(codes.attributes["val"], 35, (4, 4), 64 + 64 + 128)
    codes.outputs.add(name="q").type.CopyFrom(codes.attributes["val"].type)
    program.add_op("linear", {"x": "%x", "weight": "%w"}, ("l",), 11, (2, 4))
    table = Const(np.ones((1, 1, 16, 1), np.float32))
    program.add_op("constexpr_lut_to_dense", {"indices": "%q", "lut": table},
                   ("d",), 11, (4, 4))  # fmt: skip
    program.add_op("matmul", {"x": "%l", "y": "%d"}, ("y",), 11, (2, 4))
    return _finish(program, "y")


def _blob(value: Any, dtype: int, shape: tuple[int, ...], offset: int) -> None:
    value.type.tensorType.dataType, value.type.tensorType.rank = dtype, len(shape)
    for size in shape:
        value.type.tensorType.dimensions.add().constant.size = size
    value.blobFileValue.fileName = "@model_path/weights/weight.bin"
    value.blobFileValue.offset = offset


def _recurrent() -> Program:
    program = Program("ios17")
    program.add_input("x", np.ones((3, 2, 4), np.float32))
    state = Const(np.zeros((2, 5), np.float32))
    program.add_op("lstm", {
        "x": "%x", "initial_h": state, "initial_c": state, "weight_ih": Const(np.ones((20, 4), np.float32)),
        "weight_hh": Const(np.ones((20, 5), np.float32)), "bias": Const(np.ones(20, np.float32)),
        "direction": "forward", "output_sequence": True, "recurrent_activation": "sigmoid",
        "cell_activation": "tanh", "activation": "tanh",
    }, ("o", "h", "c"), 11)  # fmt: skip
    program.add_op("reduce_sum", {"x": "%o", "axes": np.int32([0, 1]), "keep_dims": False}, ("y",), 11, (5,))
    return _finish(program, "y")


def base_programs() -> list[Program]:
    """The good ones."""
    return [_convolution(), _shapes(), _loop(), _weights(), _recurrent()]


def _weight_file() -> bytes:
    record = np.dtype([("s", "<u4"), ("t", "<u4"), ("size", "<u8"), ("offset", "<u8"), ("pad", "<u8", 5)])
    parts = [np.array([2, 2] + [0] * 14, "<u4").tobytes()]
    for kind, data in ((2, np.ones(32, "<f4").tobytes()), (11, bytes(range(8)))):
        place = sum(map(len, parts))
        row = np.zeros(1, record)
        row["s"], row["t"], row["size"], row["offset"] = 0xDEADBEEF, kind, len(data), place + 64
        parts += [row.tobytes(), data]
    return b"".join(parts)


def _messages(message: Any) -> list[Any]:
    """`message` and every message inside it."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            parts = list(value.values()) if field.message_type.fields_by_name["value"].message_type else []
        elif field.is_repeated if hasattr(field, "is_repeated") else field.label == 3:
            parts = list(value)
        else:
            parts = [value]
        for part in parts:
            found += _messages(part)
    return found


def _change(message: Any, rng: random.Random) -> None:
    """One field of `message` set to something else, repeated, or taken away."""
    fields = list(message.ListFields())
    if not fields:
        return
    field, value = rng.choice(fields)
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == 3
    if rng.random() < 0.1 or (field.message_type and field.message_type.GetOptions().map_entry):
        message.ClearField(field.name)
    elif field.message_type:
        if repeated and rng.random() < 0.5:
            value.add().CopyFrom(rng.choice(value))
        elif repeated:
            del value[rng.randrange(len(value))]
    elif repeated:
        value[rng.randrange(len(value))] = _other(field, rng)
    else:
        setattr(message, field.name, _other(field, rng))


def _other(field: Any, rng: random.Random) -> Any:
    kinds = field.CPPTYPE_STRING, field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE, field.CPPTYPE_BOOL
    if field.cpp_type == kinds[0]:
        data = rng.choice(TEXTS)
        return data.encode() * rng.choice([1, 1, 50]) if field.type == field.TYPE_BYTES else data
    if field.cpp_type in kinds[1:3]:
        return rng.choice(FLOATS)
    if field.cpp_type == kinds[3]:
        return rng.random() < 0.5
    if field.cpp_type == field.CPPTYPE_ENUM:
        return rng.choice([0, 1, 2, 10, 11, 13, 21, 23, 24, 25, 35, 37, 40])
    number = rng.choice(BIG)
    bits = 31 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 62
    if field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
        return min(abs(number), 2**bits)
    return max(-(2**bits), min(number, 2**bits - 1))


def _write(spec_bytes: bytes, weights: bytes, folder: Path) -> Path:
    package = folder / "a.mlpackage"
    data = package / "Data/com.apple.CoreML"
    (data / "weights").mkdir(parents=True, exist_ok=True)
    (data / "model.mlmodel").write_bytes(spec_bytes)
    (data / "weights/weight.bin").write_bytes(weights)
    entry = {"path": "com.apple.CoreML/model.mlmodel"}
    manifest = {"itemInfoEntries": {"m": entry}, "rootModelIdentifier": "m"}
    (package / "Manifest.json").write_text(json.dumps(manifest))
    return package


def _mutilated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(1, len(changed))] if rng.random() < 0.3 else changed)


def attack(seed: int, folder: Path) -> tuple[str, str]:
    """Load and run one hostile package: what came of it (refused, ran or fault), and the message."""
    rng = random.Random(seed)
    program = rng.choice(base_programs())
    weights = _weight_file()
    kind = rng.random()
    if kind < 0.75:
        spec = model_proto().Model()
        spec.CopyFrom(program.spec)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            _change(rng.choice(_messages(spec)), rng)
        data = spec.SerializeToString()
    elif kind < 0.9:
        data = _mutilated(program.spec.SerializeToString(), rng)
    else:
        data = program.spec.SerializeToString()
        weights = _mutilated(weights, rng)
    return _outcome(_write(data, weights, folder), program)


def attack_text(seed: int, folder: Path) -> tuple[str, str]:
    """As `attack`, of a compiled model: words of its text exchanged, taken away or said twice."""
    rng = random.Random(seed)
    program = rng.choice([_convolution(), _weights()])
    words = re.findall(r"\w+|\W", write_program(program.spec.mlProgram))
    for _ in range(rng.randint(1, 4)):
        place, other = rng.randrange(len(words)), rng.choice([*words, *map(str, BIG), *TEXTS, "0x1p+9999"])
        words[place] = rng.choice([other, "", words[place] * 2])
    model = folder / "a.mlmodelc"
    (model / "weights").mkdir(parents=True, exist_ok=True)
    (model / "weights/weight.bin").write_bytes(_weight_file())
    (model / "model.mil").write_text("".join(words), encoding="utf-8")
    return _outcome(model, program)


def _outcome(model: Path, program: Program) -> tuple[str, str]:
    try:
        MilModel.load(model, limits=LIMITS).predict(program.data)
    except TinySAMError as error:
        return "refused", str(error)
    except Exception as error:  # the fault that is looked for
        return "fault", f"{type(error).__name__}: {error}"
    return "ran", ""


@click.command()
@click.option("--count", default=5000, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the first package.")
def main(count: int, seed: int) -> None:
    """Attack the interpreter and print what came of it; exits 1 when there was a fault."""
    outcomes: Counter[str] = Counter()
    longest, report = 0.0, click.echo
    with tempfile.TemporaryDirectory() as name:
        for number in range(seed, seed + count):
            start = monotonic()
            outcome, message = attack(number, Path(name))
            seconds = monotonic() - start
            outcomes[outcome] += 1
            longest = max(longest, seconds)
            if outcome == "fault" or "\n" in message or seconds > 5:
                report(f"{number}: {outcome} after {seconds:.1f} s: {message[:300]}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    report(f"{dict(outcomes)}; longest {longest:.1f} s, peak memory {peak:.2f} GiB")
    sys.exit(1 if outcomes["fault"] else 0)


if __name__ == "__main__":
    main()
