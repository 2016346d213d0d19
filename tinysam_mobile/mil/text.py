"""MIL text to a proto Program.

The grammar is that of the `model.mil` files that Core ML's compiler writes, in both of its forms: scalars as
`tensor<int32, []>(1)` (up to iOS 17) and as `int32(1)` (from iOS 18 on).  How it writes the blocks of `cond`
and `while_loop` is not known, so those are refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.datatypes import DTYPES, STRING, pack_bits
from tinysam_mobile.mil.proto import mil_proto
from tinysam_mobile.mil.text_lexer import Words

__all__ = ["OPSET_OF_TEXT", "TYPE_NUMBERS", "parse_program"]

OPSET_OF_TEXT = {
    "ios15": "CoreML5", "ios16": "CoreML6", "ios17": "CoreML7", "ios18": "CoreML8", "ios26": "CoreML9",
}  # fmt: skip
TYPE_NUMBERS = {element.name: number for number, element in DTYPES.items()} | {"string": STRING}
_CONTROL_FLOW = ("cond", "while_loop")
_MAX_DEPTH = 64


def parse_program(text: str, source: str) -> Any:
    """The proto Program that `text` (from the file `source`) describes; MilError with the line otherwise."""
    try:
        return _Parser(Words(text, source)).program()
    except RecursionError:
        raise MilError(f"{source}: values are nested too deeply") from None


class _Parser:
    def __init__(self, words: Words) -> None:
        self.words = words
        self.proto = mil_proto()
        self.depth = 0

    def program(self) -> Any:
        words, program = self.words, self.proto.Program()
        words.expect("program")
        words.expect("(")
        words.number()
        words.expect(")")
        program.version = 1
        self._attributes(program.attributes)
        words.expect("{")
        while not words.accept("}"):
            self._function(program.functions)
        if words.kind:
            raise words.error(f"expected the end, found {words.word!r}")
        return program

    def _function(self, functions: Any) -> None:
        words = self.words
        words.expect("func")
        name = words.name()
        words.expect("<")
        opset = words.name()
        words.expect(">")
        if opset not in OPSET_OF_TEXT:
            raise words.error(f"unknown opset {opset!r}; known: {', '.join(OPSET_OF_TEXT)}")
        function = functions[name]
        function.opset = OPSET_OF_TEXT[opset]
        words.expect("(")
        self._separated(")", lambda: self._named(function.inputs.add()))
        self._attributes(function.attributes)
        block = function.block_specializations[function.opset]
        words.expect("{")
        while not words.accept("}"):
            self._operation(block.operations.add())
        words.expect("->")
        words.expect("(")
        self._separated(")", lambda: block.outputs.append(words.name()))
        words.expect(";")

    def _separated(self, end: str, item: Callable[[], Any]) -> None:
        if self.words.accept(end):
            return
        item()
        while self.words.accept(","):
            item()
        self.words.expect(end)

    def _named(self, named: Any) -> None:
        self._type(named.type)
        named.name = self.words.name()

    def _operation(self, operation: Any) -> None:
        """`type name, type name = op(key = argument, ...)[key = value, ...];`, or without results."""
        words = self.words
        first = words.word
        if first in TYPE_NUMBERS or first in ("tensor", "list", "tuple", "dict", "state"):
            self._named(operation.outputs.add())
            while words.accept(","):
                self._named(operation.outputs.add())
            words.expect("=")
        operation.type = words.name()
        if operation.type in _CONTROL_FLOW:
            raise words.error(
                f"a compiled model's {operation.type} is not read; give the .mlpackage that it comes from"
            )
        words.expect("(")
        self._separated(")", lambda: self._argument(operation.inputs))
        self._attributes(operation.attributes)
        words.expect(";")

    def _argument(self, inputs: Any) -> None:
        key = self.words.name()
        self.words.expect("=")
        argument = inputs[key]
        if self.words.accept("("):
            self._separated(")", lambda: self._binding(argument.arguments.add()))
        else:
            self._binding(argument.arguments.add())

    def _binding(self, binding: Any) -> None:
        if self._at_value():
            self._value(binding.value)
        else:
            binding.name = self.words.name()

    def _at_value(self) -> bool:
        word = self.words.word
        is_type = word in TYPE_NUMBERS or word in ("tensor", "list", "tuple", "dict")
        return self.words.kind == "name" and is_type

    def _attributes(self, attributes: Any) -> None:
        if not self.words.accept("["):
            return

        def item() -> None:
            key = self.words.name()
            self.words.expect("=")
            self._value(attributes[key])

        self._separated("]", item)

    def _type(self, kind: Any) -> None:
        words = self.words
        word = words.name()
        if word in TYPE_NUMBERS:
            kind.tensorType.dataType = TYPE_NUMBERS[word]
            kind.tensorType.rank = 0
            return
        if word not in ("tensor", "list", "tuple", "dict", "state"):
            raise words.error(f"unknown type {word!r}")
        words.expect("<")
        self._enter()
        if word == "tensor":
            self._tensor_type(kind.tensorType)
        elif word == "state":
            self._type(kind.stateType.wrappedType)
        elif word == "list":
            self._type(kind.listType.type)
            words.expect(",")
            self._dimension(kind.listType.length)
        elif word == "dict":
            self._type(kind.dictionaryType.keyType)
            words.expect(",")
            self._type(kind.dictionaryType.valueType)
        else:
            kind.tupleType.SetInParent()
            while words.word != ">":
                self._type(kind.tupleType.types.add())
                words.accept(",")
        self.depth -= 1
        words.expect(">")

    def _enter(self) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.words.error("types are nested too deeply")

    def _tensor_type(self, tensor: Any) -> None:
        words = self.words
        name = words.name()
        if name not in TYPE_NUMBERS:
            raise words.error(f"unknown element type {name!r}")
        tensor.dataType = TYPE_NUMBERS[name]
        words.expect(",")
        words.expect("[")
        self._separated("]", lambda: self._dimension(tensor.dimensions.add()))
        tensor.rank = len(tensor.dimensions)

    def _dimension(self, dimension: Any) -> None:
        words = self.words
        if words.kind == "number":
            size = words.number()
            if not isinstance(size, int) or not 0 <= size < 2**63:
                raise words.error(f"a dimension cannot be {size}")
            dimension.constant.size = size
            return
        if not words.accept("?"):
            words.name()
        dimension.unknown.variadic = False

    def _value(self, value: Any) -> None:
        """`type(literal)`."""
        self._type(value.type)
        self.words.expect("(")
        self._literal(value)
        self.words.expect(")")

    def _literal(self, value: Any) -> None:
        kind = value.type.WhichOneof("type")
        if kind == "dictionaryType":
            self._dictionary(value)
        elif kind in ("tupleType", "listType"):
            self._items(value, kind)
        elif self.words.accept("BLOBFILE"):
            self._blob(value.blobFileValue)
        else:
            flat: list[Any] = []
            self._flatten(flat)
            self._store(value, flat)

    def _dictionary(self, value: Any) -> None:
        kind, pairs = value.type.dictionaryType, value.immediateValue.dictionary
        pairs.SetInParent()
        self.words.expect("{")

        def item() -> None:
            self.words.expect("{")
            pair = pairs.values.add()
            pair.key.type.CopyFrom(kind.keyType)
            pair.value.type.CopyFrom(kind.valueType)
            self._literal(pair.key)
            self.words.expect(",")
            self._literal(pair.value)
            self.words.expect("}")

        self._separated("}", item)

    def _items(self, value: Any, kind: str) -> None:
        """A tuple or list in brackets or parentheses; without any when it is empty."""
        immediate = value.immediateValue
        items = immediate.tuple if kind == "tupleType" else immediate.list
        items.SetInParent()
        if self.words.word == ")":
            return
        end = {"(": ")", "[": "]", "{": "}"}.get(self.words.word)
        if end is None:
            raise self.words.error(f"expected the items of a {kind[:-4]}, found {self.words.word!r}")
        self.words.advance()

        def item() -> None:
            part = items.values.add()
            types = value.type.tupleType.types if kind == "tupleType" else [value.type.listType.type]
            position = min(len(items.values), len(types)) - 1
            if position < 0:
                raise self.words.error("the type of a tuple names fewer items than it has")
            part.type.CopyFrom(types[position])
            self._literal(part)

        self._separated(end, item)

    def _blob(self, blob: Any) -> None:
        words = self.words
        words.expect("(")
        for key in ("path", "offset"):
            words.expect(key)
            words.expect("=")
            value = self.proto.Value()
            self._value(value)
            tensor = value.immediateValue.tensor
            if key == "path":
                blob.fileName = "".join(tensor.strings.values)
            else:
                numbers = tensor.longInts.values or tensor.ints.values
                if len(numbers) != 1 or numbers[0] < 0:
                    raise words.error("the offset of a BLOBFILE must be one number, 0 or more")
                blob.offset = numbers[0]
            if key == "path":
                words.expect(",")
        words.expect(")")

    def _flatten(self, flat: list[Any]) -> None:
        words = self.words
        if words.accept("["):
            self._enter()
            self._separated("]", lambda: self._flatten(flat))
            self.depth -= 1
        elif words.kind == "string":
            flat.append(words.string())
        elif words.word in ("true", "false"):
            flat.append(words.advance() == "true")
        else:
            flat.append(words.number())

    def _store(self, value: Any, flat: list[Any]) -> None:
        tensor, kind = value.immediateValue.tensor, value.type.tensorType
        if len(kind.dimensions) == 1 and kind.dimensions[0].WhichOneof("dimension") == "unknown":
            kind.dimensions[0].constant.size = len(flat)
        shape = [d.constant.size for d in kind.dimensions]
        if math.prod(shape) != len(flat):
            raise self.words.error(f"a value of shape {shape} has {len(flat)} elements")
        try:
            _fill(tensor, kind.dataType, flat)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.words.error(f"a value does not fit its type: {error}") from None


def _fill(tensor: Any, data_type: int, flat: list[Any]) -> None:
    """`flat` in the field of a proto TensorValue that coremltools' converter uses for the type."""
    if data_type == STRING:
        tensor.strings.values.extend(flat)
        return
    element = DTYPES[data_type]
    if element.name == "bool":
        tensor.bools.values.extend(bool(item) for item in flat)
    elif element.name == "fp32":
        with np.errstate(over="ignore"):
            tensor.floats.values.extend(np.asarray(flat, dtype=np.float32).tolist())
    elif element.name == "fp64":
        tensor.doubles.values.extend(float(item) for item in flat)
    elif element.name == "int32":
        tensor.ints.values.extend(flat)
    elif element.name in ("int64", "uint64"):
        tensor.longInts.values.extend(item - 2**64 if item >= 2**63 else item for item in flat)
    elif element.is_sub_byte:
        tensor.bytes.values = pack_bits(np.asarray(flat, dtype=np.int64), element.bits)
    else:
        with np.errstate(over="ignore"):
            tensor.bytes.values = np.asarray(flat, dtype=element.file_dtype).tobytes()
