"""Programs of ExecuTorch without the extended header: run where ExecuTorch runs them, else told why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tinysam_mobile.artifacts.executorch_facts import describe, read_facts
from tinysam_mobile.artifacts.executorch_graph import HEADER, HEADER_MAGIC
from tinysam_mobile.artifacts.executorch_sdk import quiet
from tinysam_mobile.artifacts.formats import format_of
from tinysam_mobile.contract.backend import Session
from tinysam_mobile.contract.spec import Component, Signature, TensorSpec
from tinysam_mobile.errors import BundleError
from tinysam_mobile.simulator import executorch
from tinysam_mobile.simulator.isolated import open_isolated_file

SHAPE = (1, 4)
SIGNATURE = Signature(
    name="encode",
    component=Component.ENCODER,
    inputs=(TensorSpec(name="x", shape=SHAPE),),
    outputs=(TensorSpec(name="y", shape=SHAPE),),
)
VALUES = np.array([[-2, -0.5, 1, 3]], np.float32)


class Plain(nn.Module):
    """Has no weights, so the file needs nothing behind the program, and no header to find it by."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + x)


class Weighted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x * self.scale)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """One without header ("plain"), one of today ("weighted"), and that with all inside ("old")."""
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
        from executorch.exir._serialize._program import _program_to_flatbuffer, deserialize_pte_binary

        def exported(module: nn.Module) -> bytes:
            program = torch.export.export(module.eval(), (torch.ones(SHAPE),))
            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            config = ExecutorchBackendConfig(extract_delegate_segments=False)
            return bytes(lowered.to_executorch(config).buffer)

        files = {"plain": exported(Plain()), "weighted": exported(Weighted())}
        files["old"] = bytes(_program_to_flatbuffer(deserialize_pte_binary(files["weighted"]).program).data)
    folder = tmp_path_factory.mktemp("programs")
    for name, data in files.items():
        (folder / f"{name}.bin").write_bytes(data)
    return {name: folder / f"{name}.bin" for name in files}


def opened(path: Path) -> Session:
    return executorch.open_session(
        path, signatures={"encode": SIGNATURE}, entry_points={"encode": "forward"}, num_threads=None
    )


def isolated(path: Path) -> Session:
    return open_isolated_file(
        path, runtime="executorch", signatures={"encode": SIGNATURE}, entry_points={"encode": "forward"}
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("open_it", [opened, isolated])
def test_a_program_without_header_is_read_and_run(
    programs: Mapping[str, Path], open_it: Callable[[Path], Session]
) -> None:
    path = programs["plain"]
    assert HEADER.unpack_from(path.read_bytes())[2] != HEADER_MAGIC
    fmt = format_of(path)
    assert fmt is not None
    assert fmt.name == "executorch"
    assert describe(path)["methods"]["forward"]["delegates"] == {"XnnpackBackend": 1}
    (answer,) = open_it(path).run("encode", {"x": VALUES}).values()
    np.testing.assert_array_equal(answer, np.maximum(VALUES + VALUES, 0))


@pytest.mark.parametrize("open_it", [opened, isolated])
def test_what_executorch_no_longer_reads_is_named(
    programs: Mapping[str, Path], open_it: Callable[[Path], Session]
) -> None:
    (answer,) = open_it(programs["weighted"]).run("encode", {"x": VALUES}).values()
    np.testing.assert_array_equal(answer, np.maximum(VALUES * np.array([[1, 2, 3, 4]], np.float32), 0))
    assert read_facts(programs["old"]).graphs["forward"].ops
    with pytest.raises(BundleError, match=r"constants inside the program.*export it again"):
        open_it(programs["old"])


@pytest.mark.parametrize("kept", [60, 0.3, 0.9])
def test_a_program_without_header_that_is_cut_is_an_error(
    programs: Mapping[str, Path], kept: float, tmp_path: Path
) -> None:
    data = programs["plain"].read_bytes()
    path = tmp_path / "cut.pte"
    path.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    for read in (describe, read_facts, isolated):
        with pytest.raises(BundleError, match=r"cut\.pte"):
            read(path)
