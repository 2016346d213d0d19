"""The `validate` command and the parts of a comparison: metrics, prompts, bounds, verdicts, report."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import skimage.data
from click.testing import CliRunner, Result
from PIL import Image

from tests.small_model import PROMPTS, cases, contract, reference
from tinysam_mobile.cli import main
from tinysam_mobile.contract.backend import Arrays, Backend
from tinysam_mobile.contract.spec import Label
from tinysam_mobile.errors import BundleError, InputError, RuntimeUnavailableError, UnknownNameError
from tinysam_mobile.imaging.preprocess import Geometry
from tinysam_mobile.parity.bounds import BOUNDS, bounds_for
from tinysam_mobile.parity.everything_section import check_everything, everything_of
from tinysam_mobile.parity.judge import judge_photo
from tinysam_mobile.parity.metrics import boundary_iou, cosine, mask_iou, max_abs_difference
from tinysam_mobile.parity.prompt_sampling import SAMPLED_KINDS, SPARE_XY, make_case, read_own_prompts
from tinysam_mobile.parity.record import pack_prompt, record_photo
from tinysam_mobile.parity.report import write_report
from tinysam_mobile.parity.report_data import ParityReport, environment, report_data
from tinysam_mobile.parity.side_by_side import SideBySide
from tinysam_mobile.parity.sides import SideResult
from tinysam_mobile.parity.stages import PROMPT_KINDS, PROMPT_STAGES, Recording, Stage
from tinysam_mobile.parity.validation import HostSide, judge_sides
from tinysam_mobile.segment.everything import EverythingConfig

FP32 = bounds_for("tflite", "fp32")
PHONE_PX = 360


def known(**changes: Any) -> SideResult:
    side = SideResult(name="side", runtime="tflite", recipe="fp32", bounds=FP32)
    return replace(side, **changes)


# Metrics.


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:90, :120]
    return np.hypot(columns - x, rows - y) < radius


def official_boundary(mask: np.ndarray) -> np.ndarray:
    """The published code of Boundary IoU (arXiv 2103.16562): erode `d` times by 3x3, outside is 0."""
    depth = max(1, round(0.02 * np.hypot(*mask.shape)))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=depth)[1:-1, 1:-1]
    return mask.astype(bool) & (eroded == 0)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (disc(60, 45, 30), disc(62, 45, 30)),
        (disc(5, 5, 20), disc(110, 80, 25)),
        (disc(60, 45, 200), disc(60, 45, 30)),
        (disc(60, 45, 0), disc(60, 45, 5)),
    ],
    ids=["near", "apart", "all of the photo", "empty"],
)
def test_boundary_iou_is_the_published_one(a: np.ndarray, b: np.ndarray) -> None:
    assert boundary_iou(a, b) == mask_iou(official_boundary(a), official_boundary(b))


def test_equal_and_empty_masks_have_boundary_iou_1() -> None:
    assert boundary_iou(disc(60, 45, 30), disc(60, 45, 30)) == 1
    assert boundary_iou(disc(60, 45, 0), disc(60, 45, 0)) == 1


def test_differences_of_broken_numbers_are_nan() -> None:
    assert np.isnan(max_abs_difference(np.zeros(2), np.array([0, np.inf])))
    assert np.isnan(cosine(np.ones(2), np.array([0, np.nan])))
    assert cosine(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(np.sqrt(0.5))


# Prompts.


def test_prompts_are_drawn_with_a_seed_and_are_of_every_kind() -> None:
    photo = np.zeros((60, 90, 3), np.uint8)
    first, again, other = (make_case("a.png", photo, contract(), count=24, seed=seed) for seed in (0, 0, 1))
    assert {prompt.kind for prompt in first.prompts} == set(SAMPLED_KINDS) == set(PROMPT_KINDS) - {"own"}
    points = [[p.prompt.points.tolist() for p in case.prompts] for case in (first, again, other)]
    assert points[0] == points[1] != points[2]


def test_each_kind_is_what_it_says() -> None:
    case = make_case("a.png", np.zeros((60, 90, 3), np.uint8), contract(), count=16, seed=3)
    geometry = Geometry.of((60, 90), contract().image_size)
    for prompt in case.prompts:
        labels = pack_prompt(prompt, geometry, contract())[:, 2].tolist()
        assert (Label.BOX_TOP_LEFT in labels) == ("box" in prompt.kind)
        assert (prompt.mask_input is not None) == (prompt.kind == "mask_refinement")
        assert (Label.UNUSED not in labels) == (prompt.kind == "full_slots")
        if prompt.kind == "negative_point":
            assert prompt.prompt.labels.tolist() == [1, 0]
        if prompt.kind == "spare_slots":
            assert (pack_prompt(prompt, geometry, contract())[2:, :2] == SPARE_XY).all()


def test_own_prompts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text('{"a.png": [{"points": [[1, 2], [3, 4]], "labels": [1, 0]}, {"box": [1, 2, 3, 4]}]}')
    points, box = read_own_prompts(path)["a.png"]
    assert points.labels.tolist() == [1, 0]
    assert box.box is not None
    assert box.box.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not valid JSON"),
        ("[]", "photo name"),
        ('{"a.png": [{}]}', "a.png: prompt 0: needs a point or a box"),
        (
            '{"a.png": [{"points": [[1]]}]}',
            r"a.png: prompt 0: Expected `array` of length 2, got 1 at `points\[0\]`",
        ),
        ('{"a.png": [{"point": [[1, 2]]}]}', "unknown field `point`; it must be an object with points"),
        ('{"a.png": [{"points": 3}]}', "prompt 0"),
    ],
)
def test_own_prompts_that_are_wrong_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_own_prompts(path)


# Bounds and verdicts.


def test_every_limit_has_a_reason() -> None:
    for bounds in BOUNDS.values():
        for name in bounds.__dataclass_fields__:
            assert getattr(bounds, name).reason


def test_bounds_can_be_overridden_by_name() -> None:
    bounds = bounds_for("executorch", "fp16", {"min_mask_iou": 0.5})
    assert bounds.min_mask_iou.value == 0.5
    assert bounds.min_logits_sqnr_db == BOUNDS["executorch fp16"].min_logits_sqnr_db
    with pytest.raises(UnknownNameError, match="min_mask_iou"):
        bounds_for("tflite", "fp32", {"mask_iou": 0.5})


class NoisyBackend:
    """The float model with noise on its logits, of a given SQNR."""

    def __init__(self, noise_db: float) -> None:
        self._backend = reference()
        self._share = 10 ** (-noise_db / 20)
        self.contract = self._backend.contract

    def run(self, entry_point: str, inputs: Mapping[str, Any]) -> Arrays:
        answer = self._backend.run(entry_point, inputs)
        for name, values in answer.items():
            if name == "low_res_masks":
                rms = np.sqrt(np.mean(values**2))
                noise = np.random.default_rng(0).normal(0, self._share * rms, values.shape)
                answer[name] = (values + noise).astype(np.float32)
        return answer


@pytest.mark.parametrize(("recipe", "verdict"), [("fp32", "FAILED"), ("fp16", "PASSED")])
def test_noise_is_judged_by_the_recipe_and_never_by_uncertain_outlines(recipe: str, verdict: str) -> None:
    """48 dB is within fp16's bound, so masks whose outline such noise can move must not fail it."""
    side = HostSide(known=known(bounds=bounds_for("tflite", recipe)), open=lambda: NoisyBackend(48))
    (result,) = judge_sides(reference(), [side], cases())
    assert result.verdict == verdict
    assert result.first_fault is (Stage.LOW_RES_LOGITS if verdict == "FAILED" else None)
    assert result.explanation is None


