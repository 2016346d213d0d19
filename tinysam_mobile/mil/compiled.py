"""Compiled models: `.mlmodelc` folders as apps ship them.

    model.mil        the program as text
    weights/         the same weight files as in a package
    metadata.json    what the inputs and outputs are called, their types and shapes
    coremldata.bin   a binary copy of the description, which is not needed

Apple documents none of it; see docs/mil.md for what this reader rests on.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.files import read_bytes
from tinysam_mobile.mil.proto import model_proto
from tinysam_mobile.mil.text import TYPE_NUMBERS, parse_program
from tinysam_mobile.mil.text_writer import write_program

__all__ = ["read_compiled", "write_compiled"]

_MAX_BYTES = 256 << 20
# Type of a program's value -> ArrayFeatureType.ArrayDataType.
_ARRAY_TYPES = {"fp16": 65552, "fp32": 65568, "fp64": 65600, "int32": 131104, "int8": 131080}
_JSON_TYPES = {"Float16": 65552, "Float32": 65568, "Double": 65600, "Int32": 131104, "Int8": 131080}
_COLOURS = {"Grayscale": 10, "RGB": 20, "BGR": 30, "Grayscale (16-bit half precision)": 40}
_NUMBER_NAMES = {number: name for name, number in TYPE_NUMBERS.items()}


def read_compiled(folder: Path) -> Any:
    """The compiled model as a specification (proto Model); MilError when it holds no ML Program."""
    source = folder / "model.mil"
    if not source.exists():
        if (folder / "model.espresso.net").exists() or (folder / "neural_network_optionals").exists():
            raise MilError(
                f"{folder} is a compiled neural network, not an ML Program; convert its source with "
                'coremltools.convert(source, convert_to="mlprogram")'
            )
        raise MilError(f"{folder} is not a compiled ML Program: it has no model.mil")
    try:
        text = read_bytes(source, "the program", _MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MilError(f"{source} is not text: {error}") from None
    spec = model_proto().Model()
    spec.specificationVersion = 9
    spec.mlProgram.CopyFrom(parse_program(text, str(source)))
    _describe(spec, _metadata(folder))
    return spec


def write_compiled(spec: Any, weights_dir: Path | None, folder: Path) -> None:
    """Write a specification as a compiled model that `read_compiled` (not Core ML) can load."""
    text = write_program(spec.mlProgram)
    folder.mkdir(parents=True)
    (folder / "model.mil").write_text(text, encoding="utf-8")
    if weights_dir is not None:
        shutil.copytree(weights_dir, folder / "weights")
    description = spec.description
    functions = [
        {"name": f.name, "inputSchema": _schema(f.input), "outputSchema": _schema(f.output),
         "stateSchema": _schema(f.state)}
        for f in description.functions
    ]  # fmt: skip
    content = {
        "specificationVersion": spec.specificationVersion,
        "inputSchema": _schema(description.input), "outputSchema": _schema(description.output),
        "stateSchema": _schema(description.state), "functions": functions,
        "defaultFunctionName": description.defaultFunctionName,
        "userDefinedMetadata": dict(description.metadata.userDefined),
    }  # fmt: skip
    (folder / "metadata.json").write_text(json.dumps([content], indent=2), encoding="utf-8")


def _metadata(folder: Path) -> dict[str, Any]:
    """The first record of metadata.json; empty when there is no such file."""
    path = folder / "metadata.json"
    if not path.exists():
        return {}
    try:
        content = json.loads(read_bytes(path, "the metadata", _MAX_BYTES))
        record = content[0] if isinstance(content, list) else content
    except (ValueError, IndexError, RecursionError) as error:
        raise MilError(f"{path} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise MilError(f"{path} cannot be read: it holds no record")
    return record


def _describe(spec: Any, metadata: dict[str, Any]) -> None:
    """Fill the description from the metadata, and from the program where that says nothing."""
    program, description = spec.mlProgram, spec.description
    records = {f["name"]: f for f in _records(metadata.get("functions")) if isinstance(f.get("name"), str)}
    if len(program.functions) == 1 and not records:
        (function,) = program.functions.values()
        _describe_function(description, function, metadata)
    else:
        for name, function in program.functions.items():
            described = description.functions.add(name=name)
            _describe_function(described, function, records.get(name, {}))
        default = metadata.get("defaultFunctionName")
        first = next(iter(program.functions), "")
        description.defaultFunctionName = default if isinstance(default, str) and default else first
    user = metadata.get("userDefinedMetadata")
    if isinstance(user, dict):
        description.metadata.userDefined.update({str(k): str(v) for k, v in user.items()})


def _describe_function(description: Any, function: Any, record: dict[str, Any]) -> None:
    schemas = [_by_name(record.get(key)) for key in ("inputSchema", "outputSchema")]
    for named in function.inputs:
        if named.type.WhichOneof("type") == "stateType":
            array = description.state.add(name=named.name).type.stateType.arrayType
            _array_of(array, named.type.stateType.wrappedType.tensorType)
        else:
            _feature(description.input.add(name=named.name), named.type, schemas[0].get(named.name, {}))
    block = function.block_specializations[function.opset]
    types = {named.name: named.type for named in function.inputs}
    types |= {named.name: named.type for operation in block.operations for named in operation.outputs}
    for name in block.outputs:
        if name in types:
            _feature(description.output.add(name=name), types[name], schemas[1].get(name, {}))


def _records(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _by_name(schema: Any) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in _records(schema) if isinstance(item.get("name"), str)}


def _feature(feature: Any, kind: Any, record: dict[str, Any]) -> None:
    form = kind.WhichOneof("type")
    if form == "dictionaryType":
        feature.type.dictionaryType.SetInParent()
    elif form == "tensorType" and kind.tensorType.dataType == TYPE_NUMBERS["string"]:
        feature.type.stringType.SetInParent()
    elif record.get("type") == "Image":
        image = feature.type.imageType
        image.width, image.height = _number(record.get("width")), _number(record.get("height"))
        image.colorSpace = _COLOURS.get(str(record.get("colorspace")), 20)
    else:
        array = feature.type.multiArrayType
        _array_of(array, kind.tensorType)
        if record.get("dataType") in _JSON_TYPES:
            array.dataType = _JSON_TYPES[record["dataType"]]
        _flexible(array, record)
    feature.type.isOptional = record.get("isOptional") == "1"


def _array_of(array: Any, tensor: Any) -> None:
    """The type and the fixed shape that the program declares; float32 for what no array can hold."""
    array.dataType = _ARRAY_TYPES.get(_NUMBER_NAMES.get(tensor.dataType, ""), 65568)
    sizes = [d.constant.size for d in tensor.dimensions if d.WhichOneof("dimension") == "constant"]
    if len(sizes) == len(tensor.dimensions):
        array.shape.extend(sizes or [1])


def _flexible(array: Any, record: dict[str, Any]) -> None:
    shape = _numbers(record.get("shape"))
    if shape and not array.shape:
        array.shape.extend(shape)
    enumerated, ranges = _groups(record.get("enumeratedShapes")), _groups(record.get("shapeRange"))
    if record.get("hasShapeFlexibility") != "1":
        return
    if enumerated:
        for group in enumerated:
            array.enumeratedShapes.shapes.add().shape.extend(group)
    else:
        for low, *high in ranges:
            array.shapeRange.sizeRanges.add(lowerBound=low, upperBound=high[0] if high else -1)


def _number(value: Any) -> int:
    numbers = _numbers(value)
    return numbers[0] if numbers else 0


def _numbers(value: Any) -> list[int]:
    """Integers in a text such as "[1, 3, 224, 224]"; none that a shape cannot have."""
    found = [int(text) for text in re.findall(r"-?\d{1,12}", str(value))] if value is not None else []
    return [number for number in found if -1 <= number < 2**40]


def _groups(value: Any) -> list[list[int]]:
    """Lists of integers in a text such as "[[1, 3], [1, -1]]"; those that are not empty."""
    inner = re.findall(r"\[([^\[\]]*)\]", str(value)) if value is not None else []
    return [numbers for numbers in (_numbers(text) for text in inner) if numbers]


def _schema(features: Iterable[Any]) -> list[dict[str, str]]:
    return [_schema_entry(feature) for feature in features]


def _schema_entry(feature: Any) -> dict[str, str]:
    form = feature.type.WhichOneof("Type")
    entry = {"name": feature.name, "isOptional": str(int(feature.type.isOptional))}
    if form == "imageType":
        image = feature.type.imageType
        colours = {number: name for name, number in _COLOURS.items()}
        return entry | {"type": "Image", "width": str(image.width), "height": str(image.height),
                        "colorspace": colours.get(image.colorSpace, "")}  # fmt: skip
    if form not in ("multiArrayType", "stateType"):
        return entry | {"type": str(form)}
    array = feature.type.multiArrayType if form == "multiArrayType" else feature.type.stateType.arrayType
    names = {number: name for name, number in _JSON_TYPES.items()}
    entry |= {"type": "MultiArray", "dataType": names.get(array.dataType, ""),
              "shape": str(list(array.shape)), "hasShapeFlexibility": "0"}  # fmt: skip
    flexibility = array.WhichOneof("ShapeFlexibility")
    if flexibility == "enumeratedShapes":
        shapes = [list(s.shape) for s in array.enumeratedShapes.shapes]
        entry |= {"hasShapeFlexibility": "1", "enumeratedShapes": str(shapes)}
    elif flexibility == "shapeRange":
        ranges = [[r.lowerBound, r.upperBound] for r in array.shapeRange.sizeRanges]
        entry |= {"hasShapeFlexibility": "1", "shapeRange": str(ranges)}
    return entry
