"""A small data set for `evaluate` out of COCO's public validation photos.

    python -m benchmarks.coco_subset instances_val2017.json val2017 coco_val100 --count 100

The photos are drawn with a seed from those that have instances, and linked rather than copied.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import click

from tinysam_mobile.files import write_text

__all__ = ["main"]


@click.command()
@click.argument("annotations", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(1), default=100, show_default=True, help="Number of photos.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws which photos.")
def main(annotations: Path, photos: Path, out: Path, count: int, seed: int) -> None:
    """Write OUT/instances.json and OUT/images for some of PHOTOS, about which ANNOTATIONS are."""
    data = json.loads(annotations.read_text(encoding="utf-8"))
    annotated = sorted({annotation["image_id"] for annotation in data["annotations"]})
    chosen = set(random.Random(seed).sample(annotated, min(count, len(annotated))))
    data["images"] = [image for image in data["images"] if image["id"] in chosen]
    data["annotations"] = [item for item in data["annotations"] if item["image_id"] in chosen]
    images = out / "images"
    images.mkdir(parents=True, exist_ok=True)
    for image in data["images"]:
        link = images / image["file_name"]
        link.unlink(missing_ok=True)
        link.symlink_to((photos / image["file_name"]).resolve())
    write_text(out / "instances.json", json.dumps(data))
    click.echo(f"{out}: {len(data['images'])} photos, {len(data['annotations'])} instances")


if __name__ == "__main__":
    main()
