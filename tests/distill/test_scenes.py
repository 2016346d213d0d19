"""Mosaics, pasted things, cut-outs, salient objects and the scenes of validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from tinysam_mobile.distill.canvas import Canvas
from tinysam_mobile.distill.config import TrainConfig, TrainingStage
from tinysam_mobile.distill.cutouts import clip_art
from tinysam_mobile.distill.looks import soft_edge, worn
from tinysam_mobile.distill.photo_store import Photo, PhotoStore, write_store
from tinysam_mobile.distill.prepare import plain_photos
from tinysam_mobile.distill.salient import run_graph, separate_objects
from tinysam_mobile.distill.scene_validation import figures_of, held_back_scenes
from tinysam_mobile.distill.scenes import CLASS_BOUNDS, SceneComposer, SceneSettings
from tinysam_mobile.modeling.mask_decoder import DecoderOutput

BARE = SceneSettings(
    whole_photo_share=1.0,
    paste_share=0.0,
    flip_share=0.0,
    colour_jitter=0.0,
    gray_share=0.0,
    shape_share=0.0,
)


def store_of(folder: Path, colour: int, *, count: int = 2) -> PhotoStore:
    """Gray photos, 100x100, with a square of one `colour` in the middle as their object."""
    pixels = np.full((100, 100, 3), 90, np.uint8)
    square = np.zeros((100, 100), np.uint8)
    square[30:70, 30:70] = 1
    pixels[square > 0] = colour
    photos = [
        Photo(name=f"{i}", source=folder.name, pixels=pixels, layers=square[None], kinds=("object",))
        for i in range(count)
    ]
    write_store(photos, folder)
    return PhotoStore(folder)


def test_a_mosaic_shows_each_object_where_its_mask_is(tmp_path: Path) -> None:
    composer = SceneComposer([store_of(tmp_path / "a", 250)], replace(BARE, mosaic_share=1.0))
    for seed in range(20):
        scene = composer.compose(np.random.default_rng(seed), size=128, masks=4)
        assert scene.valid_size == (128, 128)
        assert scene.photo is None
        for mask in scene.masks:
            # Bilinear edges: the object's colour holds inside, not at the border.
            assert np.median(scene.pixels[mask]) > 200
        outside = ~scene.masks.any(0)
        assert np.median(scene.pixels[outside]) < 200


def test_things_come_from_the_cutouts_and_may_repeat_side_by_side(tmp_path: Path) -> None:
    settings = replace(BARE, paste_share=1.0, max_pasted=1, cutout_share=1.0, min_paste_side=0.1,
                       max_paste_side=0.2, repeat_share=1.0, min_mask_area=4)  # fmt: skip
    photos, things = store_of(tmp_path / "a", 10), store_of(tmp_path / "b", 250)
    composer = SceneComposer([photos], settings, [things])
    counts = []
    for seed in range(20):
        scene = composer.compose(np.random.default_rng(seed), size=128, masks=8)
        unique = np.unique(scene.masks.reshape(8, -1), axis=0).reshape(-1, 128, 128)
        pasted = [mask for mask in unique if np.median(scene.pixels[mask]) > 150]
        counts.append(len(pasted))
    assert max(counts) >= 3


def test_shares_of_sizes_hold_where_a_scene_has_them_all(tmp_path: Path) -> None:
    settings = replace(BARE, paste_share=1.0, max_pasted=9, min_paste_side=0.05, max_paste_side=0.3,
                       class_shares=(0.8, 0.1, 0.1), min_mask_area=4)  # fmt: skip
    composer = SceneComposer([store_of(tmp_path / "a", 250)], settings)
    areas = np.concatenate(
        [composer.compose(np.random.default_rng(i), size=128, masks=3).masks.mean((1, 2)) for i in range(80)]
    )
    favoured = (np.searchsorted(CLASS_BOUNDS, areas) == 0).mean()
    even = replace(settings, class_shares=(0.1, 0.1, 0.8))
    composer = SceneComposer([store_of(tmp_path / "a", 250)], even)
    areas = np.concatenate(
        [composer.compose(np.random.default_rng(i), size=128, masks=3).masks.mean((1, 2)) for i in range(80)]
    )
    assert favoured > 2 * (np.searchsorted(CLASS_BOUNDS, areas) == 0).mean()


def test_what_is_put_on_a_canvas_hides_parts_of_windows_below() -> None:
    canvas = Canvas(pixels=np.zeros((40, 40, 3), np.uint8))
    rng = np.random.default_rng(0)
    thing = np.full((20, 20, 3), 200, np.uint8), np.ones((20, 20), np.bool_)
    canvas.put(*thing, 5, 5, rng, blend=0.0)
    canvas.put(*thing, 15, 15, rng, blend=0.0)
    canvas.put(*thing, 35, -5, rng, blend=0.0)
    assert [c.area for c in canvas.candidates(1)] == [400 - 100, 400, 5 * 15]
    canvas.put(*thing, 90, 90, rng, blend=0.0)
    assert len(canvas.windows) == 3


def test_blending_changes_the_edge_and_the_ground_but_not_the_mask() -> None:
    hard, soft = (Canvas(pixels=np.full((60, 60, 3), 100, np.uint8)) for _ in range(2))
    mask = np.zeros((30, 30), np.bool_)
    mask[4:26, 4:26] = True
    thing = np.full((30, 30, 3), 220, np.uint8), mask
    hard.put(*thing, 10, 10, np.random.default_rng(1), blend=0.0)
    soft.put(*thing, 10, 10, np.random.default_rng(1), blend=1.0)
    assert set(np.unique(hard.pixels)) == {100, 220}
    assert len(np.unique(soft.pixels)) > 10
    assert (hard.windows[0].labels == soft.windows[0].labels).all()
    assert soft_edge(mask, 1.0)[4, 10, 0] == pytest.approx(2 / 3, abs=0.01)


def test_wear_keeps_the_size_and_changes_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    changed = worn(pixels, np.random.default_rng(1), 1.0)
    assert changed.shape == pixels.shape
    assert (changed != pixels).mean() > 0.5
    assert (worn(pixels, np.random.default_rng(1), 0.0) == pixels).all()


def test_clip_art_keeps_things_and_drops_lines_frames_and_symbols(tmp_path: Path) -> None:
    def draw(name: str, box: tuple[int, int, int, int], *, outline_only: bool = False) -> None:
        image = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
        red = (255, 0, 0, 255)
        ImageDraw.Draw(image).ellipse(box, fill=None if outline_only else red, outline=red)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)

    draw("animals/disc.png", (20, 20, 79, 79))
    draw("animals/ring.png", (20, 20, 79, 79), outline_only=True)
    draw("animals/tiny.png", (20, 20, 30, 30))
    draw("flags/disc.png", (20, 20, 79, 79))
    Image.new("RGBA", (60, 60), (9, 9, 9, 255)).save(tmp_path / "animals/full.png")
    (tmp_path / "animals/broken.png").write_bytes(b"no picture")
    (photo,) = clip_art(tmp_path)
    assert photo.name == "animals/disc.png"
    assert photo.pixels.shape == (60, 60, 3)
    assert photo.layers[0].mean() == pytest.approx(np.pi / 4, abs=0.02)


def test_held_back_photos_and_the_others_are_all(tmp_path: Path) -> None:
    for i in range(7):
        (tmp_path / f"{i}.jpg").touch()
    kept = plain_photos(tmp_path, hold_back_every=3)
    left_out = plain_photos(tmp_path, hold_back_every=3, held_back=True)
    assert [path.name for path in left_out] == ["0.jpg", "3.jpg", "6.jpg"]
    assert sorted(kept + left_out) == plain_photos(tmp_path)


def probabilities(*boxes: tuple[int, int, int, int], doubt: float = 0.0) -> NDArray[np.float32]:
    map_ = np.full((60, 80), doubt, np.float32)
    for y0, y1, x0, x1 in boxes:
        map_[y0:y1, x0:x1] = 0.98
    return map_


def test_salient_pieces_become_objects_and_doubtful_maps_none() -> None:
    one = separate_objects(probabilities((10, 40, 10, 40), (50, 52, 70, 72)))
    assert one is not None
    assert set(np.unique(one)) == {0, 1}
    assert (one > 0).sum() == 900
    two = separate_objects(probabilities((10, 40, 5, 25), (10, 40, 50, 70)))
    assert two is not None
    assert set(np.unique(two)) == {0, 1, 2}
    assert separate_objects(probabilities()) is None
    assert separate_objects(probabilities((10, 40, 10, 40), doubt=0.3)) is None
    assert (
        separate_objects(probabilities(*[(y, y + 8, x, x + 8) for y in (2, 22) for x in range(2, 70, 12)]))
        is None
    )
    assert separate_objects(0.6 * probabilities((10, 40, 10, 40))) is None


def test_a_graph_is_run_in_order_and_sizes_follow_the_input() -> None:
    kernel = torch.ones(1, 1, 3, 3)
    settings = {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1]}
    nodes = [
        ("Conv", ["x", "w", "b"], "a", settings),
        ("MaxPool", ["a"], "half", {}),
        # Half of the input's size of 1024, as the file was exported.
        ("Resize", ["half", "sizes"], "c", {}),
        ("Relu", ["c"], "y", {}),
    ]
    x = -torch.ones(1, 1, 8, 8)
    x[..., 4:] = 1
    values = {"w": kernel, "b": torch.zeros(1), "sizes": torch.tensor([1, 1, 1024, 1024]), "x": x}
    out = run_graph(nodes, values, "y", scale=8 / 1024)
    assert out.shape == (1, 1, 8, 8)
    assert out.min() == 0
    assert out[0, 0, 4, 6] == 9


class Oracle:
    """Answers with the object's own mask at a quarter of the size, and knows how good each answer is."""

    def encode(self, images: Tensor) -> Tensor:
        self.bright = (images.mean(1, keepdim=True) > 0.7).float()
        return self.bright

    def decode(self, embedding: Tensor, coords: Tensor, _: Tensor) -> DecoderOutput:
        right = torch.nn.functional.avg_pool2d(embedding, 4)[:, 0] - 0.5
        masks = torch.stack([-right, right, -torch.ones_like(right)], 1).expand(len(coords), -1, -1, -1)
        iou = torch.tensor([[0.1, 0.9, 0.0]]).expand(len(coords), -1)
        return DecoderOutput(masks=masks, iou=iou, tokens=torch.zeros(len(coords), 1, 1))


def test_validation_measures_an_oracle_as_nearly_perfect(tmp_path: Path) -> None:
    store_of(tmp_path / "held", 250)
    config = TrainConfig(
        model="tinysam-nano",
        stores=("unused",),
        stages=(TrainingStage(steps=1, image_size=128, photos=1, prompts=1),),
        validation_stores=(str(tmp_path / "held"),),
        validation_scenes=3,
        scenes=BARE,
    )
    table = figures_of(Oracle(), held_back_scenes(config, 128))  # type: ignore[arg-type]
    assert table["miou_filled"] == 1.0
    # A quarter of the resolution leaves the border uncertain: half a cell of 4 on each side of 51 pixels.
    assert table["miou_box"] == table["miou_point_best"] > (47 / 51) ** 2
    assert table["miou_box_large"] == table["miou_box"]
    assert np.isnan(table["miou_box_small"])
    assert table["rank_box"] > 0.8
