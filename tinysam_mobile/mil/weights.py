"""The weight file of a Core ML package: MILBlob storage, version 2.

A 64-byte header (count, version), then blobs: a 64-byte record {sentinel, type, size in bytes, data
offset, padding bits} that a `BlobFileValue` points to, and the data that the record points to.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tinysam_mobile.errors import MilError
from tinysam_mobile.mil.datatypes import BLOB_TYPES, DTYPES, ElementType, unpack_bits
from tinysam_mobile.mil.files import require_file

__all__ = ["WeightFiles"]

_SENTINEL = 0xDEADBEEF
_RECORD_BYTES = 64
_RECORD = np.dtype([("sentinel", "<u4"), ("type", "<u4"), ("size", "<u8"), ("offset", "<u8"), ("pad", "<u8")])


class WeightFiles:
    """The weight files of one package, each mapped into memory when first asked for.

    weights_dir: the folder that `@model_path/weights` stands for, or None when there is none.
    """

    def __init__(self, weights_dir: Path | None) -> None:
        self.weights_dir = weights_dir
        self._maps: dict[str, np.ndarray] = {}

    def check(self, file_name: str, offset: int, element: ElementType, count: int) -> None:
        """Raise MilError unless `count` elements are stored at `offset`; reads 64 bytes only."""
        self._locate(file_name, offset, element, count)

    def read(self, file_name: str, offset: int, element: ElementType, count: int) -> torch.Tensor:
        """The `count` elements at `offset` in the runtime type, shape (count,).

        Types that are stored as they are computed with share the mapped file's memory.
        """
        raw = self._locate(file_name, offset, element, count)
        if element.is_sub_byte:
            values = unpack_bits(raw, element.bits, count, signed=element.signed)
        else:
            values = raw.view(element.file_dtype)
            if not values.flags.aligned:
                values = values.copy()
        if values.dtype in (np.uint16, np.uint32, np.uint64):
            values = values.astype(np.int64)
        return torch.from_numpy(np.asarray(values)).to(element.runtime_dtype)

    def _locate(self, file_name: str, offset: int, element: ElementType, count: int) -> np.ndarray:
        data = self._map(file_name)
        where = f"{Path(file_name).name}, offset {offset}"
        if offset + _RECORD_BYTES > data.size:
            raise MilError(
                f"the weight file is truncated at {where}: it has {data.size} bytes; save the model again"
            )
        record = data[offset : offset + _RECORD.itemsize].view(_RECORD)[0]
        if record["sentinel"] != _SENTINEL:
            raise MilError(f"the weight file holds no blob at {where}: it is damaged or of another model")
        stored = DTYPES.get(BLOB_TYPES.get(int(record["type"]), -1))
        if stored is not element and (stored is None or stored.bits != element.bits):
            found = stored.name if stored else f"type {record['type']}"
            raise MilError(f"the blob at {where} holds {found}, but the program says {element.name}")
        needed, start = (count * element.bits + 7) // 8, int(record["offset"])
        if int(record["size"]) < needed:
            raise MilError(f"the blob at {where} has {record['size']} bytes, but {needed} are needed")
        if start + needed > data.size:
            raise MilError(
                f"the weight file is truncated at {where}: it ends at byte {data.size}, "
                f"the blob at {start + needed}; save the model again"
            )
        return data[start : start + needed]

    def _map(self, file_name: str) -> np.ndarray:
        if file_name in self._maps:
            return self._maps[file_name]
        if self.weights_dir is None:
            raise MilError(
                f"the program refers to {file_name}, but no weights folder was given; "
                "load the .mlpackage, or pass weights_dir"
            )
        path = self.weights_dir / Path(file_name).name
        require_file(path, "the weight file")
        try:
            data = np.memmap(path, dtype=np.uint8, mode="c")
        except (OSError, ValueError) as error:
            raise MilError(f"the weight file {path} cannot be read: {error}") from error
        self._maps[file_name] = np.asarray(data)
        return self._maps[file_name]
