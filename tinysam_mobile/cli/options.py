"""The options that several commands share, each declared once: one name, one sentence of help, one check.

An option that differs a little between commands (repeatable or not, another default) is a function that
returns the option; the others are the option itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from tinysam_mobile.cli.parameter_types import (
    BundleFolder,
    CheckpointSource,
    ImageSize,
    InputFile,
    InputFolder,
    Number,
    OutputFile,
    OutputFolder,
    OutputPath,
    Photos,
)
from tinysam_mobile.device.layout import FIXTURES_INDEX
from tinysam_mobile.quant.observers import DEFAULT_METHOD, RANGE_METHODS
from tinysam_mobile.simulator.registry import RUNTIMES

__all__ = [
    "as_json_option",
    "boxes_option",
    "bundle_argument",
    "bundle_option",
    "calibration_option",
    "checkpoint_argument",
    "checkpoint_option",
    "everything_option",
    "fixtures_option",
    "image_size_option",
    "images_option",
    "isolate_option",
    "last_option",
    "litert_js_option",
    "max_photos_option",
    "out_option",
    "overwrite_option",
    "own_prompts_option",
    "prompts_option",
    "ranges_option",
    "recipe_option",
    "runtime_option",
    "seed_option",
    "threads_option",
]

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

MAX_THREADS = 256
"""More crash native runtimes, and no host that converts has as many cores."""
MAX_SEED = 2**32 - 1
MAX_PHOTOS = 1000
MAX_PROMPTS = 1000
MAX_IMAGE_SIZE = 4096
OWN_PROMPTS = '{"photo.jpg": [{"points": [[x, y]], "labels": [1], "box": [x0, y0, x1, y1]}]}'

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON document on standard output."
)
overwrite_option = click.option(
    "--overwrite",
    is_flag=True,
    # Read before --out, whose check depends on it.
    is_eager=True,
    help="Replace what this command wrote there before; anything else is never deleted.",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    help="Number of CPU threads; the runtime's own choice by default.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    default=0,
    show_default=True,
    help="Seed of the prompts that are drawn at random.",
)
own_prompts_option = click.option(
    "--own-prompts",
    type=InputFile(suffixes=(".json",), mend=f"its form is {OWN_PROMPTS}"),
    help=f"JSON file with prompts of your own, in pixels: {OWN_PROMPTS}.",
)
checkpoint_option = click.option(
    "--checkpoint",
    type=CheckpointSource(),
    help="Checkpoint of the float model; the shipped one by default.",
)
checkpoint_argument = click.argument("checkpoint", type=CheckpointSource(), required=False)
bundle_argument = click.argument("bundle_path", metavar="BUNDLE", type=BundleFolder())
litert_js_option = click.option(
    "--litert-js",
    type=InputFolder(mend="run: npm install @litertjs/core, and pass its node_modules folder"),
    help="Folder with LiteRT.js for the web page, npm's node_modules; one nearby by default, else a CDN.",
)
bundle_option = click.option(
    "--bundle", "bundle_path", type=BundleFolder(), help="Bundle whose artifacts --runtime runs."
)
image_size_option = click.option(
    "--image-size",
    type=ImageSize(64, MAX_IMAGE_SIZE),
    help="Side S of the model's square input in pixels, a multiple of 64; the checkpoint's by default.",
)
ranges_option = click.option(
    "--ranges",
    type=click.Choice(RANGE_METHODS),
    default=DEFAULT_METHOD,
    show_default=True,
    help="How static recipes choose the ranges of activations; search is TinySAM's and takes minutes.",
)
everything_option = click.option(
    "--everything", is_flag=True, help="Find every object of a photo, without a prompt."
)


def calibration_option(*, required: bool = False) -> Decorator:
    """`--calibration`, a folder of photos."""
    return click.option(
        "--calibration",
        type=Photos(),
        required=required,
        help="Folder of photos that static recipes take their ranges from; 8 photos or more.",
    )


def boxes_option(text: str) -> Decorator:
    """`--boxes`, a file with the boxes of a detector; `text` says what for."""
    return click.option(
        "--boxes",
        "box_file",
        type=InputFile(suffixes=(".json",), mend="name a JSON file of COCO's results format"),
        help=text,
    )


def images_option(*, required: bool = False, only_folder: bool = False, text: str = "") -> Decorator:
    """`--images`: photos in a folder, or unless `only_folder` a single photo."""
    return click.option(
        "--images",
        type=InputFolder() if only_folder else Photos(or_one=True),
        required=required,
        help=text or "Folder of photos, or one photo.",
    )


def prompts_option(*, default: int) -> Decorator:
    """`--prompts`, a number."""
    return click.option(
        "--prompts",
        type=click.IntRange(1, MAX_PROMPTS),
        default=default,
        show_default=True,
        help="Number of prompts that are drawn on each photo.",
    )


def isolate_option(*, default: bool) -> Decorator:
    """`--isolate` and `--no-isolate`."""
    return click.option(
        "--isolate/--no-isolate",
        default=default,
        show_default=True,
        help="Run native runtimes in processes of their own, so that a damaged artifact cannot end this one.",
    )


def max_photos_option(*, default: int | None = None) -> Decorator:
    """`--max-photos`."""
    return click.option(
        "--max-photos",
        type=click.IntRange(1, MAX_PHOTOS),
        default=default,
        show_default=default is not None,
        help="Take only the first photos, in the order of their names.",
    )


def fixtures_option(*, default: Path | None = None) -> Decorator:
    """`--fixtures`, a folder that the command of that name wrote."""
    return click.option(
        "--fixtures",
        type=InputFolder(index=FIXTURES_INDEX, mend="write one with 'tinysam-mobile fixtures BUNDLE'"),
        default=default,
        show_default=default is not None,
        help="Folder that 'tinysam-mobile fixtures' wrote, which the app replays.",
    )


def last_option(*, default: int | None = None) -> Decorator:
    """`--last`."""
    return click.option(
        "--last",
        type=click.IntRange(1),
        default=default,
        show_default=default is not None,
        help="Take only so many photos from the end of the data set, for a validation split.",
    )


def recipe_option(
    *, multiple: bool = False, choices: Sequence[str] = (), default: str | None = None
) -> Decorator:
    """`--recipe`: one of `choices`, or without them one that the bundle holds."""
    which = default or ("all in the bundle" if multiple and not choices else "the first one in the bundle")
    return click.option(
        "--recipe",
        "recipes" if multiple else "recipe",
        multiple=multiple,
        type=click.Choice(choices) if choices else str,
        default=None if multiple else default,
        help=f"Number format, such as fp16 or static_w8a8{'; repeatable' * multiple}; {which} by default.",
    )


def runtime_option(
    *, multiple: bool = False, with_torch: bool = True, default: str = "one of each format in the bundle"
) -> Decorator:
    """`--runtime`; without one `default` says in words what the command takes."""
    return click.option(
        "--runtime",
        "runtimes" if multiple else "runtime",
        multiple=multiple,
        type=click.Choice([name for name in RUNTIMES if with_torch or name != "torch"]),
        help=f"What runs the model{'; repeatable' * multiple}; {default} by default.",
    )


def out_option(
    kind: OutputFile | OutputFolder | OutputPath, text: str, *, default: str | None = None
) -> Decorator:
    """`--out`, also `-o`: required unless it has a default, or `text` says what is taken without one."""
    return click.option(
        "-o",
        "--out",
        type=kind,
        default=Path(default) if default else None,
        required=default is None and "default" not in text,
        show_default=default is not None,
        help=text,
    )


def number_option(flag: str, field: str, lowest: float | None, highest: float | None, text: str) -> Any:
    """An option that is a finite number between `lowest` and `highest`, kept by `given` under `field`."""
    return kept_option(flag, field, Number(lowest, highest), text)


def kept_option(flag: str, field: str, kind: click.ParamType[Any] | None, text: str, **more: Any) -> Any:
    """An option that is no parameter of the command: `given` has it, if the user gave it."""
    return click.option(flag, field, type=kind, help=text, expose_value=False, callback=_keep, **more)


KEPT = "tinysam_mobile.cli.kept"


def _keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None and option.name:
        ctx.meta.setdefault(KEPT, {})[option.name] = value


def given(fields: Sequence[str]) -> dict[str, Any]:
    """Return what the user gave among the options of these `fields`."""
    kept: dict[str, Any] = click.get_current_context().meta.get(KEPT, {})
    return {name: value for name, value in kept.items() if name in fields}
