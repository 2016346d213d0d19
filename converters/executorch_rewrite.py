"""Rewrite an exported graph into operations that XNNPACK executes, before ExecuTorch partitions it.

ExecuTorch hands XNNPACK every maximal region of operations that XNNPACK has; one that it lacks (layer
norm, expand, split, a mean over the last axis) cuts the region in two and costs a copy of all that
crosses the cut.  `rewrite` replays a graph operation by operation: constants are evaluated at once, an
operation with a rule (executorch_rules.py) is expressed by others, the rest is kept as it is.  The
answer stays the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

__all__ = ["MAX_FOLDED_BYTES", "GraphRewriter", "Rule", "Value", "dtype_of", "shape_of"]

Value = fx.Node | Tensor
"""A value of the new graph, or a constant that is already known."""
Rule = Callable[..., Any]
"""`rule(rewriter, *args, **kwargs)`: what an operation becomes; its arguments are values of the new graph."""

MAX_FOLDED_BYTES = 16 * 1024
"""A constant that is larger than this and than what it is computed from is computed at run time instead:
positional encodings and gathered attention biases would add 9 MB to a 40 MB model, a tenth to a small one."""

_A = torch.ops.aten


def shape_of(value: Value) -> tuple[int, ...]:
    """Return the static shape of a value."""
    return tuple(_example(value).shape)


def dtype_of(value: Value) -> torch.dtype:
    """Return the element type of a value."""
    return _example(value).dtype


def _example(value: Value) -> Tensor:
    tensor = value.meta["val"] if isinstance(value, fx.Node) else value
    assert isinstance(tensor, Tensor)
    return tensor


def _size_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


class GraphRewriter:
    """One pass over one graph; `rules` maps an ATen overload to its `Rule`.

    Operations of modules whose path starts with one of `half_scopes` compute in float16; their float
    arguments are cast where they enter, and outputs of the graph are float32 again.
    """

    def __init__(
        self,
        program: ExportedProgram,
        rules: Mapping[Any, Rule],
        *,
        half_scopes: Sequence[str] = (),
        float_scopes: Sequence[str] = (),
    ) -> None:
        self._program = program
        self._rules = rules
        self._half_scopes = tuple(half_scopes)
        self._float_scopes = frozenset(float_scopes)
        self._graph = fx.Graph()
        self._root = nn.Module()
        self._lifted: dict[tuple[int, torch.dtype], tuple[fx.Node, Tensor]] = {}
        self._casts: dict[tuple[fx.Node, torch.dtype], fx.Node] = {}
        self._filled: dict[tuple[float, tuple[int, ...], torch.dtype], Tensor] = {}
        self.affine: dict[fx.Node, tuple[Tensor, Tensor]] = {}
        """Scale and shift that a normalised value still lacks because the linear layer after it has them."""
        self.source: fx.Node
        """The node of the old graph that is being replayed."""
        self.dtype = torch.float32
        """Float type in which the current operation computes."""

    def rewrite(self) -> fx.GraphModule:
        """Return the rewritten graph with the same positional inputs and a tuple of the same outputs."""
        values: dict[fx.Node, Any] = {}
        constants = self._constants()
        for node in self._program.graph.nodes:
            if node.op == "placeholder":
                values[node] = constants[node.name] if node.name in constants else self._input(node)
            elif node.op == "call_function":
                values[node] = self._replay(node, values)
            elif node.op == "output":
                self.dtype = torch.float32
                self._graph.output(tuple(self._argument(values[output]) for output in node.args[0]))
        self._graph.eliminate_dead_code()
        return fx.GraphModule(self._root, self._graph)

    def emit(self, op: Any, *args: Any, **kwargs: Any) -> Value:
        """Apply an ATen operation: at once if its arguments are constants, else as a new node."""
        found: list[Any] = []
        fx.node.map_aggregate((args, kwargs), found.append)
        if not any(isinstance(a, fx.Node) for a in found):
            with torch.no_grad():
                result: Tensor = op(*args, **kwargs)
            sources = sum(_size_bytes(a) for a in found if isinstance(a, Tensor))
            if _size_bytes(result) <= max(MAX_FOLDED_BYTES, sources):
                return result
        lifted = fx.node.map_aggregate(args, self._argument)
        return self._node(op, lifted, kwargs)

    def keep(self, op: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Apply an operation as a new node even to constants, whose integers shall stay in the file."""
        lifted = fx.node.map_aggregate(args, lambda a: self._lift(a) if isinstance(a, Tensor) else a)
        return self._node(op, lifted, kwargs)

    def view(self, x: Value, shape: Sequence[int]) -> Value:
        """Return `x` with another shape of as many elements."""
        while isinstance(x, fx.Node) and x.target is _A.view_copy.default:
            x = x.all_input_nodes[0]
        if shape_of(x) == tuple(shape):
            return x
        # The functional form: the plain one refuses what a permute returned.
        if isinstance(x, fx.Node):
            return self.emit(_A.view_copy.default, x, list(shape))
        return x.reshape(tuple(shape))

    def filled(
        self, value: float, shape: tuple[int, ...] = (1,), dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Return a constant that holds `value` everywhere; equal ones are one constant of the file."""
        key = (value, shape, dtype)
        return self._filled.setdefault(key, torch.full(shape, value, dtype=dtype))

    def cast(self, node: fx.Node, dtype: torch.dtype) -> fx.Node:
        """Return `node` in another element type; each conversion is one operation outside XNNPACK."""
        if dtype_of(node) == dtype:
            return node
        key = (node, dtype)
        if key not in self._casts:
            self._casts[key] = self._node(_A._to_copy.default, (node,), {"dtype": dtype})
        return self._casts[key]

    def _constants(self) -> dict[str, Tensor]:
        signature, program = self._program.graph_signature, self._program
        names = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        # Buffers that the state dict does not have are among the constants.
        stored = {**program.constants, **program.state_dict}
        return {name: stored[key].detach() for name, key in names.items()}

    def _input(self, node: fx.Node) -> fx.Node:
        placeholder = self._graph.placeholder(node.name)
        placeholder.meta["val"] = torch.empty_like(node.meta["val"], device="meta")
        return placeholder

    def _replay(self, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
        args = fx.node.map_arg(node.args, lambda n: values[n])
        kwargs = fx.node.map_arg(node.kwargs, lambda n: values[n])
        self.source = node
        paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
        inside = any(path == scope for path in paths for scope in self._half_scopes)
        inside = inside and not any(path in self._float_scopes for path in paths)
        self.dtype = torch.float16 if inside else torch.float32
        rule = self._rules.get(node.target)
        return rule(self, *args, **kwargs) if rule else self.emit(node.target, *args, **kwargs)

    def _node(self, op: Any, args: Any, kwargs: Any) -> fx.Node:
        node = self._graph.call_function(op, args, kwargs)
        with torch.no_grad():
            node.meta["val"] = op(*fx.node.map_aggregate(args, _meta), **kwargs)
        return node

    def _argument(self, value: Any) -> Any:
        """Return `value` as an argument of a node: constants lifted, floats in the current type."""
        if isinstance(value, fx.Node):
            example = value.meta["val"]
            floating = isinstance(example, Tensor) and example.is_floating_point()
            return self.cast(value, self.dtype) if floating else value
        return self._lift(value) if isinstance(value, Tensor) else value

    def _lift(self, tensor: Tensor) -> fx.Node:
        dtype = self.dtype if tensor.is_floating_point() else tensor.dtype
        key = (id(tensor), dtype)
        if key not in self._lifted:
            name = f"constant_{len(self._lifted)}"
            stored = tensor.to(dtype).contiguous()
            self._root.register_buffer(name, stored)
            node = self._graph.get_attr(name)
            node.meta["val"] = torch.empty_like(stored, device="meta")
            # The tensor is kept so that its id stays taken.
            self._lifted[key] = (node, tensor)
        return self._lifted[key][0]


def _meta(value: Any) -> Any:
    return value.meta["val"] if isinstance(value, fx.Node) else value
