"""The memory that a graph needs, against its definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinysam_mobile.artifacts.graph import Graph, GraphOp, GraphTensor


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Random straight-line programs over at most eight values."""
    count = draw(st.integers(2, 8))
    sizes = draw(st.lists(st.integers(1, 50), min_size=count, max_size=count))
    tensors = tuple(
        GraphTensor(
            name=str(i), shape=(size,), dtype="int8", bits=8, is_constant=draw(st.booleans()) and i < 2
        )
        for i, size in enumerate(sizes)
    )
    ops = tuple(
        GraphOp(name="op", inputs=tuple(draw(st.sets(st.integers(0, i - 1), min_size=1))), outputs=(i,))
        for i in range(2, count)
    )
    outputs = tuple(draw(st.sets(st.integers(0, count - 1), min_size=1)))
    return Graph(name="g", tensors=tensors, ops=ops, inputs=(0, 1), outputs=outputs)


@given(graphs())
def test_peak_memory_is_what_must_be_held(graph: Graph) -> None:
    """By definition: at a step, all that was made up to it and is read at it or later."""
    steps = len(graph.ops)
    made = dict.fromkeys(graph.inputs, -1) | {t: s for s, op in enumerate(graph.ops) for t in op.outputs}
    needed = dict(made)
    for step, op in enumerate(graph.ops):
        needed |= dict.fromkeys(op.inputs, step)
    needed |= dict.fromkeys(graph.outputs, steps)
    computed = [t for t in made if not graph.tensors[t].is_constant]
    held = [
        sum(graph.tensors[t].shape[0] for t in computed if made[t] <= step <= needed[t])
        for step in range(steps)
    ]
    inputs = sum(graph.tensors[t].shape[0] for t in graph.inputs if not graph.tensors[t].is_constant)
    assert graph.peak_activation_bytes == max([*held, inputs])


def test_aliases_take_the_memory_of_what_they_stand_for() -> None:
    tensors = tuple(GraphTensor(name=str(i), shape=(10,), dtype="int8", bits=8) for i in range(4))
    reshape = GraphOp(name="RESHAPE", inputs=(1,), outputs=(2,), aliases=True)
    ops = (
        GraphOp(name="a", inputs=(0,), outputs=(1,)),
        reshape,
        GraphOp(name="b", inputs=(2,), outputs=(3,)),
    )
    graph = Graph(name="g", tensors=tensors, ops=ops, inputs=(0,), outputs=(3,))
    assert graph.peak_activation_bytes == 20
