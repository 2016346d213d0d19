"""Decode 64 points of one image: our torch decoder against the network as published, and TFLite beside them.

    python -m venv oracle
    oracle/bin/pip install torch==2.14.1 torchvision==0.29.1 timm mobilesam-mirror safetensors numpy
    python -m benchmarks.decoding --oracle-python oracle/bin/python

Both torch sides run interleaved in one process of the oracle's environment, on the same stand-in weights,
threads and malloc settings.  TFLite runs afterwards in this environment, against our torch decoder again,
so that its figure too is a ratio within one process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click

ROOT = Path(__file__).parents[1]
POINTS = 64
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "1073741824",
}
"""glibc otherwise gives big buffers back to the kernel at each call."""


def interleaved(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Call every side in turn, `rounds` times after one warm-up; seconds of each call."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_index in range(rounds + 1):
        for name, call in sides.items():
            start = perf_counter()
            call()
            if round_index:
                seconds[name].append(perf_counter() - start)
    return seconds


def prompts() -> tuple[Any, Any]:
    """64 seeded points as the published everything mode passes them: one slot each, label 1."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.rand(POINTS, 1, 2, generator=generator) * 1024, torch.ones(POINTS, 1, dtype=torch.int32)


def embeddings() -> Any:
    """A seeded image embedding f32 (1, 256, 64, 64)."""
    import torch

    return torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(1))


def our_decoder(threads: int, *, slots: int) -> Callable[[], Any]:
    """Our torch runtime through its own session, points packed with the pad point of the method."""
    import numpy as np

    from tinysam_mobile.modeling.config import TINYSAM
    from tinysam_mobile.modeling.entry_points import contract_of
    from tinysam_mobile.modeling.stand_in import stand_in_model
    from tinysam_mobile.simulator.registry import open_model

    model = stand_in_model(TINYSAM)
    backend = open_model(model, contract_of(model, slots=slots, batch=POINTS), num_threads=threads)
    coords, labels = (t.numpy() for t in prompts())
    inputs = {
        "image_embeddings": embeddings().numpy(),
        "point_coords": np.concatenate([coords, np.zeros((POINTS, slots - 1, 2), np.float32)], axis=1),
        "point_labels": np.concatenate([labels, np.full((POINTS, slots - 1), -2, np.int32)], axis=1),
    }
    inputs["point_labels"][:, 1] = -1
    return lambda: backend.run("decode_batch", inputs)


def published_decoder() -> Callable[[], Any]:
    """The decoder of mobilesam-mirror with the same weights, called as its everything mode calls it."""
    import torch
    from mobile_sam import sam_model_registry

    from tinysam_mobile.modeling.config import TINYSAM
    from tinysam_mobile.modeling.stand_in import stand_in_model

    network = sam_model_registry["vit_t"]()
    network.load_state_dict(stand_in_model(TINYSAM).state_dict())
    network.eval()
    coords, labels = prompts()
    embedding = embeddings()

    def decode() -> dict[str, Any]:
        with torch.inference_mode():
            sparse, dense = network.prompt_encoder(points=(coords, labels), boxes=None, masks=None)
            masks, scores = network.mask_decoder(
                image_embeddings=embedding,
                image_pe=network.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
            )
        return {"low_res_masks": masks.numpy(), "iou_predictions": scores.numpy()}

    return decode


def tflite_decoder(folder: Path, threads: int) -> Callable[[], Any]:
    """The TFLite decoder with K = 64, converted here."""
    import numpy as np

    from tinysam_mobile.converters.pipeline import ConversionOptions, convert_checkpoint
    from tinysam_mobile.modeling.checkpoint import load_checkpoint
    from tinysam_mobile.simulator.registry import open_bundle

    options = ConversionOptions(targets=("tflite",), slots=2, batch=16)
    bundle = convert_checkpoint(load_checkpoint("stand-in:tinysam"), folder / "bundle", options)
    backend = open_bundle(bundle, "tflite", num_threads=threads)
    coords, labels = (t.numpy() for t in prompts())
    coords = np.concatenate([coords, np.zeros((POINTS, 1, 2), np.float32)], axis=1)
    labels = np.concatenate([labels, np.full((POINTS, 1), -1, np.int32)], axis=1)
    image = embeddings().numpy()

    def decode() -> None:
        for i in range(0, POINTS, 16):
            chunk = {"point_coords": coords[i : i + 16], "point_labels": labels[i : i + 16]}
            backend.run("decode_batch", {"image_embeddings": image, **chunk})

    return decode


def differences(ours: dict[str, Any], published: dict[str, Any]) -> dict[str, float]:
    """SQNR of the logits in dB and the largest difference of the scores."""
    from tinysam_mobile.parity.metrics import sqnr_db

    scores = abs(ours["iou_predictions"] - published["iou_predictions"]).max()
    return {
        "logits_sqnr_db": sqnr_db(published["low_res_masks"], ours["low_res_masks"]),
        "max_score_difference": float(scores),
    }


def compare(side: str, threads: int, rounds: int) -> dict[str, Any]:
    """Run inside one environment: `published` needs mobilesam-mirror, `tflite` the TFLite packages."""
    import torch

    torch.set_num_threads(threads)
    ours = our_decoder(threads, slots=2)
    with tempfile.TemporaryDirectory() as folder:
        other = published_decoder() if side == "published" else tflite_decoder(Path(folder), threads)
        seconds = interleaved({"ours": ours, side: other}, rounds)
    ratios = [a / b for a, b in zip(seconds["ours"], seconds[side], strict=True)]
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "seconds": seconds,
        "ours_over_other": median(ratios),
    }
    if side == "published":
        result |= differences(ours(), other())
    return result


@click.command()
@click.option("--oracle-python", type=click.Path(path_type=Path), help="Python that has mobilesam-mirror.")
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--rounds", type=int, default=5, show_default=True)
@click.option("--side", type=click.Choice(["published", "tflite"]), hidden=True)
def main(oracle_python: Path | None, threads: int, rounds: int, side: str | None) -> None:
    """Time 64 points of one image on three decoders."""
    if side:
        click.echo(json.dumps(compare(side, threads, rounds)))
        return
    from benchmarks.record import save

    pythons = {"tflite": Path(sys.executable)} | ({"published": oracle_python} if oracle_python else {})
    results = {}
    for name, python in sorted(pythons.items()):
        command = [str(python), "-W", "ignore", "-m", "benchmarks.decoding", "--side", name]
        command += ["--threads", str(threads), "--rounds", str(rounds)]
        environment = {**os.environ, **MALLOC, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        results[name] = json.loads(done.stdout.splitlines()[-1])
        other = median(results[name]["seconds"][name])
        ours = median(results[name]["seconds"]["ours"])
        ratio = results[name]["ours_over_other"]
        click.echo(f"{POINTS} points: ours {ours:.2f} s, {name} {other:.2f} s, ratio {ratio:.2f}")
    if "published" in results:
        click.echo({key: results["published"][key] for key in ("logits_sqnr_db", "max_score_difference")})
    click.echo(
        save(
            "decoding",
            {"malloc": MALLOC, "points": POINTS, "threads": threads, "rounds": rounds, "results": results},
        )
    )


if __name__ == "__main__":
    main()
