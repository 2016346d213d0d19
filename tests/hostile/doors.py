"""The places where a file of a stranger comes in, each with a right input to change.

A door takes bytes, puts them where a command would find them, and opens them as the command does.
"""

from __future__ import annotations

import io
import json
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import save

from tests.fake_device import FakeDevice, zipped
from tests.hostile.grammar import hostile_bytes, hostile_text, mutated
from tests.small_model import CHECKPOINT, MODEL
from tinysam_mobile.bundle.folder import Bundle, hash_path, write_manifest
from tinysam_mobile.bundle.manifest import Artifact, Manifest, contract_data
from tinysam_mobile.cli.segment_prompt import parse_box, parse_point
from tinysam_mobile.contract.everything_settings import EVERYTHING_DEFAULTS, everything_settings
from tinysam_mobile.contract.spec import Component
from tinysam_mobile.device.dumps import open_dump
from tinysam_mobile.device.fixtures import FixtureSet, read_fixtures, write_fixtures
from tinysam_mobile.distill.config import read_config
from tinysam_mobile.evaluation.coco import read_annotations
from tinysam_mobile.evaluation.detections import read_boxes
from tinysam_mobile.files import parse_json, write_bytes
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.config import config_from_dict
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.parity.hand_converted import read_mapping
from tinysam_mobile.parity.prompt_sampling import read_own_prompts
from tinysam_mobile.parity.record import record_photo
from tinysam_mobile.parity.stages import ParityPrompt, PhotoCase
from tinysam_mobile.segment.everything import EverythingConfig
from tinysam_mobile.segment.prompts import make_prompt
from tinysam_mobile.simulator.registry import open_model

__all__ = ["DOORS", "Door"]

Make = Callable[[Random], bytes]
Open = Callable[[Path, bytes], object]


@dataclass(frozen=True, kw_only=True)
class Door:
    """`make` gives a hostile input, `open` hands it to the reader in a folder; `share` is of all inputs."""

    make: Make
    open: Open
    share: int = 1


def from_json(document: Callable[[], Any]) -> Make:
    return lambda rng: hostile_text(rng, document())


def from_bytes(data: Callable[[Random], bytes]) -> Make:
    return lambda rng: hostile_bytes(rng, data(rng))


def as_file(name: str, read: Callable[[Path], object]) -> Open:
    def opened(folder: Path, data: bytes) -> object:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return opened


CONTRACT = contract_of(MODEL, slots=4, batch=2)


@cache
def manifest_document() -> dict[str, Any]:
    data = contract_data(CHECKPOINT, CONTRACT)
    artifacts = tuple(
        Artifact(
            runtime="tflite",
            recipe="fp32",
            component=component,
            path=f"tflite/fp32/{component}.tflite",
            entry_points={"encode": "encode"},
            sha256="0" * 64,
            size_bytes=1,
        )
        for component in Component
    )
    document: dict[str, Any] = json.loads(json.dumps(Manifest(data=data, artifacts=artifacts).to_json()))
    return document


def open_bundle_folder(folder: Path, data: bytes) -> object:
    for component in Component:
        path = folder / "tflite" / "fp32" / f"{component}.tflite"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (folder / "manifest.json").write_bytes(data)
    bundle = Bundle.open(folder)
    EverythingConfig(**bundle.manifest.everything)
    assert bundle.manifest.contract.signatures
    # What was read can be written again.
    write_manifest(folder, bundle.manifest)
    return [hash_path(folder / artifact.path) for artifact in bundle.manifest.artifacts]


def open_config(folder: Path, data: bytes) -> object:  # noqa: ARG001 (all doors have one form)
    config = config_from_dict(parse_json(data, "config"))
    return config.to_dict(), config.grid_size, config.mask_size


def open_settings(folder: Path, data: bytes) -> object:  # noqa: ARG001
    return EverythingConfig(**everything_settings(parse_json(data, "everything")))


