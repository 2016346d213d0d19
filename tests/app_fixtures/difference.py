"""Where two masks of a photo differ, as the apps' comparison shows it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinysam_mobile.parity.report_pictures import difference_picture

from .store import Array, Case, Store

CASES = {"every_pixel": (17, 23, 64), "smaller": (41, 23, 16), "one_pixel": (1, 1, 1)}
"""Height, width, and the longest side of the picture."""


def difference_cases(store: Store) -> Iterator[Case]:
    random = np.random.default_rng(7)
    for name, (height, width, longest) in CASES.items():
        photo = random.integers(0, 256, (height, width, 3), np.uint8)
        mask, reference = (random.random((2, height, width)) < 0.1).astype(np.uint8)
        step = -(-max(height, width) // longest)
        missing = _any_of_square((reference == 1) & (mask == 0), step)
        extra = _any_of_square((mask == 1) & (reference == 0), step)
        picture = difference_picture(photo[::step, ::step], missing=missing, extra=extra)
        yield {
            "name": name,
            "longest_side": longest,
            "photo": store.tensor(f"difference/{name}_photo", photo),
            "mask": store.tensor(f"difference/{name}_mask", mask),
            "reference": store.tensor(f"difference/{name}_reference", reference),
            "picture": store.tensor(f"difference/{name}_picture", np.asarray(picture)),
        }


def _any_of_square(mask: Array, step: int) -> Array:
    """Whether any pixel of each square of `step` pixels is set; those at the end are cut."""
    height, width = (-(-side // step) for side in mask.shape)
    whole = np.zeros((height * step, width * step), np.bool_)
    whole[: mask.shape[0], : mask.shape[1]] = mask
    found = whole.reshape(height, step, width, step).any(axis=(1, 3))
    return np.asarray(found)
