"""Make `astronaut.npz` and `coffee.npz`: the published network on photos that ship with scikit-image.

The official answers in `dogs.npz` and `groceries.npz` need two photos that cannot be part of this repository,
so the same questions are put to the same network as PyPI's `mobilesam-mirror` publishes it (TinySAM's layers
and keys; `multimask_output=True` returns the three masks that TinySAM returns), with the same stand-in
weights.  Run it in an environment of its own, in which torchvision, timm and mobilesam-mirror are installed:

    PYTHONPATH=. ORACLE/bin/python tests/golden/make_answers.py NAME PHOTO OUT.npz

Given `dogs` and its photo it reproduces `dogs.npz`; that is how the script itself was checked.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from mobile_sam import SamPredictor, sam_model_registry
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.modeling.stand_in import stand_in_tensor


def official_predictor() -> Any:
    """Return the published predictor with stand-in weights and freshly gathered attention biases."""
    model = sam_model_registry["vit_t"]()
    state = {
        key: torch.from_numpy(np.asarray(stand_in_tensor(key, tuple(value.shape))))
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    # The attention biases are gathered when the mode changes, so one change follows the loading.
    model.train()
    model.eval()
    return SamPredictor(model)


def prompts(width: int, height: int) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the prompts of each case in pixels of the photo."""
    scale = np.array([width, height], np.float64)
    box = np.array([0.2, 0.25, 0.8, 0.9]) * np.tile(scale, 2)
    points = np.array([[0.3, 0.5], [0.7, 0.5], [3 / width, 3 / height]]) * scale
    return {
        "point": {"point_coords": np.array([[0.46, 0.42]]) * scale, "point_labels": np.array([1])},
        "points": {"point_coords": points, "point_labels": np.array([1, 1, 0])},
        "box": {"box": box},
        "box_point": {
            "box": box,
            "point_coords": np.array([[0.5, 0.5]]) * scale,
            "point_labels": np.array([0]),
        },
    }


def main(name: str, photo: str, out: str) -> None:
    """Write the answers for `photo`; the keys are those of the official files."""
    predictor = official_predictor()
    image = np.asarray(Image.open(photo).convert("RGB"))
    height, width = image.shape[:2]
    predictor.set_image(image)
    embedding = predictor.get_image_embedding().numpy()
    answers: dict[str, Any] = {
        "embedding_sub": embedding[:, ::8, ::4, ::4],
        "embedding_mean": embedding.mean(),
        "embedding_std": embedding.std(),
    }
    cases = prompts(width, height)
    first = None
    for case in (*cases, "point_mask"):
        prompt = cases[case] if case in cases else {**cases["point"], "mask_input": first}
        masks, scores, low_res = predictor.predict(**prompt, multimask_output=True)
        first = low_res[:1] if first is None else first
        answers[f"{case}/logits_sub"] = low_res[:, ::4, ::4]
        answers[f"{case}/scores"] = scores
        answers[f"{case}/areas"] = masks.sum((1, 2))
        answers[f"{case}/masks_packed"] = np.packbits(masks[:, ::2, ::2])
        answers.update({f"{case}/{key}": value for key, value in cases.get(case, {}).items()})
    np.savez_compressed(out, **answers)
    print(f"{name}: {width}x{height}, {len(answers)} arrays in {out}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:4])
