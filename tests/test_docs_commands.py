"""Every command in the README, in docs/ and in --help works: it is run on small data, or at least parsed.

`SMALLER` says what a command is given here in place of what the page names; `PARSED_ONLY` which commands are
not run, and why.  Whatever is on neither list is run as it stands and must exit with 0.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import click
import pytest
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from tests.fake_device import FakeDevice, zipped
from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli import COMMANDS, main
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.config import TINY_TEST
from tinysam_mobile.simulator.registry import open_model

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "MODEL_CARD.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "sample_apps").glob("**/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
STARTS = ("tinysam-mobile ", "python -m ", "make ", "torchrun ")
MODEL = "stand-in:tiny-test"

SMALLER = (
    (r"inspect tinysam_42\.3\.pth", "inspect student.safetensors"),
    (r"tinysam_42\.3\.pth|mobile_sam\.pt", MODEL),
    (r"\b(PATH|BUNDLE)\b", "bundle"),
    (r"ios\|android", "android"),
    (r"\.\./shared/data/", ""),
    # The bundle of the tests is TFLite, fp32; Core ML's interpreter has tests of its own.
    (r"--runtime coreml\b", "--runtime tflite"),
    (r"--recipe (fp16|dynamic_w8)", "--recipe fp32"),
    (r"bundle-for-app ios bundle", "bundle-for-app android bundle"),
    (r"(bundle-for-app android bundle.*)", r"\1 --overwrite --out app"),
    (r"-o fixtures$", "-o more_fixtures --overwrite"),
    (r"^(tinysam-mobile fixtures bundle --images.*)", r"\1 -o other_fixtures --overwrite"),
    (r"^(tinysam-mobile validate bundle.*)", r"\1 --prompts 2 --everything-photos 0 --threads 1"),
    (
        r"^tinysam-mobile bench bundle.*",
        "tinysam-mobile bench bundle --runtime tflite --threads 1 --runs 1 --warm-up 0",
    ),
    # Everything mode of the shipped network takes seconds a photo; of noise it takes the time of its grid.
    (r"^(tinysam-mobile segment photo.jpg --everything(?!.*--bundle).*)", rf"\1 --checkpoint {MODEL}"),
    (r"^(tinysam-mobile segment (?!.*--boxes).*--everything.*)", r"\1 --points-per-side 4"),
    (r"^(tinysam-mobile evaluate (?!.*(--bundle|--compare)).*)", rf"\1 --checkpoint {MODEL}"),
    (r"^(tinysam-mobile evaluate .*)--everything", r"\1"),
)
"""Pattern → what it is replaced by, in this order."""

TRAINING = "trains, or reads what training wrote; tests/distill runs each verb"
CONVERSION = "tests/conftest.py converts with this command to TFLite; tests/converters to every format"
PARSED_ONLY = {
    r"tinysam-mobile convert (?!--help)": CONVERSION,
    r"tinysam-mobile fetch (?!--list)": "needs the network; tests/modeling/test_fetch.py has a server",
    r"tinysam-mobile distill (prepare|cutouts|pack|unpack|train|cache|export|score)\b": TRAINING,
    r"tinysam-mobile distill thresholds": "no thresholds suit noise; tests/distill/test_choose_thresholds.py",
    r"tinysam-mobile inspect \S*\.onnx\+": "a published file of weights",
    r"tinysam-mobile serve (?!--help)": "serves until it is stopped; tests/device/test_serve.py asks it",
    r"tinysam-mobile bench bundle_512": "two bundles; bench of one is run",
    r"tinysam-mobile validate by_hand": "tests/parity/test_hand_converted.py writes such a file and runs it",
    r"tinysam-mobile evaluate .*--compare": "measures speed for minutes; tests/evaluation/test_comparison.py",
    r"torchrun ": "tests/evaluation/test_run.py and distill/test_train.py start two processes",
    r"make ": "the target exists; CI runs make test, and tests/test_docs.py builds the site",
    r"python -m benchmarks\.": "minutes to hours; the options are parsed",
    r"python -m tests\.(app_fixtures|app_stubs|conformance|mil|notebook|swift_api|xcode_\w+)": "writes files",
    r"python -m tinysam_mobile\.(quant\.capability|bundle\.contract_page)": "a test compares the text",
    r"tinysam-mobile mil (run|show|diff|trace)\b": "tests/mil/test_commands.py runs each verb on a package",
    r"python -m pytest -p ": "tests/mil/test_conformance.py runs a sample with the plugin",
}
"""Beginning of a command → why it is not run here."""


def commands_in(page: str) -> Iterator[str]:
    """Commands of shell blocks, indented blocks and code in a line, without what explains them."""
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [line for line in plain.splitlines() if line.startswith("    ")]
    in_text = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", plain)]
    # A verb alone is the name of a command, which at least has help.
    lines += [f"{code} --help" if re.fullmatch(r"tinysam-mobile [\w-]+", code) else code for code in in_text]
    for line in lines:
        command = re.split(r"  +|\s+#", line.strip(), maxsplit=1)[0]
        yield from (part for part in command.split(" && ") if part.startswith(STARTS))


def help_examples() -> Iterator[str]:
    """Commands of every `Examples:` in --help, which docs/site_pages.py makes a page of."""
    groups: list[click.Command] = [main, *(import_module(module).command for module, _ in COMMANDS.values())]
    for command in groups:
        children = (
            command.commands.values() if isinstance(command, click.Group) and command is not main else ()
        )
        for one in (command, *children):
            for line in (one.help or "").splitlines():
                if line.startswith("  ") and line.strip().startswith(STARTS):
                    yield re.split(r"  +", line.strip(), maxsplit=1)[0]


def all_commands() -> list[str]:
    pages = [command for page in PAGES for command in commands_in(page.read_text(encoding="utf-8"))]
    return sorted({*pages, *help_examples()})


def reason_not_run(command: str) -> str | None:
    return next((why for start, why in PARSED_ONLY.items() if re.match(start, command)), None)


def smaller(command: str) -> str:
    for pattern, replacement in SMALLER:
        command = re.sub(pattern, replacement, command)
    return command.rstrip()


FOUND = all_commands()
RUN = sorted({smaller(command) for command in FOUND if reason_not_run(command) is None})


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, tflite_bundle: tuple[Path, CompletedProcess[str]]
) -> Path:
    """A folder with what the pages name: a bundle, photos, annotations, boxes, a dump, a student."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "bundle").symlink_to(tflite_bundle[0])
    photo = Image.fromarray(data.astronaut())
    photo.save(folder / "photo.jpg")
    (folder / "photos").mkdir()
    photo.resize((96, 128)).save(folder / "photos" / "small.jpg")
    draw_data_set(folder, photo.resize((128, 128)))
    checkpoint = load_checkpoint(MODEL)
    metadata = {"config": json.dumps(TINY_TEST.to_dict()), "everything": "{}"}
    save_file(checkpoint.model.state_dict(), folder / "student.safetensors", metadata)
    invoke("tinysam-mobile fixtures bundle -o fixtures --prompts 2 --threads 1", folder)
    bundle = Bundle.open(folder / "bundle")
    backend = open_model(checkpoint.model, bundle.manifest.contract, num_threads=1)
    hashes = {artifact.component.value: artifact.sha256 for artifact in bundle.manifest.artifacts}
    dump = zipped(FakeDevice(backend, "tflite", "fp32", hashes).replay(folder / "fixtures"))
    (folder / "dump.zip").write_bytes(dump)
    return folder


