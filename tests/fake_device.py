"""An app in Python: it replays fixtures on a backend and exports a dump, from docs/device_loop.md alone.

It shares the contract's code with the package (preprocessing, packing), but none of the reader's.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.imaging.preprocess import preprocess
from tinysam_mobile.imaging.upscale import upscale_masks
from tinysam_mobile.segment.prompts import make_prompt, pack_prompts

__all__ = ["FakeDevice", "zipped"]

Arrays = dict[str, NDArray[Any]]


class FakeDevice:
    """What an app does; a test overrides one step to make that step wrong."""

    def __init__(self, backend: Backend, runtime: str, recipe: str, hashes: Mapping[str, str]) -> None:
        self.backend = backend
        self.run = {
            "runtime": runtime, "recipe": recipe, "compute_unit": "cpu", "threads": 2, "load_ms": 12.5,
            "peak_memory_bytes": 10**8, "thermal_before": "nominal", "thermal_after": "fair",
            "artifact_sha256": dict(hashes),
        }  # fmt: skip

    def replay(self, folder: Path) -> dict[str, bytes]:
        """Return the files of a dump by name."""
        index = json.loads((folder / "fixtures.json").read_text())
        arrays: Arrays = {}
        for photo in index["photos"]:
            arrays |= self._photo(folder, photo)
        tensors = [{"name": n, "dtype": str(a.dtype), "shape": list(a.shape)} for n, a in arrays.items()]
        dump = {
            "layout_version": 1,
            "fixtures_id": index["id"],
            "device": {"model": "Fake1,1", "os": "FakeOS 1.0", "app_version": "0.1"},
            "run": self.run,
            "latency_ms": {"encode": [50.0, 40.0, 60.0], "decode": [4.0, 5.0]},
            "tensors": tensors,
        }
        files = {
            f"{name}.bin": array.astype(array.dtype.newbyteorder("<")).tobytes()
            for name, array in arrays.items()
        }
        return {"dump.json": json.dumps(dump).encode(), **files}

    def _photo(self, folder: Path, photo: dict[str, Any]) -> Arrays:
        name, height, width = photo["name"], photo["height"], photo["width"]
        raw = (folder / name / "pixels.bin").read_bytes()
        pixels = np.frombuffer(raw, np.uint8).reshape(height, width, 3)
        image, valid, geometry = self.preprocess(pixels)
        embedding = self.encode(image, valid)
        arrays: Arrays = {f"{name}/preprocessed_image": image[0], f"{name}/embedding": embedding[0]}
        for i, prompt in enumerate(photo["prompts"]):
            place = f"{name}/prompt_{i}"
            mask = None
            if prompt["has_mask_input"]:
                size = self.backend.contract.mask_size
                data = (folder / place / "mask_input.bin").read_bytes()
                mask = np.frombuffer(data, "<f4").reshape(1, 1, size, size)
            coords, labels = self.pack(prompt, geometry)
            logits, scores = self.decode(embedding, coords, labels, mask)
            best = self.choose(scores)
            packed = np.concatenate([coords[0], labels[0][:, None].astype(np.float32)], axis=1)
            arrays |= {
                f"{place}/packed_prompt": packed,
                f"{place}/low_res_logits": logits,
                f"{place}/predicted_iou": scores,
                f"{place}/chosen_mask": np.array([best], np.int32),
                f"{place}/full_size_mask": self.mask(logits[best], geometry),
            }
        return arrays

    def preprocess(self, pixels: NDArray[np.uint8]) -> tuple[Any, Any, Any]:
        ready = preprocess(pixels, self.backend.contract.image_size, self.backend.contract.rules)
        return ready.image, ready.valid_size, ready.geometry

    def encode(self, image: Any, valid: Any) -> Any:
        return self.backend.run("encode", {"image": image, "valid_size": valid})["image_embeddings"]

    def pack(self, prompt: dict[str, Any], geometry: Any) -> tuple[Any, Any]:
        points = np.reshape(prompt["points"], (-1, 2))
        made = make_prompt(points, prompt["labels"], prompt["box"])
        packed = pack_prompts([made], geometry, slots=self.backend.contract.slots, batch=1)
        packed.point_coords[packed.point_labels == -2] = prompt["spare_xy"]
        return packed.point_coords, packed.point_labels

    def decode(self, embedding: Any, coords: Any, labels: Any, mask: Any) -> tuple[Any, Any]:
        size = self.backend.contract.mask_size
        answer = self.backend.run(
            "decode",
            {
                "image_embeddings": embedding,
                "point_coords": coords,
                "point_labels": labels,
                "mask_input": np.zeros((1, 1, size, size), np.float32) if mask is None else mask,
                "has_mask_input": np.array([mask is not None], np.float32),
            },
        )
        return answer["low_res_masks"][0], answer["iou_predictions"][0]

    def choose(self, scores: Any) -> int:
        return int(np.argmax(scores))

    def mask(self, logits: Any, geometry: Any) -> Any:
        return upscale_masks(logits[None], geometry)[0].astype(np.uint8)


def zipped(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of `files`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()
