"""Checkpoints as people save them, and as nobody should: opened, or refused in one clear line."""

from __future__ import annotations

import collections
import gzip
import io
import json
import pickle
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.small_model import MODEL
from tinysam_mobile.errors import CheckpointError
from tinysam_mobile.modeling import torch_file
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.weights_file import read_weights
from tinysam_mobile.modeling.weights_kind import kind_of_file

STATE = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.ones(3)}


def same(state: Any) -> bool:
    return set(state) == set(STATE) and all(torch.equal(state[key], value) for key, value in STATE.items())


WRAPPED: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "plain": lambda state: state,
    "module.": lambda state: {f"module.{key}": value for key, value in state.items()},
    "Lightning": lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}, "epoch": 3},
    "model": lambda state: {"model": state, "optimizer": {"lr": 0.1}},
    "state_dict": lambda state: {"state_dict": state},
    "ema": lambda state: {"ema": {f"module.{key}": value for key, value in state.items()}},
    "one in another": lambda state: {"state_dict": {"model": state}},
    "params": lambda state: {"params": state},
    "parameters": lambda state: {key: torch.nn.Parameter(value) for key, value in state.items()},
}


@pytest.mark.parametrize("name", ["x.pth", "X.PTH", "x.pt", "x.bin", "x.ckpt", "blob"])
@pytest.mark.parametrize("wrapping", WRAPPED)
def test_torch_files_as_people_save_them(wrapping: str, name: str, tmp_path: Path) -> None:
    torch.save(WRAPPED[wrapping](STATE), tmp_path / name)
    assert same(read_weights(tmp_path / name).state)
    assert kind_of_file(tmp_path / name) == "torch"


def test_a_file_from_before_archives(tmp_path: Path) -> None:
    torch.save({"model": STATE}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(read_weights(tmp_path / "old.pth").state)


@pytest.mark.parametrize("name", ["x.safetensors", "X.SAFETENSORS", "x.bin", "blob", "x.pth"])
def test_safetensors_are_known_by_their_first_bytes(name: str, tmp_path: Path) -> None:
    metadata = {"config": json.dumps(MODEL.config.to_dict())}
    save_file(MODEL.state_dict(), tmp_path / name, metadata=metadata)
    loaded = load_checkpoint(tmp_path / name).model.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in MODEL.state_dict().items())


def odd(kind: str, value: Tensor) -> Tensor:
    if kind == "quantized":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)
    if kind == "nested":
        return torch.nested.nested_tensor([value])
    if kind == "sparse":
        return value.to_sparse()
    return value.to("meta") if kind == "meta" else torch.zeros(1).expand(2**40)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["quantized", "nested", "sparse", "meta"])
def test_tensors_that_are_no_plain_numbers_are_named(kind: str, tmp_path: Path) -> None:
    torch.save({**STATE, "a.odd": odd(kind, torch.ones(3, 4))}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=f"a.odd is a {kind} tensor"):
        read_weights(tmp_path / "x.pth")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.complex64, torch.float8_e4m3fn])
