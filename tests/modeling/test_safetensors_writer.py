"""Files of tensors, read again by the library that defines them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from tinysam_mobile.modeling.safetensors_writer import write_safetensors

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(3, dtype=torch.float16)}
METADATA = {"step": "3", "run": '{"ü": "\\n\x00"}', "config": "x" * 77, "origin": "📷", "date": ""}


def test_the_library_reads_what_was_given(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "x", TENSORS, METADATA)
    with safe_open(tmp_path / "x", framework="pt") as file:
        assert file.metadata() == METADATA
        assert set(file.keys()) == set(TENSORS)
        for name, tensor in TENSORS.items():
            assert torch.equal(file.get_tensor(name), tensor)


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    """safetensors' own writer draws one of 120 orders of five texts each time."""
    written = set()
    for _ in range(5):
        write_safetensors(tmp_path / "x", TENSORS, METADATA)
        written.add((tmp_path / "x").read_bytes())
    assert len(written) == 1
