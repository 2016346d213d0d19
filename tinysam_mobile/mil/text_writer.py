"""A proto Program as MIL text, as Core ML's compiler writes it into `model.mil`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.program import CONTROL_FLOW
from tinysam_mobile.mil.text import OPSET_OF_TEXT, TYPE_NUMBERS
from tinysam_mobile.mil.values import decode_value
from tinysam_mobile.mil.weights import WeightFiles

__all__ = ["write_program"]

_TYPE_NAMES = {number: name for name, number in TYPE_NUMBERS.items()}
_TEXT_OF_OPSET = {opset: text for text, opset in OPSET_OF_TEXT.items()}
_FLOATS = ("fp16", "fp32", "fp64")


def write_program(program: Any) -> str:
    """`program` as text; MilError for `cond` and `while_loop`, whose text form is not known."""
    newest = any(function.opset >= "CoreML8" for function in program.functions.values())
    return "".join(line + "\n" for line in _Writer(bare_scalars=newest).program(program))


class _Writer:
    """bare_scalars: `int32(1)` as from iOS 18 on, rather than `tensor<int32, []>(1)`."""

    def __init__(self, *, bare_scalars: bool) -> None:
        self.bare_scalars = bare_scalars
        self.no_weights = WeightFiles(None)

    def program(self, program: Any) -> Iterator[str]:
        yield f"program({'1.3' if self.bare_scalars else '1.0'})"
        if program.attributes:
            yield self._attributes(program.attributes)
        yield "{"
        for name, function in program.functions.items():
            yield from self._function(name, function)
        yield "}"

    def _function(self, name: str, function: Any) -> Iterator[str]:
        if function.opset not in _TEXT_OF_OPSET:
            raise MilError(f"function {name!r} has the unknown opset {function.opset!r}")
        inputs = ", ".join(f"{self._type(named.type)} {named.name}" for named in function.inputs)
        yield f"    func {name}<{_TEXT_OF_OPSET[function.opset]}>({inputs}) {{"
        block = function.block_specializations[function.opset]
        for operation in block.operations:
            yield "            " + self._operation(operation)
        yield f"        }} -> ({', '.join(block.outputs)});"

    def _operation(self, operation: Any) -> str:
        if operation.type in CONTROL_FLOW:
            raise MilError(f"{operation.type} cannot be written as text: how Core ML writes it is not known")
        results = ", ".join(f"{self._type(named.type)} {named.name}" for named in operation.outputs)
        arguments = ", ".join(
            f"{key} = {self._argument(argument)}" for key, argument in sorted(operation.inputs.items())
        )
        call = f"{operation.type}({arguments}){self._attributes(operation.attributes)};"
        return f"{results} = {call}" if results else call

    def _argument(self, argument: Any) -> str:
        parts = [
            binding.name if binding.WhichOneof("binding") == "name" else self._value(binding.value)
            for binding in argument.arguments
        ]
        return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"

    def _attributes(self, attributes: Any) -> str:
        if not attributes:
            return ""
        return "[" + ", ".join(f"{k} = {self._value(v)}" for k, v in sorted(attributes.items())) + "]"

    def _type(self, kind: Any) -> str:
        form = kind.WhichOneof("type")
        if form == "stateType":
            return f"state<{self._type(kind.stateType.wrappedType)}>"
        if form == "dictionaryType":
            pair = kind.dictionaryType
            return f"dict<{self._type(pair.keyType)}, {self._type(pair.valueType)}>"
        if form == "tupleType":
            return f"tuple<{', '.join(self._type(part) for part in kind.tupleType.types)}>"
        if form == "listType":
            return f"list<{self._type(kind.listType.type)}, {_dimension(kind.listType.length)}>"
        tensor = kind.tensorType
        if tensor.dataType not in _TYPE_NAMES or tensor.rank < 0:
            raise MilError("the program has a value whose type or rank it does not declare")
        name = _TYPE_NAMES[tensor.dataType]
        if self.bare_scalars and not tensor.dimensions:
            return name
        return f"tensor<{name}, [{', '.join(_dimension(d) for d in tensor.dimensions)}]>"

    def _scalar(self, name: str) -> str:
        return name if self.bare_scalars else f"tensor<{name}, []>"

    def _value(self, value: Any) -> str:
        return f"{self._type(value.type)}({self._literal(value)})"

    def _literal(self, value: Any) -> str:
        if value.WhichOneof("value") == "blobFileValue":
            blob = value.blobFileValue
            string, number = (self._scalar(name) for name in ("string", "uint64"))
            path = json.dumps(blob.fileName, ensure_ascii=False)
            return f"BLOBFILE(path = {string}({path}), offset = {number}({blob.offset}))"
        form = value.immediateValue.WhichOneof("value")
        if form == "dictionary":
            pairs = value.immediateValue.dictionary.values
            texts = [f"{{{self._literal(p.key)}, {self._literal(p.value)}}}" for p in pairs]
            return "{" + ", ".join(texts) + "}"
        if form in ("list", "tuple"):
            items = getattr(value.immediateValue, form).values
            return f"({', '.join(self._literal(item) for item in items)})" if items else ""
        decoded = decode_value(value, self.no_weights)
        plain = decoded.tolist() if hasattr(decoded, "tolist") else decoded
        return _literal_text(plain, is_float=_TYPE_NAMES[value.type.tensorType.dataType] in _FLOATS)


def _dimension(dimension: Any) -> str:
    return str(dimension.constant.size) if dimension.WhichOneof("dimension") == "constant" else "?"


def _literal_text(item: Any, *, is_float: bool) -> str:
    if isinstance(item, (list, tuple)):
        return "[" + ", ".join(_literal_text(part, is_float=is_float) for part in item) + "]"
    if isinstance(item, str):
        return json.dumps(item, ensure_ascii=False)
    if isinstance(item, bool):
        return "true" if item else "false"
    return float(item).hex() if is_float else str(item)