def test_types_that_are_no_weights_are_named(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.save({**STATE, "a.odd": torch.ones(3).to(dtype)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=rf"a.odd has the type {str(dtype).removeprefix('torch.')}"):
        read_weights(tmp_path / "x.pth")


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_whole_numbers_are_not_taken_for_weights(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {key: value.clone() for key, value in MODEL.state_dict().items()}
    key = next(key for key, value in state.items() if value.ndim == 2)
    state[key] = state[key].to(dtype)
    save_file(state, tmp_path / "x.safetensors", metadata={"config": json.dumps(MODEL.config.to_dict())})
    with pytest.raises(CheckpointError, match=f"{key} has the type"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_tensors_larger_than_their_file_are_not_computed_with(tmp_path: Path) -> None:
    torch.save({"a.weight": odd("repeated", torch.ones(1))}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="but the file has"):
        read_weights(tmp_path / "x.pth")


# What would fill the memory, each in a process of its own, which tells how much it took.

MAX_PEAK_KIB = 2**20
"""Torch alone takes a third of it."""
OPEN = """
import sys
from pathlib import Path
from tinysam_mobile.modeling.weights_file import read_weights
from tinysam_mobile.errors import CheckpointError
try:
    read_weights(Path(sys.argv[1]))
except CheckpointError as error:
    print(error, file=sys.stderr)
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


class Growing:
    """Pickles as a call that makes four gigabytes."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return bytearray, (2**32,)


def rewritten(folder: Path, change: Callable[[bytes], bytes], compression: int) -> Path:
    """A file of torch's with another pickle in it."""
    torch.save(STATE, folder / "right.pth")
    with zipfile.ZipFile(folder / "right.pth") as right, zipfile.ZipFile(folder / "x.pth", "w") as changed:
        for member in right.infolist():
            data = right.read(member)
            is_pickle = member.filename.endswith("data.pkl")
            changed.writestr(
                member.filename,
                change(data) if is_pickle else data,
                compress_type=compression if is_pickle else zipfile.ZIP_STORED,
            )
    return folder / "x.pth"


def bomb(kind: str, folder: Path) -> Path:
    if kind == "packed":  # 2 GiB of zeros in 2 MB
        return rewritten(folder, lambda data: data + bytes(2**31), zipfile.ZIP_DEFLATED)
    if kind == "long":
        return rewritten(folder, lambda data: data[:2] + b"]" * 2**25 + data[2:], zipfile.ZIP_STORED)
    if kind == "old and long":
        (folder / "x.pth").write_bytes(b"\x80\x02" + b"]" * 2**25 + b".")
    if kind == "many":
        return rewritten(folder, lambda data: data[:2] + b"]0" * 2**22 + data[2:], zipfile.ZIP_STORED)
    if kind == "growing":
        torch.save({"a": Growing()}, folder / "x.pth")
    return folder / "x.pth"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells no peak of a process's memory")
@pytest.mark.parametrize("kind", ["packed", "long", "old and long", "many", "growing"])
def test_a_file_that_would_fill_the_memory_is_refused_first(kind: str, tmp_path: Path) -> None:
    path = bomb(kind, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MAX_PEAK_KIB
    assert done.stderr.startswith(f"{path}: ")
    assert len(done.stderr.splitlines()) == 1
    assert any(part in done.stderr for part in (torch_file.TOO_LARGE, torch_file.FOREIGN, torch_file.DAMAGED))


def test_what_a_right_file_says_is_far_below_the_limits(tmp_path: Path) -> None:
    state = collections.OrderedDict((f"layer.{i}.weight", torch.zeros(2)) for i in range(5_000))
    torch.save({"model": state, "optimizer": {"state": dict(enumerate(state.values()))}}, tmp_path / "x.pth")
    assert len(read_weights(tmp_path / "x.pth").state) == 5_000


# What is no checkpoint at all, under a checkpoint's name.


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/weights.npy", b"x")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return file.getvalue()


INSTEAD: dict[str, tuple[bytes, str]] = {
    "text": (b"Access denied\r\n", r"is a text file, .*'Access denied'"),
    "a long text with an umlaut cut": ("xü".encode() * 400, "is a text file"),
    "an API's answer": (b'{"message": "Not Found"}', r"is a text file, .*Not Found"),
    "a page": (b"<!DOCTYPE html>\n<html>404</html>", "is a web page"),
    "a page with a byte order mark": (b"\xef\xbb\xbf\n  <HTML>", "is a web page"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git lfs pull"),
    "gzip": (gzip.compress(b"x" * 1000), r"is packed \(gzip\); unpack it"),
    "tar": (tarred(), r"is packed \(tar\); unpack it"),
    "zip": (zipped(), "is a zip archive in which no PyTorch checkpoint lies; unpack it"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r"is a picture or document \(PNG\)"),
    "zeros": (bytes(4096), "begins with zeros only"),
    "nothing": (b"", "is empty; download it again"),
    "an old pickle": (pickle.dumps({"a": 1}, protocol=0), "is a pickled Python object"),
}


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.onnx", "blob"])
@pytest.mark.parametrize("kind", INSTEAD)
def test_what_is_no_checkpoint_is_named_with_its_remedy(kind: str, name: str, tmp_path: Path) -> None:
    content, said = INSTEAD[kind]
    if name != "x.pth" and kind in ("zip", "an old pickle"):
        name = "x.pt"  # other suffixes make other readers of them
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_weights(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert str(caught.value).isprintable()