@cache
def safetensors_parts() -> tuple[dict[str, Any], bytes]:
    data = save(MODEL.state_dict(), {"config": json.dumps(MODEL.config.to_dict()), "everything": "{}"})
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def hostile_safetensors(rng: Random) -> bytes:
    header, body = safetensors_parts()
    header = dict(header)
    part = rng.randrange(3)
    if part == 0:
        header["__metadata__"] = dict(header["__metadata__"])
        key = rng.choice(("config", "everything"))
        text = hostile_text(rng, json.loads(header["__metadata__"][key]))
        header["__metadata__"][key] = text.decode(errors="replace")
        head = json.dumps(header).encode()
    elif part == 1:
        head = hostile_text(rng, header)
    else:
        return hostile_bytes(
            rng, len(json.dumps(header)).to_bytes(8, "little") + json.dumps(header).encode() + body
        )
    return len(head).to_bytes(8, "little") + head + body


@cache
def recorded() -> tuple[PhotoCase, Any, Any]:
    backend = open_model(MODEL, CONTRACT, num_threads=1)
    prompts = (ParityPrompt(kind="point", prompt=make_prompt([[3, 4]], [1]), spare_xy=-500.0),)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    case = PhotoCase(name="a.png", pixels=pixels, prompts=prompts)
    return case, record_photo(backend, case), backend


FIXTURES: dict[str, Any] = {}


def prepare_fixtures(folder: Path) -> None:
    """Write fixtures and a device's answer once, which the doors of the device loop start from."""
    case, recording, backend = recorded()
    manifest = Manifest(data=contract_data(CHECKPOINT, CONTRACT), artifacts=())
    write_fixtures(folder, manifest, [(case, recording)])
    FIXTURES["folder"] = folder
    FIXTURES["set"] = read_fixtures(folder)
    FIXTURES["files"] = FakeDevice(backend, "tflite", "fp32", {"encoder": "a" * 64}).replay(folder)


def open_fixture_index(folder: Path, data: bytes) -> object:
    source: Path = FIXTURES["folder"]
    for path in source.rglob("*.bin"):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.hardlink_to(path)
    write_bytes(folder / "fixtures.json", data)
    fixtures = read_fixtures(folder)
    return [fixtures.expected(index) for index in range(len(fixtures.cases))]


def fixture_document() -> Any:
    return json.loads((FIXTURES["folder"] / "fixtures.json").read_text())


def hostile_dump(rng: Random) -> bytes:
    files = dict(FIXTURES["files"])
    if rng.random() < 0.5:
        return hostile_bytes(rng, zipped(files))
    (index,) = (name for name in files if name.endswith(".json"))
    files[index] = hostile_text(rng, json.loads(files[index]))
    if rng.random() < 0.2:
        files[rng.choice(("../x", "/x", "a\\b", "x" * 1000, "x\n", "photo_0", "DUMP.JSON"))] = b"x"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def open_dump_file(path: Path) -> object:
    fixtures: FixtureSet = FIXTURES["set"]
    with open_dump(path, fixtures) as dump:
        return [dump.recording(index) for index in range(len(fixtures.cases))]


COCO = {
    "images": [
        {"id": 1, "file_name": "1.png", "width": 16, "height": 12},
        {"id": 2, "coco_url": "http://x/val2017/2.png", "width": 16, "height": 12}
        | {"neg_category_ids": [1], "not_exhaustive_category_ids": []},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 20, "bbox": [1, 1, 5, 5]}
        | {"segmentation": [[1, 1, 6, 1, 6, 6, 1, 6]]},
        {"id": 2, "image_id": 2, "category_id": 1, "iscrowd": 1, "area": 9, "bbox": [0, 0, 3, 3]}
        | {"segmentation": {"size": [12, 16], "counts": [0, 9, 183]}},
        {"id": 3, "image_id": 2, "category_id": 1, "iscrowd": 0, "area": 9, "bbox": [0, 0, 3, 3]}
        | {"segmentation": {"size": [12, 16], "counts": "09Y5"}},
    ],
    "categories": [{"id": 1, "name": "square", "frequency": "f"}],
}
BOXES = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.9}]


def open_annotations(path: Path) -> object:
    data = read_annotations(path, path.parent, federated=True)
    return [image.mask(instance).sum() for image in data.images for instance in image.instances]


def open_detections(folder: Path, data: bytes) -> object:
    (folder / "boxes.json").write_bytes(data)
    (folder / "instances.json").write_text(json.dumps(COCO))
    boxes = read_boxes(folder / "boxes.json")
    images = read_annotations(folder / "instances.json", folder).images
    return [box.inside(image) for image in images for box in boxes.of(image, limit=3)]


