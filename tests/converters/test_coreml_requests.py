"""Core ML: requests that cannot be met, the quiet SDK, and Apple's predictor behind our session."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tinysam_mobile.artifacts.coreml_sdk import import_coremltools, quiet
from tinysam_mobile.converters import coreml
from tinysam_mobile.converters.base import ConversionRequest
from tinysam_mobile.errors import (
    BundleError,
    ConversionError,
    MilError,
    RuntimeUnavailableError,
    UnknownNameError,
)
from tinysam_mobile.modeling.config import CONFIGS
from tinysam_mobile.modeling.entry_points import EntryPoint, contract_of, entry_points
from tinysam_mobile.modeling.stand_in import stand_in_model
from tinysam_mobile.quant.recipe import RECIPES
from tinysam_mobile.simulator import coreml_native


def a_request(entries: dict[str, EntryPoint], folder: Path, target: str = "iOS16") -> ConversionRequest:
    return ConversionRequest(
        entry_points=entries, recipe=RECIPES["fp32"], contract={}, folder=folder, deployment_target=target
    )


@pytest.fixture(scope="module")
def entries() -> dict[str, EntryPoint]:
    model = stand_in_model(CONFIGS["tiny-test"])
    return entry_points(model, contract_of(model))


class Unconvertible(torch.nn.Module):
    def forward(self, image: torch.Tensor, valid_size: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.special.bessel_j0(image) + valid_size.sum()
        return out


def test_what_coreml_cannot_express_leaves_nothing(entries: dict[str, EntryPoint], tmp_path: Path) -> None:
    broken = entries | {"encode": EntryPoint(signature=entries["encode"].signature, module=Unconvertible())}
    with pytest.raises(ConversionError, match=r"could not express encode .*bessel_j0.*--deployment-target"):
        coreml.convert(a_request(broken, tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_taken_name_is_refused_before_the_work(entries: dict[str, EntryPoint], tmp_path: Path) -> None:
    (tmp_path / "decoder.mlpackage").mkdir()
    said: list[str] = []
    with pytest.raises(ConversionError, match=r"decoder\.mlpackage exists already"):
        coreml.convert(replace(a_request(entries, tmp_path), progress=said.append))
    assert not said


def test_unknown_names_list_the_known(entries: dict[str, EntryPoint], tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="iOS16, iOS17, iOS18"):
        coreml.convert(a_request(entries, tmp_path, "iOS11"))
    with pytest.raises(ConversionError, match="nearest that it can is static_w8a8"):
        coreml.convert(replace(a_request(entries, tmp_path), recipe=RECIPES["dynamic_w8"]))


def test_without_coremltools(
    entries: dict[str, EntryPoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(RuntimeUnavailableError, match="pip install 'coremltools"):
        coreml.convert(a_request(entries, tmp_path))


def test_native_predictor_is_for_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    with pytest.raises(RuntimeUnavailableError, match="--runtime coreml"):
        coreml_native.open_session(Path("encoder.mlpackage"), signatures={}, entry_points={})


def test_quiet_says_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    import_coremltools()
    logger = logging.getLogger("coremltools")
    level = logger.level
    with quiet():
        logger.warning("Torch version has not been tested")
        print("Running MIL pipeline: 100%", file=sys.stderr)
        assert logger.isEnabledFor(logging.ERROR)
    assert logger.level == level
    assert capsys.readouterr().err == ""


class FakeModel:
    """Stands for `coremltools.models.MLModel`, which predicts on macOS only."""

    def __init__(self, path: str, function_name: str | None = None) -> None:
        if not path.endswith("decoder.mlpackage"):
            raise RuntimeError("unable to load")
        self.function_name = function_name

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if np.isnan(inputs["image_embeddings"]).any():
            raise RuntimeError("failed on the Neural Engine")
        masks = np.full((1, 3, 32, 32), 2.0, np.float16)
        return {"iou_predictions": np.zeros((1, 3), np.float32), "low_res_masks": masks}


def test_native_session_asks_apples_predictor(
    entries: dict[str, EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr(import_coremltools().models, "MLModel", FakeModel)
    signatures = {"decode": entries["decode"].signature}
    inputs = {s.name: np.zeros(s.shape, s.dtype) for s in signatures["decode"].inputs}
    for function, asked in (("decode", "decode"), ("main", None)):
        session = coreml_native.open_session(
            Path("decoder.mlpackage"), signatures=signatures, entry_points={"decode": function}
        )
        assert session.models["decode"].function_name == asked
        outputs = session.run("decode", inputs)
        assert list(outputs) == ["low_res_masks", "iou_predictions"]
        assert {value.dtype for value in outputs.values()} == {np.dtype("float32")}
        np.testing.assert_array_equal(outputs["low_res_masks"], 2.0)
    inputs["image_embeddings"][:] = np.nan
    with pytest.raises(MilError, match="could not run decode: failed on the Neural Engine"):
        session.run("decode", inputs)
    with pytest.raises(BundleError, match="does not load its function main"):
        coreml_native.open_session(Path("other"), signatures=signatures, entry_points={"decode": "main"})


def test_only_what_is_asked_for_is_made(entries: dict[str, EntryPoint], tmp_path: Path) -> None:
    (file,) = coreml.convert(a_request({"encode": entries["encode"]}, tmp_path, "iOS18"))
    assert (file.path.name, dict(file.entry_points)) == ("encoder.mlpackage", {"encode": "encode"})
    folder = tmp_path / "batch"
    folder.mkdir()
    (file,) = coreml.convert(a_request({"decode_batch": entries["decode_batch"]}, folder, "iOS18"))
    assert (file.path.name, dict(file.entry_points)) == (
        "decoder.mlpackage",
        {"decode_batch": "decode_batch"},
    )
