"""Lint: hand-made graphs with one defect each, for every format."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from tests.artifacts.test_tflite_graph import small_model
from tests.mil.builder import Program
from tinysam_mobile.artifacts import coreml_facts, executorch_facts, tflite_facts
from tinysam_mobile.artifacts.graph import ArtifactFacts, Graph, GraphOp, GraphTensor
from tinysam_mobile.bundle.folder import Bundle, hash_path, size_of
from tinysam_mobile.bundle.manifest import Artifact, Manifest, contract_data
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.converters import tflite_metadata, tflite_passes
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.parity.lint import RULES, Finding, Severity, lint_artifact, lint_facts

FLOAT32 = 11
RECIPE = "fp32"


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    checkpoint = load_checkpoint("stand-in:tiny-test")
    return Manifest(data=contract_data(checkpoint, contract_of(checkpoint.model)), artifacts=())


def contract_of_file(manifest: Manifest) -> str:
    return json.dumps({**manifest.data, "recipe": RECIPE})


def artifact_of(path: Path, runtime: str, recipe: str = RECIPE) -> Artifact:
    return Artifact(
        runtime=runtime, recipe=recipe, component=Component.ENCODER, path=path.name,
        entry_points={"encode": "encode"}, sha256=hash_path(path), size_bytes=size_of(path),
    )  # fmt: skip


def lint(path: Path, runtime: str, manifest: Manifest, recipe: str = RECIPE) -> list[Finding]:
    bundle = Bundle(folder=path.parent, manifest=manifest)
    return lint_artifact(bundle, artifact_of(path, runtime, recipe))


def serious(findings: list[Finding]) -> dict[str, str]:
    """Rule → message, of errors and warnings."""
    return {f.rule: f.message for f in findings if f.severity is not Severity.INFO}


# TFLite


def tflite_file(manifest: Manifest, folder: Path, change: Callable[[Any], None] = lambda _: None) -> Path:
    """The model y = x + [1, 2, 3] after `change`, with the manifest's contract."""
    model = small_model()
    change(model)
    path = folder / "encoder.tflite"
    files = {"contract.json": contract_of_file(manifest).encode()}
    path.write_bytes(tflite_metadata.append_files(tflite_passes.save_model(model), files))
    return path


