"""Everything mode, fast against exact: the same objects? and how much sooner?

    python -m benchmarks.everything_fast FOLDER_OF_PHOTOS ANOTHER --count 26

Both modes run on each photo one after the other, with the same model, thresholds and threads; each encodes
the photo itself.  Seconds are CPU seconds of the process, so that a busy machine does not matter much.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any

import click
import torch

from benchmarks.record import save
from tinysam_mobile.imaging.images import RGBImage, load_image
from tinysam_mobile.modeling.checkpoint import Checkpoint, load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.parity.everything_parity import EverythingParity, compare_results, summary
from tinysam_mobile.segment.everything import (
    POINTS_PER_BATCH,
    EverythingConfig,
    EverythingGenerator,
    EverythingResult,
)
from tinysam_mobile.segment.predictor import Predictor
from tinysam_mobile.simulator.registry import open_model

MODES = ("exact", "fast")


def spread(folder: Path, count: int) -> list[Path]:
    """`count` photos of a folder, evenly over its sorted names."""
    photos = sorted(path for path in folder.iterdir() if path.is_file())
    step = max(len(photos) / count, 1)
    return [photos[int(i * step)] for i in range(min(count, len(photos)))]


def everything_predictor(loaded: Checkpoint, threads: int) -> Predictor:
    """A predictor on torch with the batch of everything mode."""
    contract = contract_of(loaded.model, slots=2, batch=POINTS_PER_BATCH)
    return Predictor(open_model(loaded.model, contract, num_threads=threads))


def timed(predictor: Predictor, photo: RGBImage, config: EverythingConfig) -> tuple[EverythingResult, float]:
    """One run and its CPU seconds."""
    start = process_time()
    result = EverythingGenerator(predictor, config).generate(photo)
    return result, process_time() - start


def measure(
    predictor: Predictor, photos: Sequence[Path], settings: dict[str, Any]
) -> tuple[dict[str, EverythingParity], dict[str, dict[str, float]]]:
    """Both modes on every photo: what agrees, and seconds by photo and mode."""
    configs = {mode: EverythingConfig(**settings, mode=mode) for mode in MODES}
    parities, seconds = {}, {}
    for i, path in enumerate(photos, start=1):
        photo = load_image(path)
        results, times = {}, {}
        for mode, config in configs.items():
            results[mode], times[mode] = timed(predictor, photo, config)
        size = (photo.shape[0], photo.shape[1])
        parity = compare_results(results["exact"], results["fast"], size, configs["exact"])
        parities[path.name], seconds[path.name] = parity, times
        quality = parity.at(0.75)
        click.echo(
            f"{i:3d} {path.name}: exact {times['exact']:.2f} s, fast {times['fast']:.2f} s, "
            f"{parity.reference.objects} and {parity.other.objects} objects, "
            f"precision {quality.precision:.3f}, recall {quality.recall:.3f}, mean IoU {parity.mean_iou:.3f}",
            err=True,
        )
    return parities, seconds


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--count", type=int, default=26, show_default=True, help="Photos of each folder.")
@click.option("--checkpoint", help="Checkpoint; the shipped one by default.")
@click.option("--threads", type=int, default=1, show_default=True)
def main(folders: tuple[Path, ...], count: int, checkpoint: str | None, threads: int) -> None:
    """Measure, print the totals and save everything."""
    torch.set_num_threads(threads)
    loaded = load_checkpoint(checkpoint)
    predictor = everything_predictor(loaded, threads)
    photos = [path for folder in folders for path in spread(folder, count)]
    parities, seconds = measure(predictor, photos, dict(loaded.everything))
    totals = {mode: sum(times[mode] for times in seconds.values()) for mode in MODES}
    figures = summary(parities)
    click.echo(
        f"{len(photos)} photos: speed-up {totals['exact'] / totals['fast']:.2f}, "
        f"at 0.75 precision {figures['levels']['0.75']['precision']:.3f} and recall "
        f"{figures['levels']['0.75']['recall']:.3f}, mean IoU {figures['mean_iou']:.3f}, "
        f"{figures['reference']['objects'] / len(photos):.1f} objects per photo"
    )
    result = {
        "checkpoint": {"name": loaded.name, "sha256": loaded.sha256},
        "settings": dict(loaded.everything),
        "threads": threads,
        "speed_up": totals["exact"] / totals["fast"],
        "cpu_seconds": totals,
        "summary": figures,
        "photos": {name: {"cpu_seconds": seconds[name], **brief(parities[name])} for name in parities},
    }
    click.echo(save("everything_fast", result))


def brief(parity: EverythingParity) -> dict[str, Any]:
    """A parity without its list of differences."""
    return {key: value for key, value in parity.to_dict().items() if key != "differences"}


if __name__ == "__main__":
    main()
