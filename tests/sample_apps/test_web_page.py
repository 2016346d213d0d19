"""The page as a person uses it: real Chromium on the real command, and the host's own masks beside it.

`sample_apps/web/browser/drive.js` clicks; this file serves, and compares with LiteRT on this machine.  The
bundle is made of the shipped checkpoint unless `TINYSAM_WEB_BUNDLE` names one; without Chromium, node or
LiteRT.js the tests skip.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from tests.device.test_device_loop import call
from tinysam_mobile.bundle.folder import Bundle, hash_path, write_manifest
from tinysam_mobile.bundle.manifest import Manifest
from tinysam_mobile.device.drawn_photos import drawn_photos
from tinysam_mobile.imaging.upscale import upscale_logits
from tinysam_mobile.segment.predictor import Prediction, Predictor
from tinysam_mobile.simulator.registry import open_bundle

WEB = Path(__file__).parents[2] / "sample_apps" / "web"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NODE = shutil.which("node")
PHONE_PX = 360
RECIPES = ("fp32", "dynamic_w8")
TAP, BOX = (0.4, 0.5), (0.25, 0.25, 0.75, 0.8)
"""Where drive.js taps and draws, in shares of the photo's sides."""
SCREEN_PX = 3.0
"""A mouse is at whole pixels of the screen: a tap is off by less than this many pixels of the photo."""