def only_op(name: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.operatorCodes[0].builtinCode = getattr(schema.BuiltinOperator, name)
        model.subgraphs[0].operators[0].builtinOptionsType = 0
        model.subgraphs[0].operators[0].builtinOptions = None

    return change


def flex(model: Any) -> None:
    only_op("CUSTOM")(model)
    model.operatorCodes[0].customCode = "FlexErf"


def dynamic(model: Any) -> None:
    for number in (0, 2):
        model.subgraphs[0].tensors[number].shapeSignature = np.array([-1, 3], np.int32)


def rank_five(model: Any) -> None:
    for tensor in model.subgraphs[0].tensors:
        tensor.shape = np.array([1, 1, 1, 1, 3], np.int32)


def no_signature(model: Any) -> None:
    model.signatureDefs[0].signatureKey = "run"


def refused(model: Any) -> None:
    """LOGICAL_OR, on booleans."""
    only_op("LOGICAL_OR")(model)
    for tensor in model.subgraphs[0].tensors:
        tensor.type = schema.TensorType.BOOL
    model.buffers[1].data = np.ones(3, np.uint8)


TFLITE_DEFECTS: dict[str, tuple[Callable[[Any], None], str, Severity, str]] = {
    "flex": (flex, "custom_ops", Severity.ERROR, "FlexErf"),
    "dynamic": (dynamic, "dynamic_shapes", Severity.WARNING, "2 tensors have a side that is not fixed: x, y"),
    "rank": (rank_five, "rank", Severity.WARNING, "x [1, 1, 1, 1, 3]"),
    "signature": (no_signature, "metadata", Severity.ERROR, "no entry point encode"),
    "gpu": (refused, "accelerator", Severity.WARNING, "LOGICAL_OR: not among its operations"),
    # XNNPACK has no FLOOR_DIV.
    "undelegated": (only_op("FLOOR_DIV"), "undelegated", Severity.WARNING, "among them 1 FLOOR_DIV"),
}


@pytest.mark.parametrize("kind", TFLITE_DEFECTS)
def test_tflite_defects_are_found(kind: str, manifest: Manifest, tmp_path: Path) -> None:
    change, rule, severity, says = TFLITE_DEFECTS[kind]
    findings = lint(tflite_file(manifest, tmp_path, change), "tflite", manifest)
    (found,) = [f for f in findings if f.rule == rule]
    assert (found.severity, found.artifact) == (severity, "encoder.tflite")
    assert says in found.message
    assert found.advice or found.severity == Severity.INFO


def test_a_sound_tflite_file_has_figures_only(manifest: Manifest, tmp_path: Path) -> None:
    findings = lint(tflite_file(manifest, tmp_path), "tflite", manifest)
    assert serious(findings) == {}
    messages = {f.rule: f.message for f in findings}
    # Input and output of three floats; the constant is not an activation.
    assert messages["peak_memory"] == "encode: activations take at least 0.0 MB at once"
    assert messages["weights"] == "constants: float32 0.00 MB"
    assert messages["undelegated"] == "encode: 1 delegated pieces, 0 operations outside"
    facts = tflite_facts.read_facts(tmp_path / "encoder.tflite")
    assert facts.graphs["encode"].peak_activation_bytes == 2 * 3 * 4
    assert facts.constant_bytes == {"float32": 12}


def stored_in_float16(model: Any) -> None:
    """Store the constant as float16, with the operation that unpacks it."""
    graph = model.subgraphs[0]
    graph.tensors[1].type = schema.TensorType.FLOAT16
    model.buffers[1].data = np.frombuffer(np.array([1, 2, 3], np.float16).tobytes(), np.uint8)
    graph.tensors.append(schema.TensorT(name="unpacked", shape=np.array([1, 3], np.int32), buffer=0))
    model.operatorCodes.append(schema.OperatorCodeT(builtinCode=schema.BuiltinOperator.DEQUANTIZE, version=3))
    unpack = schema.OperatorT(opcodeIndex=1, inputs=np.array([1], np.int32), outputs=np.array([3], np.int32))
    graph.operators[0].inputs = np.array([0, 3], np.int32)
    graph.operators.insert(0, unpack)


def test_unpacked_weights_are_no_activations(manifest: Manifest, tmp_path: Path) -> None:
    path = tflite_file(manifest, tmp_path, stored_in_float16)
    facts = tflite_facts.read_facts(path)
    assert facts.graphs["encode"].peak_activation_bytes == 2 * 3 * 4
    assert facts.graphs["encode"].outside == {}
    assert facts.constant_bytes == {"float16": 6}
    assert serious(lint(path, "tflite", manifest)) == {}


def gpu_graph(name: str, *inputs: GraphTensor) -> Graph:
    tensors = (*inputs, GraphTensor(name="y", shape=(1, 4, 4, 8), dtype="float32", bits=32))
    op = GraphOp(name=name, inputs=tuple(range(len(inputs))), outputs=(len(inputs),))
    return Graph(name="encode", tensors=tensors, ops=(op,), inputs=(0,), outputs=(len(inputs),))


def floats(*shape: int, dtype: str = "float32") -> GraphTensor:
    return GraphTensor(name="x", shape=shape, dtype=dtype, bits=32)


ACCEPTED = {
    "add": ("ADD", floats(1, 4, 4, 8), floats(8)),
    "add of rank 3": ("ADD", floats(1, 4, 4, 8), floats(4, 4, 8)),
    "mul by a column": ("MUL", floats(1, 4, 4, 8), floats(1, 1, 1, 8)),
    "slice": ("SLICE", floats(1, 4, 4, 8)),
    "select of a scalar": ("SELECT_V2", floats(1, dtype="bool"), floats(), floats(1, 4, 4, 8)),
    "gather": ("GATHER", floats(9, 8), floats(4, dtype="int32")),
}
REFUSED = {
    "outer product": ("MUL", floats(1, 4, 1), floats(1, 1, 4)),
    "add of rank 2": ("ADD", floats(1, 13, 8), floats(13, 8)),
    "slice of a row": ("SLICE", floats(2)),
    "select of integers": ("SELECT_V2", floats(1), floats(1, dtype="int32"), floats(1)),
    "select with broadcast": ("SELECT_V2", floats(1), floats(1, 1, 1, 8), floats(1, 4, 4, 8)),
    "gather by a matrix": ("GATHER", floats(9, 8), floats(2, 2, dtype="int32")),
    "gather of integers": ("GATHER", floats(9, 8, dtype="int32"), floats(2, dtype="int32")),
}


@pytest.mark.parametrize("kind", [*ACCEPTED, *REFUSED])
def test_shape_rules_of_the_gpu_delegate(kind: str, manifest: Manifest, tmp_path: Path) -> None:
    name, *inputs = ACCEPTED.get(kind) or REFUSED[kind]
    (tmp_path / "x").write_bytes(b"")
    facts = ArtifactFacts(graphs={"encode": gpu_graph(name, *inputs)}, constant_bytes={}, contract_json=None)
    found = serious(lint_facts(facts, artifact_of(tmp_path / "x", "tflite"), manifest))
    assert ("accelerator" in found) == (kind in REFUSED)


# Core ML


def coreml_file(
    manifest: Manifest, folder: Path, op_type: str = "relu", shape: tuple[int | None, ...] = (1, 3)
) -> Path:
    """A specification with one operation whose input and output have `shape`, None for a free side."""
    program = Program()
    sides = tuple(side or 1 for side in shape)
    x = program.add_input("x", np.zeros(sides, np.float32), shape if None in shape else None)
    operation = program.add_op(op_type, {"x": f"%{x}"}, ("y",), FLOAT32)
    output = operation.outputs[0].type.tensorType
    output.rank = len(shape)
    for side in shape:
        dimension = output.dimensions.add()
        if side is None:
            dimension.unknown.variadic = False
        else:
            dimension.constant.size = side
    program.returns("y")
    functions = program.spec.mlProgram.functions
    functions["encode"].CopyFrom(functions["main"])
    del functions["main"]
    program.spec.description.metadata.userDefined["contract.json"] = contract_of_file(manifest)
    path = folder / "encoder.mlmodel"
    path.write_bytes(program.spec.SerializeToString())
    return path


COREML_DEFECTS: dict[str, tuple[dict[str, Any], str, Severity, str]] = {
    "rank": ({"shape": (1, 1, 1, 2, 3)}, "rank", Severity.WARNING, "x [1, 1, 1, 2, 3], y [1, 1, 1, 2, 3]"),
    "dynamic": ({"shape": (1, None)}, "dynamic_shapes", Severity.WARNING, "x, y"),
    "custom": ({"op_type": "custom_window"}, "custom_ops", Severity.ERROR, "custom_window"),
    "recurrent": ({"op_type": "gru"}, "accelerator", Severity.WARNING, "gru: recurrent cells"),
    "long side": ({"shape": (1, 20_000)}, "accelerator", Severity.WARNING, "20000 is longer than 16384"),
    "float32": ({}, "precision", Severity.WARNING, "1 of 1 results are float32"),
}


@pytest.mark.parametrize("kind", COREML_DEFECTS)
def test_coreml_defects_are_found(kind: str, manifest: Manifest, tmp_path: Path) -> None:
    changes, rule, severity, says = COREML_DEFECTS[kind]
    findings = lint(coreml_file(manifest, tmp_path, **changes), "coreml", manifest)
    (found,) = [f for f in findings if f.rule == rule]
    assert found.severity is severity
    assert says in found.message
    assert set(serious(findings)) <= {rule, "precision"}


def test_block_weights_are_for_the_gpu(manifest: Manifest, tmp_path: Path) -> None:
    findings = lint(coreml_file(manifest, tmp_path), "coreml", manifest, recipe="weight_only_w4_block32")
    assert "blocks of 32" in serious(findings)["block_weights"]


def test_memory_of_a_core_ml_program(manifest: Manifest, tmp_path: Path) -> None:
    facts = coreml_facts.read_facts(coreml_file(manifest, tmp_path, shape=(4, 5)))
    assert facts.graphs["encode"].peak_activation_bytes == 2 * 4 * 5 * 4
    assert facts.constant_bytes == {}


# ExecuTorch


class FiveAxes(torch.nn.Module):
    """A linear layer, tensors of five axes, and a cumulative sum, which XNNPACK does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = self.linear(x).reshape(1, 2, 2, 2, -1).permute(0, 3, 2, 1, 4).reshape(1, -1)
        return torch.cumsum(wide, 1)


@pytest.fixture(scope="module")
def pte(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module above as the method `encode`, through the SDK alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        program = torch.export.export(FiveAxes().eval(), (torch.zeros(1, 4, 8),))
        manager = to_edge_transform_and_lower(
            {"encode": program},
            partitioner=[XnnpackPartitioner()],
            constant_methods={"contract_json": contract_of_file(manifest)},
        ).to_executorch()
    path = tmp_path_factory.mktemp("pte") / "encoder.pte"
    path.write_bytes(manager.buffer)
    return path


def test_executorch_defects_are_found(pte: Path, manifest: Manifest) -> None:
    found = serious(lint(pte, "executorch", manifest))
    assert set(found) == {"rank", "undelegated"}
    assert "[1, 2, 2, 2, 4]" in found["rank"]
    assert "1 aten::cumsum" in found["undelegated"]


def test_executorch_facts(pte: Path) -> None:
    facts = executorch_facts.read_facts(pte)
    graph = facts.graphs["encode"]
    assert graph.pieces == 1
    assert graph.outside == {"aten::cumsum": 1}
    # 8 x 8 weights and 8 biases.
    assert facts.constant_bytes["float32"] == 4 * (64 + 8)
    # Reshapes take nothing: at any time an input and an output of 32 floats.
    assert graph.peak_activation_bytes == 2 * 32 * 4


def test_files_that_cannot_be_read_are_findings(pte: Path, manifest: Manifest, tmp_path: Path) -> None:
    for name, runtime, data in (
        ("a.pte", "executorch", pte.read_bytes()[:-40]),
        ("b.tflite", "tflite", b"TFL3" * 9),
        ("c.mlmodel", "coreml", b"\xff" * 9),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        (found,) = lint(path, runtime, manifest)
        assert (found.rule, found.severity) == ("unreadable", Severity.ERROR)
        assert name in found.message


# What every format shares


def test_contract_inside_the_file_must_be_the_manifests(manifest: Manifest, tmp_path: Path) -> None:
    path = tflite_file(manifest, tmp_path)
    other = {**manifest.data, "sizes": {**manifest.data["sizes"], "slots": 5}}
    found = serious(lint(path, "tflite", Manifest(data=other, artifacts=())))
    assert found == {"metadata": "its contract.json differs from the manifest in sizes"}
    found = serious(lint(path, "tflite", manifest, recipe="dynamic_w8"))
    assert "differs from the manifest in recipe" in found["metadata"]
    path.write_bytes(tflite_passes.save_model(small_model()))
    assert "carries no contract.json" in serious(lint(path, "tflite", manifest))["metadata"]
    facts = tflite_facts.read_facts(path)
    for text in ("{", "[1]"):
        damaged = ArtifactFacts(graphs=facts.graphs, constant_bytes={}, contract_json=text)
        assert "metadata" in serious(lint_facts(damaged, artifact_of(path, "tflite"), manifest))


def test_weights_wider_than_the_recipe_promises(manifest: Manifest, tmp_path: Path) -> None:
    path = tflite_file(manifest, tmp_path)
    found = serious(lint(path, "tflite", manifest, recipe="fp16"))
    assert found["weights"] == "constants: float32 0.00 MB"
    assert "weights" not in serious(lint(path, "tflite", manifest, recipe="fp32"))


def test_much_memory_is_a_warning(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    graph = gpu_graph("RELU", floats(1, 2**14, 2**14))
    facts = ArtifactFacts(graphs={"encode": graph}, constant_bytes={}, contract_json=None)
    found = serious(lint_facts(facts, artifact_of(tmp_path / "x", "executorch"), manifest))
    assert "1073.7 MB" in found["peak_memory"]


def test_rules_are_those_that_findings_name(manifest: Manifest, tmp_path: Path) -> None:
    findings = lint(tflite_file(manifest, tmp_path, flex), "tflite", manifest)
    assert {f.rule for f in findings} <= set(RULES)
    assert [list(Severity).index(f.severity) for f in findings] == sorted(
        list(Severity).index(f.severity) for f in findings
    )