def draw_data_set(folder: Path, photo: Image.Image) -> None:
    """One photo with one annotated square, under every name that the pages give a data set."""
    square = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 6400, "bbox": [20, 20, 80, 80]}
    document = {
        "images": [
            {"id": 1, "file_name": "1.png", "width": 128, "height": 128}
            | {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        ],
        "annotations": [square | {"segmentation": [[20, 20, 100, 20, 100, 100, 20, 100]]}],
        "categories": [{"id": 1, "name": "square", "frequency": "f"}],
    }
    boxes = [{"image_id": 1, "category_id": 1, "bbox": [20, 20, 80, 80], "score": 0.9}]
    for images in ("coco_dev/images", "val2017", "coco"):
        (folder / images).mkdir(parents=True)
        photo.save(folder / images / "1.png")
    for name in ("coco_dev/instances", "instances_val2017", "lvis_v1_val"):
        (folder / f"{name}.json").write_text(json.dumps(document))
    for name in ("vitdet", "vitdet_lvis", "boxes"):
        (folder / f"{name}.json").write_text(json.dumps(boxes))


def invoke(command: str, folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = shlex.split(command)
        if words[0] == "python":
            assert import_module(words[2] + ".__main__").main(words[3:]) == 0
            return
        result = CliRunner().invoke(main, words[1:])
    assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"


@pytest.mark.parametrize("command", RUN)
def test_command_runs(command: str, world: Path) -> None:
    invoke(command, world)


def options_and_arguments_fit(command: click.Command, name: str, words: list[str]) -> None:
    """Parse as the command line does; click raises for an unknown option, a missing value, a bad choice."""
    try:
        context = command.make_context(name, words)
    except click.BadParameter as error:
        # The files that a page names are not here.
        if "does not exist" in error.message:
            return
        raise
    with context:
        if isinstance(command, click.Group):
            rest = [*context._protected_args, *context.args]
            found, child, rest = command.resolve_command(context, rest)
            assert found is not None
            assert child is not None
            options_and_arguments_fit(child, found, rest)


@pytest.mark.parametrize("command", [command for command in FOUND if reason_not_run(command)])
def test_command_parses(command: str) -> None:
    command = command.replace("$(tinysam-mobile fetch tinysam)", "tinysam_42.3.pth")
    words = shlex.split(command.replace("$N", "nano.safetensors"))
    recipes = {"$R": "tinysam_mobile/distill/recipes"}
    for word in words:
        start, _, rest = word.partition("/")
        assert start not in recipes or (ROOT / recipes[start] / rest).is_file(), word
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words[1]
        return
    if words[0] == "tinysam-mobile":
        options_and_arguments_fit(main, words[0], words[1:])
        return
    module, *arguments = words[words.index("-m") + 1 :]
    assert find_spec(module) is not None
    if module.startswith("tinysam_mobile") and words[0] == "torchrun":
        options_and_arguments_fit(main, module, arguments)
    elif module.startswith("benchmarks."):
        entry: Any = import_module(module).main
        assert isinstance(entry, click.Command)
        if arguments:
            options_and_arguments_fit(entry, module, arguments)


def test_every_reason_is_needed() -> None:
    unused = [start for start in PARSED_ONLY if not any(re.match(start, command) for command in FOUND)]
    assert not unused
    assert len(RUN) > 20


@pytest.mark.parametrize(
    "wrong",
    [
        "tinysam-mobile segment photo.jpg --boxs 1,2,3,4",
        "tinysam-mobile validate",
        "tinysam-mobile distill trian run.toml",
        "tinysam-mobile convert --target onnx",
    ],
)
def test_a_command_that_does_not_exist_is_seen(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        options_and_arguments_fit(main, "tinysam-mobile", shlex.split(wrong)[1:])
