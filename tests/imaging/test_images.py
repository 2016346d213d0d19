"""Every kind of image file comes out as a person sees it, and what is no image is one clear error."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tinysam_mobile.errors import ImageError
from tinysam_mobile.imaging.images import as_rgb, load_image

# A picture whose corners differ: red, green / blue, grey.
CORNERS = np.array([[[200, 10, 10], [10, 200, 10]], [[10, 10, 200], [90, 90, 90]]], np.uint8)
PICTURE = CORNERS.repeat(8, axis=0).repeat(12, axis=1)  # (16, 24, 3)
# JPEG and CMYK conversions are lossy by a few steps of 255.
LOSSY = 8


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def assert_looks_like(image: NDArray[np.uint8], expected: NDArray[np.uint8], tolerance: int = 0) -> None:
    assert image.dtype == np.uint8
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected.astype(int)).max() <= tolerance


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm", "tga"])
def test_lossless_formats(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(PICTURE), **options)
    assert_looks_like(load_image(path), PICTURE)


def test_the_path_may_be_text(tmp_path: Path) -> None:
    assert_looks_like(load_image(str(save(tmp_path / "a.png", Image.fromarray(PICTURE)))), PICTURE)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, PICTURE),
        (2, PICTURE[:, ::-1]),
        (3, PICTURE[::-1, ::-1]),
        (4, PICTURE[::-1]),
        (5, PICTURE.transpose(1, 0, 2)),
        (6, np.rot90(PICTURE)),
        (7, PICTURE[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90(PICTURE, -1)),
    ],
)
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int, stored: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert_looks_like(load_image(path), PICTURE)


def test_damaged_exif_does_not_spoil_the_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\x00")
    assert_looks_like(load_image(path), PICTURE)


def test_grey_is_repeated(tmp_path: Path) -> None:
    grey = PICTURE[:, :, 0]
    path = save(tmp_path / "a.png", Image.fromarray(grey))
    assert_looks_like(load_image(path), np.stack([grey] * 3, axis=2))


def test_one_bit(tmp_path: Path) -> None:
    bits = PICTURE[:, :, 0] > 100
    path = save(tmp_path / "a.png", Image.fromarray(bits))
    assert_looks_like(load_image(path), np.stack([bits * np.uint8(255)] * 3, axis=2))


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_transparency_is_laid_over_white(tmp_path: Path, alpha: int) -> None:
    rgba = np.dstack([PICTURE, np.full(PICTURE.shape[:2], alpha, np.uint8)])
    path = save(tmp_path / "a.png", Image.fromarray(rgba))
    expected = (PICTURE * (alpha / 255) + 255 * (1 - alpha / 255) + 0.5).astype(np.uint8)
    assert_looks_like(load_image(path), expected, tolerance=1)


def test_grey_with_transparency(tmp_path: Path) -> None:
    la = np.dstack([PICTURE[:, :, 0], np.zeros(PICTURE.shape[:2], np.uint8)])
    path = save(tmp_path / "a.png", Image.fromarray(la))
    assert_looks_like(load_image(path), np.full_like(PICTURE, 255))


def test_colour_key(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE), transparency=(200, 10, 10))
    expected = PICTURE.copy()
    expected[:8, :12] = 255
    assert_looks_like(load_image(path), expected)


@pytest.mark.parametrize("transparent", [False, True])
def test_palette(tmp_path: Path, transparent: bool) -> None:
    palette = Image.fromarray(PICTURE).quantize(4)
    options = {"transparency": palette.getpixel((0, 0))} if transparent else {}
    expected = PICTURE.copy()
    if transparent:
        expected[:8, :12] = 255
    assert_looks_like(load_image(save(tmp_path / "a.png", palette, **options)), expected)


def test_palette_with_an_alpha_for_each_colour(tmp_path: Path) -> None:
    palette = Image.fromarray(PICTURE).quantize(4)
    path = save(tmp_path / "a.png", palette, transparency=b"\x00\x00\x00\x00")
    assert_looks_like(load_image(path), np.full_like(PICTURE, 255))


def test_cmyk_tiff(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(PICTURE).convert("CMYK"))
    assert_looks_like(load_image(path), PICTURE, LOSSY)


def test_cmyk_jpeg_with_adobes_inversion(tmp_path: Path) -> None:
    # Pillow writes CMYK JPEGs as Adobe does: inverted, with an APP14 marker.
    path = save(tmp_path / "a.jpg", Image.fromarray(PICTURE).convert("CMYK"), quality=100, subsampling=0)
    assert b"Adobe" in path.read_bytes()[:100]
    assert_looks_like(load_image(path), PICTURE, LOSSY)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 24).astype(np.uint16)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(np.tile(ramp, (4, 1))))
    expected = (np.tile(ramp, (4, 1)) / 257 + 0.5).astype(np.uint8)
    assert_looks_like(load_image(path), np.stack([expected] * 3, axis=2))


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_sixteen_bit_tiff_of_either_byte_order(tmp_path: Path, byte_order: str) -> None:
    path = tmp_path / "a.tif"
    samples = np.array([[0, 32896, 65535]], f"{byte_order}u2")
    tags = [(256, 3), (257, 1), (258, 16), (259, 1), (262, 1), (273, 200), (277, 1), (278, 1), (279, 6)]
    entries = b"".join(struct.pack(f"{byte_order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    magic = b"II" if byte_order == "<" else b"MM"
    head = magic + struct.pack(f"{byte_order}HI", 42, 8) + struct.pack(f"{byte_order}H", len(tags))
    path.write_bytes((head + entries + b"\0\0\0\0").ljust(200, b"\0") + samples.tobytes())
    assert load_image(path)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 127.0, 255.0], [0, 127, 255]),
        ([-50.0, 50.0, 205.0], [0, 100, 255]),
        ([np.nan, 300.0, 400.0], [0, 0, 255]),
        ([0.0, 0.0, 0.0], [0, 0, 0]),
        ([np.inf, np.nan, -np.inf], [0, 0, 0]),
    ],
)
def test_float_samples(tmp_path: Path, values: list[float], expected: list[int]) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(np.array([values], np.float32)))
    assert load_image(path)[0, :, 0].tolist() == expected


def test_integers_beyond_sixteen_bits(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(np.array([[-10, 0, 100_000]], np.int32)))
    assert load_image(path)[0, :, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animation_gives_its_first_frame(tmp_path: Path, suffix: str) -> None:
    first, second = Image.fromarray(PICTURE), Image.new("RGB", (24, 16), (255, 255, 255))
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", first, save_all=True, append_images=[second], **options)
    assert_looks_like(load_image(path), PICTURE)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (20_000, 30)])
def test_extreme_shapes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", size, (1, 2, 3)))
    assert load_image(path).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(noise))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"truncated or damaged|no image"):
        load_image(path)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_no_pixels(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_of_size(*size))
    with pytest.raises(ImageError, match="or is empty"):
        load_image(path)


def test_decompression_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_of_size(60_000, 60_000))
    with pytest.raises(ImageError, match="too many pixels"):
        load_image(path)


def test_pillows_warning_below_its_limit_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PICTURE.shape[0] * PICTURE.shape[1] - 1)
    path = save(tmp_path / "a.png", Image.fromarray(PICTURE))
    assert_looks_like(load_image(path), PICTURE)


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n", np.random.default_rng(0).bytes(64)]
)
def test_not_an_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.png"):
        load_image(path)


def test_eps_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "a.eps"
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "EPS")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ImageError, match="no image"):
        load_image(path)


def test_missing_and_directory(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        load_image(tmp_path)


def test_arrays() -> None:
    assert as_rgb(PICTURE) is PICTURE
    assert_looks_like(as_rgb(PICTURE[:, :, 0]), np.stack([PICTURE[:, :, 0]] * 3, axis=2))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (PICTURE.astype(np.float32) / 255, "uint8"),
        (PICTURE.transpose(2, 0, 1), "shape"),
        (np.zeros((4, 4, 4), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 0), np.uint8), "no pixels"),
    ],
)
def test_other_arrays_are_refused(array: NDArray[Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        as_rgb(array)


def test_heic_is_read_or_the_package_for_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic")
    monkeypatch.setattr("tinysam_mobile.imaging.images.reads_heic", lambda: False)
    with pytest.raises(ImageError, match="pip install pillow-heif"):
        load_image(path)
    monkeypatch.undo()
    heif = pytest.importorskip("pillow_heif")
    pixels = np.full((40, 60, 3), (200, 30, 60), np.uint8)
    heif.from_bytes("RGB", (60, 40), pixels.tobytes()).save(path, quality=100, chroma=444)
    # A flat colour survives lossy coding but for the rounding of the two changes of colour space.
    np.testing.assert_allclose(load_image(path), pixels, atol=3)
