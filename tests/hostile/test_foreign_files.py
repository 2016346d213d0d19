"""Models that others converted: what is equivalent is taken, and what is not is named."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinysam_mobile.artifacts.formats import format_of
from tinysam_mobile.artifacts.tflite_facts import describe
from tinysam_mobile.artifacts.tflite_graph import ONLY_SIGNATURE
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.contract.spec import Component, Signature, TensorSpec
from tinysam_mobile.errors import BundleError
from tinysam_mobile.mil.features import Feature
from tinysam_mobile.parity.compare import probe_inputs
from tinysam_mobile.simulator.coreml import MilSession, _check
from tinysam_mobile.simulator.registry import open_bundle
from tinysam_mobile.simulator.tflite import open_session

WANTED = TensorSpec(name="masks", shape=(1, 3, 8, 8))


def signature(output: TensorSpec) -> Signature:
    return Signature(name="decode", component=Component.DECODER, inputs=(), outputs=(output,))


def model(**feature: Any) -> Any:
    outputs = {"masks": Feature(name="masks", kind="array", **feature)}
    return SimpleNamespace(
        inputs={}, outputs=outputs, predict=lambda _: {"masks": np.ones((1, 3, 8, 8), np.float16)}
    )


@pytest.mark.parametrize(
    "feature",
    [
        {"dtype": np.dtype("float32"), "shape": (1, 3, 8, 8)},
        {"dtype": np.dtype("float16"), "shape": (1, 3, 8, 8)},
        {"dtype": np.dtype("float16"), "shape": ()},
        {"dtype": np.dtype("float32"), "shape": (1, 3, 4, 4), "enumerated": ((1, 3, 4, 4), (1, 3, 8, 8))},
        {"dtype": np.dtype("float32"), "shape": (1, 3, 4, 4), "ranges": ((1, 1), (3, 3), (4, None), (4, 16))},
    ],
)
def test_equivalent_outputs_of_a_package_are_taken(feature: dict[str, Any]) -> None:
    _check(Path("x.mlpackage"), signature(WANTED), model(**feature))
    session = MilSession({"decode": signature(WANTED)}, {"decode": model(**feature)})
    assert session.run("decode", {})["masks"].dtype == np.float32


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        (
            {"dtype": np.dtype("int32"), "shape": (1, 3, 8, 8)},
            r"masks is int32 \(1, 3, 8, 8\) instead of float32",
        ),
        (
            {"dtype": np.dtype("float16"), "shape": (1, 4, 8, 8)},
            r"masks is float16 \(1, 4, 8, 8\) instead of",
        ),
        ({"dtype": np.dtype("float32"), "shape": (), "enumerated": ((1, 3, 4, 4),)}, "masks is float32"),
        ({"dtype": np.dtype("float32"), "shape": (), "ranges": ((1, 1), (3, 3), (1, 4), (1, 4))}, "1..4"),
    ],
)
def test_an_output_that_differs_is_named_with_both_forms(feature: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError, match=said):
        _check(Path("x.mlpackage"), signature(WANTED), model(**feature))


def test_a_shape_that_is_only_seen_when_it_runs_is_named() -> None:
    wanted = TensorSpec(name="masks", shape=(1, 3, 4, 4))
    session = MilSession(
        {"decode": signature(wanted)}, {"decode": model(dtype=np.dtype("float32"), shape=())}
    )
    with pytest.raises(BundleError, match=r"masks has the shape \(1, 3, 8, 8\)"):
        session.run("decode", {})


@pytest.fixture(scope="module")
def unnamed(
    tflite_bundle: tuple[Path, CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, Path]:
    """The encoder without its signatures, under a name that says nothing."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    bundle = Bundle.open(tflite_bundle[0])
    data = (bundle.folder / "tflite/fp32/encoder.tflite").read_bytes()
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    content.signatureDefs = None
    builder = flatbuffers.Builder(len(data))
    builder.Finish(content.Pack(builder), b"TFL3")
    path = tmp_path_factory.mktemp("unnamed") / "encoder.bin"
    path.write_bytes(builder.Output())
    return bundle, path


def test_a_file_without_signatures_is_described_and_known_by_its_first_bytes(
    unnamed: tuple[Bundle, Path],
) -> None:
    _, path = unnamed
    fmt = format_of(path)
    assert fmt is not None
    assert fmt.name == "tflite"
    described = describe(path)["signatures"][ONLY_SIGNATURE]
    assert len(described["inputs"]) == 2
    assert described["operators"]


def test_a_file_without_signatures_gives_the_same_answers(unnamed: tuple[Bundle, Path]) -> None:
    bundle, path = unnamed
    described = describe(path)["signatures"][ONLY_SIGNATURE]
    ours = bundle.manifest.contract.signatures["encode"]
    names = {spec.shape: name for name, spec in ((n, _spec(n, d)) for n, d in described["inputs"].items())}
    theirs = Signature(
        name="encode",
        component=Component.ENCODER,
        inputs=tuple(TensorSpec(name=names[s.shape], shape=s.shape, dtype=s.dtype) for s in ours.inputs),
        outputs=tuple(_spec(n, d) for n, d in described["outputs"].items()),
    )
    session = open_session(
        path, signatures={"encode": theirs}, entry_points={"encode": ONLY_SIGNATURE}, num_threads=1
    )
    inputs = probe_inputs(bundle.manifest.contract, None)["encode"]
    renamed = {names[inputs[spec.name].shape]: inputs[spec.name] for spec in ours.inputs}
    (actual,) = session.run("encode", renamed).values()
    (expected,) = open_bundle(bundle, "tflite", num_threads=1).run("encode", inputs).values()
    np.testing.assert_array_equal(actual, expected)


def _spec(name: str, described: dict[str, Any]) -> TensorSpec:
    return TensorSpec(name=name, shape=tuple(described["shape"]), dtype=described["dtype"])
