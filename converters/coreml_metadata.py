"""What a .mlpackage says about itself: description, author, licence, version, tensors, contract.json.

Xcode shows it and `MLModelDescription` gives it to an app.  It is written into the saved package because
merging functions drops what was set before.  Source: coremltools' `Model.proto` (`Metadata`,
`FeatureDescription`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tinysam_mobile.artifacts.coreml_sdk import import_coremltools, quiet
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.converters.base import ConversionRequest
from tinysam_mobile.converters.descriptions import AUTHOR, COMPONENTS, TENSORS
from tinysam_mobile.version import __version__

__all__ = ["CONTRACT_KEY", "describe", "take_image"]

CONTRACT_KEY = "contract.json"
SPECIFICATION = Path("Data", "com.apple.CoreML", "model.mlmodel")


def describe(package: Path, *, request: ConversionRequest, component: Component) -> None:
    """Write descriptions, author, licence, version and `contract.json` into the specification of `package`.

    The package is one that no one else reads yet: it is changed in place.
    """
    spec = _load(package)
    description = spec.description
    _describe_model(description.metadata, request, component)
    for function in list(description.functions) or [description]:
        for feature in (*function.input, *function.output):
            feature.shortDescription = TENSORS[feature.name]
    _store(package, spec)


def take_image(package: Path, copy: Path) -> None:
    """Copy a one-function package and let the copy take its `image` tensor (1, 3, S, S) as a Core ML image.

    An RGB image without scale and bias reaches the program as the same 0–255 tensor, so only the
    description differs; `coremltools.ImageType` gives the same program after a second conversion.
    """
    shutil.copytree(package, copy)
    spec = _load(copy)
    (feature,) = [feature for feature in spec.description.input if feature.name == "image"]
    height, width = feature.type.multiArrayType.shape[-2:]
    image = feature.type.imageType
    image.height, image.width = height, width
    image.colorSpace = image.ColorSpace.Value("RGB")
    _store(copy, spec)


def _load(package: Path) -> Any:
    ct = import_coremltools()
    with quiet():
        return ct.utils.load_spec(str(package))


def _store(package: Path, spec: Any) -> None:
    (package / SPECIFICATION).write_bytes(spec.SerializeToString(deterministic=True))


def _describe_model(metadata: Any, request: ConversionRequest, component: Component) -> None:
    metadata.shortDescription = COMPONENTS[component]
    metadata.author = AUTHOR
    metadata.license = str(request.contract.get("licence", "Apache-2.0"))
    metadata.versionString = __version__
    metadata.userDefined[CONTRACT_KEY] = json.dumps(request.contract, ensure_ascii=False, sort_keys=True)
    metadata.userDefined["tinysam_mobile.version"] = __version__
    metadata.userDefined["tinysam_mobile.recipe"] = request.recipe.id
    metadata.userDefined["tinysam_mobile.deployment_target"] = request.deployment_target