def test_a_stage_that_was_not_recorded_is_not_judged() -> None:
    case = cases()[0]
    expected = record_photo(reference(), case)
    masks = tuple({Stage.FULL_SIZE_MASK: p[Stage.FULL_SIZE_MASK]} for p in expected.prompts)
    judged = judge_photo(reference(), case, expected, Recording(photo={}, prompts=masks), FP32)
    assert list(judged.stages) == [Stage.FULL_SIZE_MASK]
    assert judged.passed


@pytest.mark.parametrize("stage", PROMPT_STAGES)
def test_arrays_of_another_shape_are_refused(stage: Stage) -> None:
    case = cases()[0]
    expected = record_photo(reference(), case)
    prompts = [dict(prompt) for prompt in expected.prompts]
    prompts[1][stage] = np.zeros((2, 2), np.float32)
    with pytest.raises(InputError, match=f"{stage} of prompt 1"):
        judge_photo(reference(), case, expected, Recording(photo={}, prompts=tuple(prompts)), FP32)


def refuse(error: Exception) -> Backend:
    raise error


def test_a_side_that_cannot_be_opened_is_not_run_or_failed_and_others_go_on() -> None:
    sides = [
        HostSide(known=known(name="no"), open=lambda: refuse(RuntimeUnavailableError("needs macOS"))),
        HostSide(known=known(name="bad"), open=lambda: refuse(BundleError("file is cut"))),
        HostSide(known=known(name="good"), open=reference),
    ]
    results = judge_sides(reference(), sides, cases())
    assert [side.answer for side in results] == ["NOT_RUN: needs macOS", "FAILED: file is cut", "PASSED"]
    report = ParityReport(title="", reference={}, settings={}, environment={}, sides=tuple(results))
    assert report.verdict == "FAILED"
    assert replace(report, sides=report.sides[::2]).verdict == "NOT_RUN"


