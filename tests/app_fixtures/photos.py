"""Geometry, Pillow's resize, EXIF orientation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from PIL import Image, ImageOps

from tinysam_mobile.imaging.images import as_rgb
from tinysam_mobile.imaging.preprocess import Geometry, preprocess

from .store import Array, Case, Store, flat

EXIF_ORIENTATION = 0x0112
SQUARE_UP_TO = 32
"""Largest side S of which the whole padded square is stored."""

GEOMETRIES = {
    "official_landscape": (1024, (1365, 2048)),
    "official_portrait": (1024, (2048, 1365)),
    "official_photo_12_megapixels": (1024, (3024, 4032)),
    "official_square": (1024, (1024, 1024)),
    "smaller_square": (1024, (7, 7)),
    "odd_landscape": (128, (37, 61)),
    "odd_portrait": (128, (61, 37)),
    "one_pixel": (128, (1, 1)),
    "one_row": (128, (1, 300)),
    "one_column": (128, (300, 1)),
    "long_strip_keeps_one_row": (128, (3, 5000)),
    "rounds_half_up": (128, (3, 256)),
    "rounds_down": (512, (333, 500)),
    "nano_landscape": (512, (480, 640)),
    "very_large": (1024, (30000, 40000)),
}

RESIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "down_landscape": (64, (97, 131, 3)),
    "down_portrait": (64, (131, 97, 3)),
    "down_much": (16, (150, 201, 3)),
    "up_landscape": (64, (19, 27, 3)),
    "up_from_two_by_three": (32, (2, 3, 3)),
    "same_size": (24, (24, 17, 3)),
    "one_axis_stays": (32, (1, 32, 3)),
    "one_pixel": (32, (1, 1, 3)),
    "one_row": (32, (1, 77, 3)),
    "one_column": (32, (77, 1, 3)),
    "odd_sizes": (31, (53, 47, 3)),
    "grey": (32, (45, 29)),
    "grey_up": (32, (11, 5)),
    "contract_size": (128, (150, 113, 3)),
    "thin_becomes_one_row": (32, (2, 150, 3)),
    "just_smaller": (63, (64, 48, 3)),
    "just_larger": (65, (64, 48, 3)),
}


def geometry_cases() -> Iterator[Case]:
    for name, (image_size, (height, width)) in GEOMETRIES.items():
        geometry = Geometry.of((height, width), image_size)
        random = np.random.default_rng(len(name))
        corners = np.array([[0, 0], [width, height], [width / 2, height / 2]], np.float64)
        points = np.concatenate([corners, random.uniform(0, 1, (3, 2)) * (width, height)])
        model = geometry.to_model(points)
        yield {
            "name": name,
            "image_size": image_size,
            "height": height,
            "width": width,
            "valid_height": geometry.valid_size[0],
            "valid_width": geometry.valid_size[1],
            "points": flat(points),
            "model_points": flat(model),
            "round_trip": flat(geometry.to_original(model)),
        }


def photo(shape: tuple[int, ...], seed: int) -> Array:
    """Smooth colour, hard black-and-white edges, and noise: each finds another mistake of a resize."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [127.5 + 127.5 * np.sin((x * (c + 2) + y * (3 - c)) / 9) for c in range(3)]
    pixels = np.stack(waves, axis=2)
    pixels[(x // 5 + y // 7) % 4 == 0] = 255
    pixels[(x // 5 + y // 7) % 4 == 1] = 0
    pixels = np.where(random.random((*shape[:2], 1)) < 0.2, random.integers(0, 256, pixels.shape), pixels)
    pixels = pixels.astype(np.uint8)
    return pixels if len(shape) == 3 else np.ascontiguousarray(pixels[:, :, 0])


def resize_cases(store: Store) -> Iterator[Case]:
    for seed, (name, (image_size, shape)) in enumerate(RESIZES.items()):
        pixels = photo(shape, seed)
        ready = preprocess(as_rgb(pixels), image_size)
        height, width = ready.geometry.valid_size
        planes = ready.image[0].astype(np.uint8)
        case: Case = {
            "name": name,
            "image_size": image_size,
            "pixels": store.tensor(f"resize/{name}_pixels", pixels),
            "resized": store.tensor(f"resize/{name}_resized", planes[:, :height, :width].transpose(1, 2, 0)),
        }
        if image_size <= SQUARE_UP_TO:
            case["square"] = store.tensor(f"resize/{name}_square", planes)
        yield case


def orientation_cases(store: Store) -> Iterator[Case]:
    for orientation, (shape_name, shape) in product(
        range(10), {"wide": (3, 5, 3), "tall": (4, 1, 3)}.items()
    ):
        pixels = photo(shape, 100 + shape[0])
        image = Image.fromarray(pixels)
        image.getexif()[EXIF_ORIENTATION] = orientation
        upright = np.asarray(ImageOps.exif_transpose(image))
        name = f"{shape_name}_{orientation}"
        yield {
            "name": name,
            "orientation": orientation,
            "pixels": store.tensor(f"orientation/{shape_name}", pixels),
            "upright": store.tensor(f"orientation/{name}_upright", upright),
        }
