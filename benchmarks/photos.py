"""A photo on its way in and its masks on their way out, for photos of several sizes, without the model.

    python -m benchmarks.photos

CPU seconds on one thread, so that a busy machine does not matter: opening the file, `preprocess`, three masks
with `upscale_masks`, the same with torch's two `interpolate` calls (the official code), and COCO run lengths.
Peak memory is that of `upscale_masks` alone, beyond the three masks that it returns.
"""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from benchmarks.record import save
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.masks import RunLengths
from tinysam_mobile.imaging.preprocess import Geometry, preprocess
from tinysam_mobile.imaging.upscale import upscale_masks

SIZES = ((534, 800), (3000, 4000), (20_000, 30), (1000, 20_000))
S, LOW = 1024, 256
REPEATS = 5


def cpu_ms(work: Callable[[], Any]) -> float:
    """Best of `REPEATS` runs."""
    times = []
    for _ in range(REPEATS):
        start = process_time()
        work()
        times.append(process_time() - start)
    return min(times) * 1e3


def logits() -> NDArray[np.float32]:
    """Three smooth low-resolution masks, as a trained model gives them."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.standard_normal((1, 3, 8, 8)).astype(np.float32))
    return interpolate(coarse, (LOW, LOW), mode="bicubic")[0].numpy()


def official_masks(low_res: NDArray[np.float32], geometry: Geometry) -> NDArray[np.bool_]:
    """SAM's `postprocess_masks` and threshold."""
    height, width = geometry.valid_size
    masks = interpolate(torch.from_numpy(low_res)[None], (S, S), mode="bilinear")[..., :height, :width]
    return (interpolate(masks, geometry.original_size, mode="bilinear")[0] > 0).numpy()


def measure(size: tuple[int, int], folder: Path) -> dict[str, Any]:
    """Time one photo of `size` (H, W)."""
    height, width = size
    path = folder / f"{height}.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)
    photo, low_res, geometry = load_image(path), logits(), Geometry.of(size, S)
    masks = upscale_masks(low_res, geometry)
    tracemalloc.start()
    upscale_masks(low_res, geometry)
    peak = tracemalloc.get_traced_memory()[1] - masks.nbytes
    tracemalloc.stop()
    return {
        "size": [height, width],
        "load_cpu_ms": cpu_ms(lambda: load_image(path)),
        "preprocess_cpu_ms": cpu_ms(lambda: preprocess(photo, S)),
        "masks_cpu_ms": cpu_ms(lambda: upscale_masks(low_res, geometry)),
        "official_masks_cpu_ms": cpu_ms(lambda: official_masks(low_res, geometry)),
        "run_lengths_cpu_ms": cpu_ms(lambda: RunLengths.encode(masks[0]).to_coco()),
        "extra_memory_bytes": peak,
        "pixels_that_differ": int((masks != official_masks(low_res, geometry)).sum()),
    }


@click.command()
def main() -> None:
    """Print the table and save it."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(size, Path(folder)) for size in SIZES]
    for row in rows:
        click.echo(
            f"{row['size'][1]:6d} x {row['size'][0]:5d}: load {row['load_cpu_ms']:6.1f} ms, "
            f"preprocess {row['preprocess_cpu_ms']:6.1f}, 3 masks {row['masks_cpu_ms']:6.1f} "
            f"(torch {row['official_masks_cpu_ms']:6.1f}, {row['pixels_that_differ']} pixels differ), "
            f"run lengths {row['run_lengths_cpu_ms']:5.1f}, "
            f"extra memory {row['extra_memory_bytes'] / 1e6:.1f} MB"
        )
    save("photos", {"rows": rows})


if __name__ == "__main__":
    main()