def test_everything_mode_has_a_verdict_of_its_own() -> None:
    case, backend = cases()[0], reference()
    config = EverythingConfig(points_per_side=4, pred_iou_thresh=-10, stability_score_thresh=-1)
    full = everything_of(backend, case, config)["flat"]
    assert full.objects
    same = check_everything(case, full, full, mode="flat", config=config, bounds=FP32)
    assert same.passed
    nothing = replace(full, objects=())
    lost = check_everything(case, full, nothing, mode="flat", config=config, bounds=FP32)
    assert {difference.cause for difference in lost.parity.differences} == {"value"}
    assert not lost.passed
    side = known(everything=(lost,))
    assert (side.verdict, side.first_fault) == ("FAILED", Stage.EVERYTHING)


# The command.


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["validate", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    Image.fromarray(skimage.data.coffee()[::4, ::4]).save(folder / "coffee.png")
    Image.fromarray(skimage.data.chelsea()[::3, ::4]).save(folder / "chelsea.jpg")
    (folder / "notes.txt").write_text("not a photo")
    return folder


def test_validate_passes_and_writes_its_report(
    tflite_bundle: tuple[Path, Result], images: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.json"
    own.write_text('{"coffee.png": [{"points": [[20, 20]]}]}')
    result = call(
        *(tflite_bundle[0], "--images", images, "--prompts", 8, "--own-prompts", own),
        *("--points-per-side", 4, "--out", tmp_path / "out", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    assert data == json.loads((tmp_path / "out" / "report.json").read_text())
    assert (data["schema_version"], data["verdict"]) == (1, "PASSED")
    (side,) = data["sides"]
    assert [stage["stage"] for stage in side["stages"]] == [*map(str, Stage)][:-1]
    assert [len(photo["prompts"]) for photo in side["photos"]] == [8, 9]
    assert [check["mode"] for check in side["everything"]] == ["flat", "hierarchical"]
    suite = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "0")
    assert "everything_flat_chelsea.jpg" in [case.get("name") for case in suite]


def test_validate_fails_on_a_limit_that_the_user_sets(
    tflite_bundle: tuple[Path, Result], images: Path, tmp_path: Path
) -> None:
    arguments = ["--prompts", 2, "--max-photos", 1, "--everything-photos", 0, "--out", tmp_path / "out"]
    result = call(tflite_bundle[0], "--images", images, "--min-embedding-sqnr", 500, *arguments)
    assert result.exit_code == 1
    assert "FAILED at embedding: no known cause" in result.stdout
    suite = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()[0]
    (failure,) = suite.findall("*/failure")
    assert "limit 500" in str(failure.get("message"))


def test_validate_refuses_what_does_not_fit(
    tflite_bundle: tuple[Path, Result], images: Path, tmp_path: Path
) -> None:
    bundle = tflite_bundle[0]
    out = ("--out", tmp_path / "out")
    own = tmp_path / "own.json"
    own.write_text('{"elsewhere.png": []}')
    (tmp_path / "empty").mkdir()
    for arguments, message in [
        ((bundle, "--images", tmp_path / "none"), "does not exist"),
        ((bundle, "--images", tmp_path / "empty"), "holds no photo"),
        ((bundle, "--images", images, "--checkpoint", "stand-in"), "pass the former as --checkpoint"),
        ((bundle, "--images", images, "--runtime", "coreml"), "holds no coreml artifact"),
        ((bundle, "--images", images, "--own-prompts", own), "elsewhere.png: not among the photos"),
        ((own, "--images", images), "with runtime, encode and decode"),
        ((own, "--images", images, "--runtime", "tflite"), "leave out --runtime"),
    ]:
        result = call(*arguments, *out)
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stderr.strip().splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()


# The page.


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of sides that failed and passed, one that was not run, and names that try to be markup."""
    sides = [
        HostSide(
            known=known(name="noisy <script>alert(1)</script>", size_bytes=4_000_000),
            open=lambda: NoisyBackend(10),
        ),
        HostSide(
            known=known(name="less", size_bytes=9_000_000, bounds=bounds_for("tflite", "fp16")),
            open=lambda: NoisyBackend(48),
        ),
        HostSide(known=known(name="no"), open=lambda: refuse(RuntimeUnavailableError("needs macOS"))),
    ]
    side_by_side = SideBySide()
    results = judge_sides(
        reference(),
        sides,
        cases(),
        everything=cases()[:1],
        everything_config=EverythingConfig(points_per_side=4, pred_iou_thresh=-10, stability_score_thresh=0),
        side_by_side=side_by_side,
    )
    report = ParityReport(
        title="a & b",
        reference={"name": "micro", "sha256": None},
        settings={"photos": 2},
        environment=environment(),
        sides=tuple(results),
        side_by_side=side_by_side.rows,
    )
    folder = tmp_path_factory.mktemp("page")
    json.dumps(report_data(report), allow_nan=False)
    return write_report(report, folder)["report.html"]


def test_the_page_needs_nothing_else_and_escapes_names(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources
    assert all(source.startswith(("data:image/jpeg;base64,", "#side-")) for source in sources)
    assert not re.search(r"url\(|@import|<link", text)
    assert sorted(path.name for path in page.parent.iterdir()) == ["junit.xml", "report.html", "report.json"]


def test_the_page_shows_the_worst_prompts_by_cause_and_the_sides_beside_each_other(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    noisy, quiet = re.findall(r"<section.*?</section>", text, re.DOTALL)[:2]
    assert f"The decoder is wrong: {2 * PROMPTS} of {2 * PROMPTS} prompts" in noisy
    assert "The decoder is wrong" not in quiet
    rows = re.findall(r'<figure class="row">.*?</figure>', text, re.DOTALL)
    assert len(rows) == len(cases())
    assert all(row.count("<img") == 1 + 2 * 2 for row in rows)
    assert [text.count(f"Mean mask IoU over {cost}") for cost in ("size, MB", "encode and decode, ms")] == [
        1,
        1,
    ]


def chromium(*arguments: str) -> str:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("NOT RUN: the page was not rendered; apt-get install chromium")
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


def test_a_browser_shows_the_page(page: Path, tmp_path: Path) -> None:
    shot = tmp_path / "page.png"
    chromium("--window-size=800,2400", f"--screenshot={shot}", page.as_uri())
    pixels = np.asarray(Image.open(shot).convert("RGB")).reshape(-1, 3)
    # The colours of the two verdicts and of the difference pictures.
    for colour, least in (((221, 51, 51), 500), ((184, 134, 11), 500)):
        assert (np.abs(pixels.astype(int) - colour).max(axis=1) < 8).sum() > least
    assert len(np.unique(pixels, axis=0)) > 1000


def test_nothing_is_wider_than_a_phone(page: Path, tmp_path: Path) -> None:
    frame = html.escape(page.read_text(encoding="utf-8"), quote=True)
    wrapper = tmp_path / "phone.html"
    wrapper.write_text(
        f'<iframe id="f" style="border:0;width:{PHONE_PX}px;height:600px" srcdoc="{frame}"></iframe><script>'
        'document.getElementById("f").onload = event => { document.body.dataset.width = '
        "event.target.contentDocument.documentElement.scrollWidth; }</script>",
        encoding="utf-8",
    )
    shown = chromium("--dump-dom", wrapper.as_uri())
    match = re.search(r'data-width="(\d+)"', shown)
    assert match is not None
    assert int(match[1]) <= PHONE_PX
