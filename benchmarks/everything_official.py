"""Exact everything mode against the straightforward full-resolution loop of the official code.

    python -m venv oracle
    oracle/bin/pip install torch==2.14.1 torchvision==0.29.1 timm mobilesam-mirror safetensors numpy
    python -m benchmarks.everything_official PHOTO --oracle-python oracle/bin/python

Both sides run in one process of the oracle's environment on the same photo, stand-in weights (1024), threads
and malloc settings, hierarchically.  The loop is the plain one: 64 points a call, every candidate taken to
full resolution, then predicted IoU, stability and the *done* map there, one NMS at the end.  The settings are
those of the golden answers, which suit the stand-in weights.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import click

from benchmarks.decoding import MALLOC, ROOT
from tinysam_mobile.contract.everything_settings import EVERYTHING_DEFAULTS

BATCH = 64


class OfficialLoop:
    """The published network in the plain loop; `generate` gives our own result type."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from mobile_sam import SamPredictor, sam_model_registry

        from tinysam_mobile.modeling.config import TINYSAM
        from tinysam_mobile.modeling.stand_in import stand_in_model

        network = sam_model_registry["vit_t"]()
        network.load_state_dict(stand_in_model(TINYSAM).state_dict())
        # The attention biases are gathered when the mode changes, so it has to change after loading.
        self.predictor = SamPredictor(network.train().eval())
        self.settings = settings
        self.visited: list[tuple[float, float]] = []

    def generate(self, photo: Any) -> Any:
        """Segment everything in a photo u8 (H, W, 3)."""
        import numpy as np
        import torch
        from torchvision.ops import nms

        from tinysam_mobile.segment.everything import EverythingResult
        from tinysam_mobile.segment.point_lattice import coarse_lattice, second_round

        size = (photo.shape[0], photo.shape[1])
        side = self.settings["points_per_side"]
        self.visited = []
        self.predictor.set_image(photo)
        coarse, fine = coarse_lattice(side, size).points, second_round(side, size).points
        done = torch.zeros(size, dtype=torch.bool)
        first = list(self._candidates(coarse, size, done))
        x, y = fine.astype(np.int64).T
        left = fine[~done.numpy()[y, x]]
        found = list(self._candidates(left, size, None)) + first
        boxes = torch.tensor([candidate.box for candidate in found], dtype=torch.float32)
        scores = torch.tensor([candidate.score for candidate in found])
        kept = nms(boxes, scores, self.settings["box_nms_thresh"]).tolist()
        points = np.array(self.visited)
        calls = -(-len(coarse) // BATCH) - (-len(left) // BATCH)
        objects = tuple(found[i] for i in kept)
        return EverythingResult(objects=objects, points=points, decoder_calls=calls, stopped_early=False)

    def _candidates(self, points: Any, size: tuple[int, int], done: Any) -> Iterator[Any]:
        """Survivors of some points; a `done` map gets what they cover with high score."""
        import torch

        for start in range(0, len(points), BATCH):
            batch = points[start : start + BATCH]
            self.visited += [tuple(point) for point in batch.tolist()]
            coords = torch.as_tensor(self.predictor.transform.apply_coords(batch, size), dtype=torch.float32)
            labels = torch.ones(len(batch), dtype=torch.int)
            logits, scores, _ = self.predictor.predict_torch(
                coords[:, None], labels[:, None], multimask_output=True, return_logits=True
            )
            yield from self._survivors(logits.flatten(0, 1), scores.flatten(), batch, done)

    def _survivors(self, logits: Any, scores: Any, points: Any, done: Any) -> Iterator[Any]:
        import numpy as np
        import torch

        from tinysam_mobile.imaging.masks import RunLengths, mask_boxes
        from tinysam_mobile.segment.everything import SegmentedObject

        number = torch.arange(len(scores))
        keep = scores > self.settings["pred_iou_thresh"]
        logits, scores, number = logits[keep], scores[keep], number[keep]
        offset = self.settings["stability_score_offset"]
        inner, outer = ((logits > cut).sum(dim=(1, 2), dtype=torch.int32) for cut in (offset, -offset))
        stability = inner / outer
        keep = stability >= self.settings["stability_score_thresh"]
        logits, scores, number, stability = logits[keep], scores[keep], number[keep], stability[keep]
        if done is not None and len(logits):
            done |= (logits > self.settings["high_score_thresh"]).any(dim=0)
        masks = (logits > 0).numpy()
        for i, (mask, box) in enumerate(zip(masks, mask_boxes(masks), strict=True)):
            x0, y0, x1, y1 = box.tolist()
            yield SegmentedObject(
                runs=RunLengths.encode(np.asarray(mask)),
                box=(x0, y0, x1, y1),
                score=float(scores[i]),
                stability=float(stability[i]),
                point=tuple(points[int(number[i]) // 3].tolist()),
                mask_index=int(number[i]) % 3,
                crop_box=(0, 0, mask.shape[1], mask.shape[0]),
            )


def compare(photo_path: Path, threads: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Both sides on one photo, inside the oracle's environment."""
    import torch

    from tinysam_mobile.imaging.images import load_image
    from tinysam_mobile.modeling.config import TINYSAM
    from tinysam_mobile.modeling.entry_points import contract_of
    from tinysam_mobile.modeling.stand_in import stand_in_model
    from tinysam_mobile.parity.everything_parity import compare_results
    from tinysam_mobile.segment.everything import EverythingConfig, EverythingGenerator
    from tinysam_mobile.segment.predictor import Predictor
    from tinysam_mobile.simulator.registry import open_model

    torch.set_num_threads(threads)
    photo = load_image(photo_path)
    config = EverythingConfig(**settings, mode="exact")
    model = stand_in_model(TINYSAM)
    predictor = Predictor(open_model(model, contract_of(model, slots=2), num_threads=threads))
    sides = {"ours": EverythingGenerator(predictor, config), "official": OfficialLoop(settings)}
    seconds, cpu_seconds, results = {}, {}, {}
    for name, side in sides.items():
        start, cpu_start = perf_counter(), process_time()
        with torch.inference_mode():
            results[name] = side.generate(photo)
        seconds[name], cpu_seconds[name] = perf_counter() - start, process_time() - cpu_start
    parity = compare_results(results["official"], results["ours"], photo.shape[:2], config)
    return {
        "torch": torch.__version__,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "speed_up": cpu_seconds["official"] / cpu_seconds["ours"],
        "parity": parity.to_dict(),
    }


@click.command()
@click.argument("photo", type=click.Path(path_type=Path, exists=True))
@click.option("--oracle-python", type=click.Path(path_type=Path), help="Python that has mobilesam-mirror.")
@click.option("--threads", type=int, default=1, show_default=True)
@click.option("--inside", is_flag=True, hidden=True)
def main(photo: Path, oracle_python: Path | None, threads: int, inside: bool) -> None:
    """Time both sides and compare what they found."""
    golden = json.loads((ROOT / "tests" / "golden" / "dogs_everything.json").read_text())["settings"]
    settings = {key: value for key, value in golden.items() if key in EVERYTHING_DEFAULTS}
    if inside:
        click.echo(json.dumps(compare(photo, threads, settings)))
        return
    if oracle_python is None:
        raise click.UsageError(
            "--oracle-python names a Python with mobilesam-mirror: see the module's docstring"
        )
    from benchmarks.record import save

    command = [
        str(oracle_python),
        "-W",
        "ignore",
        "-m",
        "benchmarks.everything_official",
        str(photo.resolve()),
    ]
    command += ["--inside", "--threads", str(threads)]
    environment = {**os.environ, **MALLOC, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    quality = next(level for level in result["parity"]["levels"] if level["iou_level"] == 0.9)
    click.echo(
        f"speed-up {result['speed_up']:.2f} (CPU {result['cpu_seconds']}), "
        f"{result['parity']['reference']['objects']} and {result['parity']['other']['objects']} objects, "
        f"at 0.9 precision {quality['precision']:.4f}, recall {quality['recall']:.4f}, "
        f"mean IoU {result['parity']['mean_iou']:.6f}"
    )
    click.echo(save("everything_official", {"photo": photo.name, "settings": settings, **result}))


if __name__ == "__main__":
    main()
