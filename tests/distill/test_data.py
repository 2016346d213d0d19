"""Photo stores, region masks and scenes, on pictures whose right answer is drawn by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.cli.distill import command
from tinysam_mobile.distill.photo_store import Photo, PhotoStore, write_store
from tinysam_mobile.distill.regions import centred_object, region_layers
from tinysam_mobile.distill.scenes import SceneComposer, SceneSettings
from tinysam_mobile.distill.shapes import random_masks, random_shape
from tinysam_mobile.errors import DatasetError
from tinysam_mobile.evaluation.miou import mask_iou

PLAIN = SceneSettings(
    whole_photo_share=1.0, paste_share=0.0, flip_share=0.0, colour_jitter=0.0, gray_share=0.0
)


def disc_photo() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A red disc on blue, with a little noise, 120x160."""
    y, x = np.mgrid[:120, :160]
    disc = (y - 60) ** 2 + (x - 80) ** 2 < 40**2
    flat = np.where(disc[..., None], np.array([200, 40, 40]), np.array([30, 60, 170]))
    return (flat + np.random.default_rng(0).integers(0, 9, flat.shape)).astype(np.uint8), disc


def store_of(folder: Path, count: int = 2) -> PhotoStore:
    pixels, disc = disc_photo()
    layers = np.stack([disc, ~disc]).astype(np.uint8)
    photos = [
        Photo(name=f"{i}", source="discs", pixels=pixels, layers=layers, kinds=("object", "region"))
        for i in range(count)
    ]
    assert write_store(photos, folder) == count
    return PhotoStore(folder)


def test_regions_and_the_centred_object_find_the_disc() -> None:
    pixels, disc = disc_photo()
    layers = region_layers(pixels)
    assert layers.shape == (3, 120, 160)
    best = [max(mask_iou(layer == label, disc) for label in np.unique(layer)) for layer in layers]
    # The smoothing before the segmentation moves the border by at most two of the radius' 40 pixels.
    assert best[0] > (38 / 40) ** 2
    # Coarser scales find the same disc, which is kept once.
    assert max(best[1:]) < 0.5
    found = centred_object(pixels)
    assert found is not None
    assert mask_iou(found > 0, disc) > 0.95


def test_regions_are_cut_at_the_borders_of_objects() -> None:
    pixels, disc = disc_photo()
    left = np.zeros(disc.shape, np.uint8)
    left[:, :80] = 1
    layers = region_layers(pixels, left)
    half = disc & (left > 0)
    assert max(mask_iou(layers[0] == label, half) for label in np.unique(layers[0])[1:]) > (37 / 40) ** 2
    # Labels are scaled up from 208 pixels or fewer: a border may be off by one pixel.
    for layer in layers:
        for label in np.unique(layer)[1:]:
            inside = (layer == label)[:, :79].any(), (layer == label)[:, 81:].any()
            assert inside != (True, True)


def test_a_photo_without_an_object_in_the_middle_gives_none() -> None:
    assert centred_object(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)) is None


def test_a_store_gives_back_what_was_written(tmp_path: Path) -> None:
    photo = store_of(tmp_path / "store")[1]
    pixels, disc = disc_photo()
    assert (photo.key, photo.kinds) == ("discs/1", ("object", "region"))
    assert (photo.pixels == pixels).all()
    assert (photo.layers[0] == disc).all()


def test_an_unfinished_store_is_refused(tmp_path: Path) -> None:
    store_of(tmp_path)
    (tmp_path / "index.json").unlink()
    with pytest.raises(DatasetError, match="distill prepare"):
        PhotoStore(tmp_path)


def test_a_plain_scene_is_the_photo_itself(tmp_path: Path) -> None:
    pixels, disc = disc_photo()
    scene = SceneComposer([store_of(tmp_path)], PLAIN).compose(np.random.default_rng(0), size=160, masks=2)
    assert scene.photo in ("discs/0", "discs/1")
    assert scene.valid_size == (120, 160)
    assert (scene.pixels[:120] == pixels).all()
    assert not scene.pixels[120:].any()
    assert {tuple(mask[60, [80, 0]]) for mask in scene.masks} == {(True, False), (False, True)}
    assert sorted(int(mask.sum()) for mask in scene.masks) == sorted([int(disc.sum()), int((~disc).sum())])


def test_scenes_repeat_by_seed_and_their_masks_are_in_the_photo(tmp_path: Path) -> None:
    composer = SceneComposer([store_of(tmp_path)], SceneSettings(paste_share=1.0))
    for seed in range(12):
        scene, again = (composer.compose(np.random.default_rng(seed), size=96, masks=5) for _ in range(2))
        assert (scene.pixels == again.pixels).all()
        assert (scene.masks == again.masks).all()
        assert scene.photo is None
        height, width = scene.valid_size
        assert scene.masks.any((1, 2)).all()
        assert not scene.masks[:, height:].any()
        assert not scene.masks[:, :, width:].any()


def test_what_is_pasted_hides_what_is_below(tmp_path: Path) -> None:
    settings = SceneSettings(paste_share=1.0, max_pasted=1, shape_share=1.0, object_weight=1.0)
    composer = SceneComposer([store_of(tmp_path)], settings)
    for seed in range(12):
        masks = composer.compose(np.random.default_rng(seed), size=96, masks=3).masks
        unique = np.unique(masks.reshape(3, -1), axis=0).astype(int)
        # Disc, its complement and the pasted shape: no pixel belongs to two of them.
        assert unique.sum(0).max() == 1


def test_random_shapes_fill_their_bounds_and_masks_are_never_empty() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        shape = random_shape(rng, 40.0)
        assert max(shape.shape) in (39, 40, 41)
        # A tip thinner than a pixel may be lost.
        assert shape[:3].any()
        assert shape[:, :3].any()
    assert random_masks(rng, size=64, masks=200).any((1, 2)).all()


def test_prepare_packs_overlapping_instances_into_layers(tmp_path: Path) -> None:
    pixels, _ = disc_photo()
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    boxes = [[10, 10, 90, 90], [20, 20, 40, 40], [100, 10, 150, 60]]
    entries = [
        {
            "id": i,
            "image_id": 1,
            "category_id": 1,
            "area": (x1 - x0) * (y1 - y0),
            "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
        }
        for i, (x0, y0, x1, y1) in enumerate(boxes)
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 160, "height": 120}]
    (tmp_path / "instances.json").write_text(json.dumps({"images": images, "annotations": entries}))
    result = CliRunner().invoke(command, ["prepare", str(tmp_path), "--out", str(tmp_path / "store")])
    assert result.exit_code == 0, result.output
    layers = PhotoStore(tmp_path / "store")[0].layers
    # The second box lies inside the first, the third is beside both.
    assert [sorted(np.bincount(layer.ravel())[1:].tolist()) for layer in layers] == [[2500, 6400], [400]]


def test_prepare_of_plain_photos_finds_masks(tmp_path: Path) -> None:
    Image.fromarray(disc_photo()[0]).save(tmp_path / "a.png")
    arguments = ["prepare", str(tmp_path), "--cut-out", "--out", str(tmp_path / "store")]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert PhotoStore(tmp_path / "store")[0].kinds == ("object", "region", "region", "region")


def test_prepare_of_a_missing_folder_exits_with_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["prepare", str(tmp_path / "no"), "--out", str(tmp_path / "store")])
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