pytestmark = [
    # Of pycocotools with numpy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or NODE is None, reason="NOT RUN: needs chromium and node"),
    pytest.mark.skipif(
        not (WEB / "node_modules" / "playwright-core").is_dir(), reason="NOT RUN: npm ci in sample_apps/web"
    ),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("litert_torch")
    given = os.environ.get("TINYSAM_WEB_BUNDLE")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    recipes = [option for recipe in RECIPES for option in ("--recipe", recipe)]
    result = call("convert", "--target", "tflite", *recipes, "--out", folder)
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PNG, so that browser and host begin with the same pixels."""
    path = tmp_path_factory.mktemp("photo") / "drawn.png"
    Image.fromarray(drawn_photos()["drawn_landscape"]).save(path)
    return path


@contextmanager
def serve(bundle: Path, folder: Path, *options: str) -> Iterator[str]:
    """Run the command until the block ends; give its address."""
    command = [sys.executable, "-m", "tinysam_mobile", "serve", str(bundle), "--port", "0", *options]
    command += ["--litert-js", str(WEB / "node_modules"), "--out", str(folder / "reports")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if line.startswith("page: "):
                    yield line.removeprefix("page: ").strip()
                    break
            else:
                pytest.fail("the command ended before it served")
        finally:
            server.send_signal(signal.SIGINT)
            (folder / "terminal.txt").write_text(server.stdout.read())
            assert server.wait(60) == 0


def drive(address: str, photo: Path, folder: Path, *steps: str) -> dict[str, Any]:
    """Let a person do `steps`; return what was seen, by step."""
    command = [str(NODE), str(WEB / "browser" / "drive.js"), address, str(photo), str(folder), *steps]
    environment = {**os.environ, "TINYSAM_CHROMIUM": str(CHROMIUM)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    seen: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    assert seen["complaints"] == []
    return seen


@pytest.fixture(scope="module")
def visit(bundle: Path, photo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One visit that does everything, and the folder with what it saved."""
    folder = tmp_path_factory.mktemp("visit")
    steps = "photo hover tap phone desk refine box cutOut keyboard everything stop recipes host check reload"
    with serve(bundle, folder, "--host-runtime", "tflite") as address:
        return folder, drive(address, photo, folder, *steps.split())


def mask_of(path: Path) -> np.ndarray:
    """The mask of a saved file, as pycocotools reads it."""
    annotation = json.loads(path.read_text())
    mask = coco.decode(annotation["segmentation"]).astype(bool)
    assert annotation["area"] == mask.sum()
    return mask


@pytest.fixture(scope="module")
def predictor(bundle: Path, photo: Path) -> Predictor:
    found = Predictor(open_bundle(Bundle.open(bundle), "tflite"))
    found.set_image(np.asarray(Image.open(photo)))
    return found


LOGIT_ROUNDING = 1e-3
"""The two LiteRTs add up in another order (SIMD of 128, of 512 bits): their logits, of some tens, differ by
a few 1e-5.  A mask may differ where the host's logit is nearer to the threshold than this."""


def same_mask(mask: np.ndarray, predictor: Predictor, prediction: Prediction) -> None:
    """Equal bit for bit where no logit is that near to the threshold, as on the shipped checkpoint here."""
    chosen = prediction.low_res_logits[prediction.best][None]
    logits = upscale_logits(chosen, predictor.image.geometry)[0]
    differs = mask != prediction.best_mask
    assert np.abs(logits[differs]).max(initial=0) < LOGIT_ROUNDING, f"{differs.sum()} pixels differ"


def test_a_tap_gives_the_mask_of_the_host(visit: Any, predictor: Predictor) -> None:
    folder, seen = visit
    mask = mask_of(folder / "tap.json")
    prompt = seen["tap"]["prompt"]
    height, width = mask.shape
    assert np.abs(np.array(prompt["points"]) - (TAP[0] * width, TAP[1] * height)).max() < SCREEN_PX
    expected = predictor.predict([prompt["points"]], [1])
    same_mask(mask, predictor, expected)
    assert seen["tap"]["score"] == f"{expected.scores[expected.best]:.2f}"


def test_a_box_gives_the_mask_of_the_host(visit: Any, predictor: Predictor) -> None:
    folder, seen = visit
    expected = predictor.predict(box=seen["box"]["prompt"]["box"])
    same_mask(mask_of(folder / "box.json"), predictor, expected)


def test_the_host_sees_the_same_mask_beside_the_browsers(visit: Any) -> None:
    found = re.match(r"IoU ([\d.]+), (\d+) pixels differ", visit[1]["host"])
    assert found is not None
    assert float(found[1]) > 0.999


def test_undo_gives_back_the_first_mask(visit: Any) -> None:
    seen = visit[1]
    assert seen["refine"]["undone"]["score"] == seen["tap"]["score"]
    assert seen["refine"]["undone"]["share"] == seen["tap"]["share"]


def test_the_cut_out_is_the_photo_inside_the_mask(visit: Any, photo: Path) -> None:
    folder, seen = visit
    mask = mask_of(folder / "box.json")
    picture = np.asarray(Image.open(folder / "cut_out.png"))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    np.testing.assert_array_equal(picture[..., 3] > 0, mask[inside])
    kept = picture[..., 3] > 0
    np.testing.assert_array_equal(picture[kept][:, :3], np.asarray(Image.open(photo))[inside][kept])
    assert seen["cutOut"]["name"] == "drawn_cut_out.png"


def test_recipes_switch_and_differ(visit: Any, predictor: Predictor) -> None:
    folder, seen = visit
    assert seen["recipes"]["recipes"] == list(RECIPES)
    assert re.match(r"IoU \d\.\d{4}, \d+ pixels differ", seen["recipes"]["difference"])
    assert mask_of(folder / "recipe.json").shape == predictor.image.geometry.original_size


def test_everything_mode_runs_and_stops(visit: Any) -> None:
    folder, seen = visit
    found = re.match(r"(\d+) objects in", seen["everything"]["text"])
    assert found is not None
    if int(found[1]):
        assert len(json.loads((folder / "everything.json").read_text())) == int(found[1])
    assert "stopped early" in seen["stop"]


def test_hovering_shows_masks_and_the_keyboard_does_too(visit: Any) -> None:
    seen = visit[1]
    assert seen["hover"]["masks"] > 0
    assert seen["keyboard"]["score"] != "–"


def test_the_browser_passes_as_a_device(visit: Any) -> None:
    folder, seen = visit
    assert seen["check"]["verdict"] == "PASSED", seen["check"]["text"]
    assert (folder / "reports" / "check_1" / "report.html").is_file()
    assert "PASSED" in (folder / "terminal.txt").read_text()


def test_the_page_is_isolated_and_no_wider_than_a_phone(visit: Any) -> None:
    seen = visit[1]
    assert seen["ready"]["isolated"] is True
    assert seen["phone"] <= PHONE_PX


def test_a_reloaded_page_works_again(visit: Any) -> None:
    assert visit[1]["reload"]["score"] != "–"


def test_a_damaged_model_fails_at_its_stage(bundle: Path, photo: Path, tmp_path: Path) -> None:
    """Weights of the encoder are changed, and the manifest with them, as a broken conversion would."""
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    opened = Bundle.open(bundle)
    artifacts = []
    for artifact in opened.manifest.artifacts:
        path = broken / artifact.path
        if artifact.component.value == "encoder":
            path.write_bytes(with_other_weights(path.read_bytes()))
        artifacts.append(type(artifact)(**{**vars(artifact), "sha256": hash_path(path)}))
    write_manifest(broken, Manifest(data=opened.manifest.data, artifacts=tuple(artifacts)))
    with serve(broken, tmp_path) as address:
        seen = drive(address, photo, tmp_path, "check")
    assert (seen["check"]["verdict"], seen["check"]["stage"]) == ("FAILED", "embedding")


def with_other_weights(model: bytes) -> bytes:
    """Halve the floats of the largest run of plausible weights in a .tflite: the graph stays whole."""
    values = np.frombuffer(model[: len(model) // 4 * 4], "<f4").copy()
    plausible = np.isfinite(values) & (np.abs(values) < 8) & (np.abs(values) > 1e-6)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], plausible.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    values[starts[longest] : ends[longest]] *= 0.5
    return values.tobytes() + model[len(model) // 4 * 4 :]


def test_a_static_folder_is_the_same_page(bundle: Path, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    options = ("-o", folder, "--litert-js", WEB / "node_modules")
    result = call("bundle-for-app", "web", bundle, *options)
    assert result.exit_code == 0, result.stderr
    command = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        address = re.search(r"http://\S+/", server.stdout.readline())
        assert address is not None
        try:
            seen = drive(address[0], photo, tmp_path, "photo", "tap", "recipes")
        finally:
            server.terminate()
    assert seen["ready"]["isolated"] is False
    assert mask_of(tmp_path / "tap.json").any() or seen["tap"]["share"] == "0.0 %"