@cache
def encoded(kind: str, mode: str) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    image.convert(mode).save(buffer, kind, exif=exif)
    return buffer.getvalue()


PICTURES = (
    *(("PNG", mode) for mode in ("RGB", "P", "LA", "1", "I;16")),
    *(("JPEG", mode) for mode in ("RGB", "L", "CMYK")),
    *(("TIFF", mode) for mode in ("RGB", "CMYK", "F")),
    *(("WEBP", "RGB"),),
)


def picture(rng: Random) -> bytes:
    return encoded(*rng.choice(PICTURES))


MAPPING = {
    "runtime": "tflite",
    "recipe": "fp32",
    "slots": 8,
    "encode": {
        "file": "encoder.tflite",
        "function": "serving_default",
        "image_values": "0-255",
        "inputs": {"image": "args_0", "valid_size": "args_1"},
        "outputs": {"image_embeddings": "output_0"},
    },
    "decode": {
        "file": "decoder.tflite",
        "inputs": {"image_embeddings": "args_0"},
        "outputs": {"low_res_masks": "output_0", "iou_predictions": "output_1"},
    },
}
OWN_PROMPTS = {
    "a.png": [
        {"points": [[3, 4], [5, 6]], "labels": [1, 0], "box": [1, 2, 8, 9]},
        {"points": [[1.5, 2]]},
        {"box": [0, 0, 4, 4]},
    ]
}


def hostile_option(rng: Random) -> bytes:
    values = [
        rng.choice(("1", "2.5", "nan", "inf", "1e400", "-1", "", "x", "\0", "１", "1_0", "0x1"))
        for _ in range(4)
    ]
    return ",".join(values[: rng.randrange(1, 5)]).encode()


def open_option(folder: Path, data: bytes) -> object:  # noqa: ARG001
    text = data.decode()
    return parse_box(text) if text.count(",") == 3 else parse_point(text)


@cache
def recipes() -> list[dict[str, Any]]:
    folder = Path(__file__).parents[2] / "tinysam_mobile" / "distill" / "recipes"
    return [tomllib.loads(path.read_text()) for path in sorted(folder.glob("*.toml"))]


def as_toml(value: Any) -> str:
    """A value as TOML, which has no null; in tables of one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {as_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return '"null"' if value is None else repr(value) if type(value) in (int, float) else json.dumps(value)


def hostile_recipe(rng: Random) -> bytes:
    changed = mutated(rng, rng.choice(recipes()))
    try:
        pairs = changed.items() if isinstance(changed, dict) else [("x", changed)]
        text = "\n".join(f"{json.dumps(str(k))} = {as_toml(v)}" for k, v in pairs)
    except (ValueError, RecursionError):
        text = "a = " + "[" * 100_000
    data = text.encode(errors="surrogatepass")
    return hostile_bytes(rng, data) if rng.random() < 0.1 else data


DOORS = {
    "manifest": Door(make=from_json(manifest_document), open=open_bundle_folder, share=3),
    "configuration": Door(make=from_json(MODEL.config.to_dict), open=open_config, share=3),
    "thresholds": Door(make=from_json(lambda: dict(EVERYTHING_DEFAULTS)), open=open_settings),
    "checkpoint": Door(make=hostile_safetensors, open=as_file("m.safetensors", load_checkpoint), share=2),
    "fixtures": Door(make=from_json(fixture_document), open=open_fixture_index, share=2),
    "dump": Door(make=hostile_dump, open=as_file("dump.zip", open_dump_file), share=2),
    "annotations": Door(
        make=from_json(lambda: COCO), open=as_file("instances.json", open_annotations), share=3
    ),
    "detections": Door(make=from_json(lambda: BOXES), open=open_detections),
    "picture": Door(make=from_bytes(picture), open=as_file("photo", load_image), share=3),
    "mapping": Door(make=from_json(lambda: MAPPING), open=as_file("map.json", read_mapping)),
    "training recipe": Door(make=hostile_recipe, open=as_file("run.toml", read_config)),
    "own prompts": Door(
        make=from_json(lambda: OWN_PROMPTS), open=as_file("own.json", read_own_prompts), share=2
    ),
    "option": Door(make=hostile_option, open=open_option),
}
