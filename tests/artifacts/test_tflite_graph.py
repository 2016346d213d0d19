"""Reading .tflite files: a small model made by hand, what is said of it, and files that are not models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tinysam_mobile.artifacts.tflite_facts import describe
from tinysam_mobile.artifacts.tflite_graph import FLEX_PREFIX, read_graph
from tinysam_mobile.contract.spec import Component, Signature, TensorSpec
from tinysam_mobile.converters import tflite_passes
from tinysam_mobile.errors import BundleError, UsageError
from tinysam_mobile.simulator.tflite import open_session

ADDEND = np.array([[1.0, 2.0, 3.0]], np.float32)
SIGNATURE = Signature(
    name="encode",
    component=Component.ENCODER,
    inputs=(TensorSpec(name="x", shape=(1, 3)),),
    outputs=(TensorSpec(name="y", shape=(1, 3)),),
)


def small_model() -> Any:
    """y = x + [1, 2, 3], with the signature `encode`."""

    def tensor(name: str, buffer: int) -> Any:
        return schema.TensorT(name=name, shape=np.array([1, 3], np.int32), buffer=buffer)

    add = schema.OperatorT(
        inputs=np.array([0, 1], np.int32),
        outputs=np.array([2], np.int32),
        builtinOptionsType=schema.BuiltinOptions.AddOptions,
        builtinOptions=schema.AddOptionsT(),
    )
    graph = schema.SubGraphT(
        name="main",
        tensors=[tensor("x", 0), tensor("addend", 1), tensor("y", 0)],
        inputs=np.array([0], np.int32),
        outputs=np.array([2], np.int32),
        operators=[add],
    )
    definition = schema.SignatureDefT(
        inputs=[schema.TensorMapT(name="x", tensorIndex=0)],
        outputs=[schema.TensorMapT(name="y", tensorIndex=2)],
        signatureKey="encode",
    )
    return schema.ModelT(
        version=3,
        operatorCodes=[schema.OperatorCodeT(builtinCode=schema.BuiltinOperator.ADD, version=1)],
        subgraphs=[graph],
        buffers=[schema.BufferT(), schema.BufferT(data=np.frombuffer(ADDEND.tobytes(), np.uint8))],
        signatureDefs=[definition],
    )


def write(model: Any, path: Path) -> Path:
    path.write_bytes(tflite_passes.save_model(model))
    return path


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return write(small_model(), tmp_path / "small.tflite")


def test_small_model_runs(model_file: Path) -> None:
    session = open_session(
        model_file, signatures={"encode": SIGNATURE}, entry_points={"encode": "encode"}, num_threads=None
    )
    x = np.array([[10.0, 20.0, 30.0]], np.float32)
    np.testing.assert_array_equal(session.run("encode", {"x": x})["y"], x + ADDEND)


def test_graph_tells_what_the_file_holds(model_file: Path) -> None:
    graph = read_graph(model_file)
    assert graph.size_bytes == model_file.stat().st_size
    assert (graph.max_rank, graph.custom_ops, graph.dynamic_tensors) == (2, (), ())
    assert graph.constant_bytes == {"FLOAT32": ADDEND.nbytes}
    assert dict(graph.subgraph_of("encode").histogram) == {"ADD": 1}


def test_description_is_json(model_file: Path) -> None:
    details = json.loads(json.dumps(describe(model_file)))
    assert details["signatures"]["encode"]["inputs"] == {"x": {"shape": [1, 3], "dtype": "float32"}}
    assert details["signatures"]["encode"]["operators"] == {"ADD": 1}


def test_dynamic_shape_is_seen(tmp_path: Path) -> None:
    model = small_model()
    model.subgraphs[0].tensors[0].shapeSignature = np.array([-1, 3], np.int32)
    assert read_graph(write(model, tmp_path / "dynamic.tflite")).dynamic_tensors == ("x",)


def test_custom_operations_are_seen_and_not_run(tmp_path: Path) -> None:
    model = small_model()
    model.operatorCodes[0] = schema.OperatorCodeT(
        builtinCode=schema.BuiltinOperator.CUSTOM, customCode=FLEX_PREFIX + "Erf"
    )
    path = write(model, tmp_path / "flex.tflite")
    assert read_graph(path).custom_ops == ("FlexErf",)
    with pytest.raises(BundleError, match="FlexErf"):
        open_session(path, signatures={"encode": SIGNATURE}, entry_points={"encode": "encode"}, num_threads=1)


def test_computed_weights_are_seen(tmp_path: Path) -> None:
    model = small_model()
    graph = model.subgraphs[0]
    options = schema.FullyConnectedOptionsT()
    for weights, expected in ((1, 0), (0, 1)):
        graph.operators[0] = schema.OperatorT(
            inputs=np.array([0, weights], np.int32),
            outputs=np.array([2], np.int32),
            builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
            builtinOptions=options,
        )
        model.operatorCodes[0].builtinCode = schema.BuiltinOperator.FULLY_CONNECTED
        subgraph = read_graph(write(model, tmp_path / f"{weights}.tflite")).subgraphs[0]
        assert len(subgraph.ops_with_computed_weights()) == expected


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.9, 0.99])
def test_truncated_file_is_named(model_file: Path, keep: float) -> None:
    data = model_file.read_bytes()
    model_file.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(BundleError, match=r"small\.tflite"):
        read_graph(model_file)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 100], ids=["empty", "html", "noise"]
)
def test_other_content_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"other\.tflite"):
        read_graph(path)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "none.tflite", r"none\.tflite: ")):
        with pytest.raises(BundleError, match=message):
            read_graph(path)


def _operator_input(model: Any) -> None:
    model.subgraphs[0].operators[0].inputs = np.array([0, 10**6], np.int32)


def _operator_code(model: Any) -> None:
    model.subgraphs[0].operators[0].opcodeIndex = 9


def _buffer(model: Any) -> None:
    model.subgraphs[0].tensors[0].buffer = 10**6


def _constant_size(model: Any) -> None:
    model.subgraphs[0].tensors[1].shape = np.array([1000, 3], np.int32)


def _signature_subgraph(model: Any) -> None:
    model.signatureDefs[0].subgraphIndex = 7


def _signature_tensor(model: Any) -> None:
    model.signatureDefs[0].outputs[0].tensorIndex = 3


def _graph_output(model: Any) -> None:
    model.subgraphs[0].outputs = np.array([3], np.int32)


@pytest.mark.parametrize(
    "spoil",
    [
        _operator_input,
        _operator_code,
        _buffer,
        _constant_size,
        _signature_subgraph,
        _signature_tensor,
        _graph_output,
    ],
)
def test_inconsistent_model_is_named(tmp_path: Path, spoil: Callable[[Any], None]) -> None:
    model = small_model()
    spoil(model)
    with pytest.raises(BundleError, match=r"hostile\.tflite"):
        read_graph(write(model, tmp_path / "hostile.tflite"))


@pytest.mark.parametrize(
    ("key", "inputs", "message"),
    [
        ("segment", SIGNATURE.inputs, "no signature 'segment'"),
        (
            "encode",
            (TensorSpec(name="x", shape=(1, 4)),),
            r"are x float32\[1, 3\]; the contract has",
        ),
        ("encode", (TensorSpec(name="x", shape=(1, 3), dtype="int32"),), "the contract has x int32"),
    ],
)
def test_file_of_another_contract_is_refused(
    model_file: Path, key: str, inputs: tuple[TensorSpec, ...], message: str
) -> None:
    signature = Signature(
        name="encode", component=Component.ENCODER, inputs=inputs, outputs=SIGNATURE.outputs
    )
    with pytest.raises(BundleError, match=message):
        open_session(
            model_file, signatures={"encode": signature}, entry_points={"encode": key}, num_threads=None
        )


def test_thread_count_must_be_positive(model_file: Path) -> None:
    with pytest.raises(UsageError, match="threads"):
        open_session(model_file, signatures={}, entry_points={}, num_threads=0)
