"""The small data set that `benchmarks.coco_subset` makes of a large one is one that `evaluate` reads."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from benchmarks.coco_subset import main
from tests.drawn_data import draw
from tinysam_mobile.evaluation.coco import check_photos, read_coco


def subset(source: Path, out: Path, *options: str) -> str:
    arguments = [str(source / "instances.json"), str(source / "images"), str(out), *options]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_draw_is_a_data_set_of_its_own(tmp_path: Path) -> None:
    large = draw(tmp_path / "large")
    names = []
    for seed in ("0", "0", "1", "2"):
        out = tmp_path / "small"
        assert "2 photos" in subset(large, out, "--count", "2", "--seed", seed)
        small = read_coco(out)
        check_photos(small)
        names.append(sorted(Path(image.path).name for image in small.images))
    assert names[0] == names[1]
    assert len({tuple(drawn) for drawn in names}) > 1


def test_no_more_photos_than_there_are(tmp_path: Path) -> None:
    assert "4 photos" in subset(draw(tmp_path / "large"), tmp_path / "all", "--count", "100")
