"""What the page asks the host: to judge its dump, and to answer the same click."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.device.serving import Serving, page, serving
from tests.device.test_device_loop import World, device, world
from tests.fake_device import zipped
from tinysam_mobile.imaging.masks import RunLengths
from tinysam_mobile.segment.predictor import Predictor

__all__ = ["page", "world"]

pytest.importorskip("tornado")


def test_a_phone_that_is_right_passes_and_the_report_is_written(page: Serving, world: World) -> None:
    found = page.judged(zipped(device(world).replay(world.fixtures)))
    assert (found["state"], found["verdict"], found["stage"]) == ("judged", "PASSED", None)
    assert (page.reports.parent / found["report"]).is_file()
    assert page.told[-1] == "PASSED"


def test_a_phone_that_is_wrong_hears_at_which_stage(page: Serving, world: World) -> None:
    files = device(world).replay(world.fixtures)
    for name in files:
        if name.endswith("embedding.bin"):
            values = np.frombuffer(files[name], "<f4")
            files[name] = (values[::-1] * 0.5).astype("<f4").tobytes()
    found = page.judged(zipped(files))
    assert (found["verdict"], found["stage"]) == ("FAILED", "embedding")
    assert "embedding" in found["answer"]


def damaged(world: World) -> dict[str, bytes]:
    files = device(world).replay(world.fixtures)
    good = zipped(files)
    index = json.loads(files["dump.json"])
    return {
        "nothing": b"",
        "no zip": b"not a zip at all",
        "half a zip": good[: len(good) // 2],
        "a way out": zipped({**files, "../../escaped.bin": b"x"}),
        "other fixtures": zipped(
            {**files, "dump.json": json.dumps({**index, "fixtures_id": "0" * 64}).encode()}
        ),
        "an index that is no object": zipped({**files, "dump.json": b"[" * 1000}),
    }


@pytest.mark.parametrize("kind", ["nothing", "no zip", "half a zip", "a way out", "other fixtures"])
def test_a_dump_that_is_none_is_refused_and_the_server_lives(
    page: Serving, world: World, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(page.reports.rglob("*"))
    found = page.judged(damaged(world)[kind])
    assert found["state"] == "refused"
    assert found["error"]
    assert str(tmp_path) not in found["error"], "a path of the host is nobody's business"
    assert list(tmp_path.iterdir()) == []
    assert sorted(page.reports.rglob("*")) == before
    assert page.ask("/")[0].status == 200


def test_a_check_that_nobody_asked_for_is_not_found(page: Serving) -> None:
    assert page.json("/api/checks/999999")[0] == 404
    assert page.ask("/api/checks/abc")[0].status == 404


def test_fixtures_of_another_model_are_told_to_the_page(world: World, tmp_path: Path) -> None:
    wrong = World(
        bundle=world.bundle, fixtures=tmp_path / "missing", backend=world.backend, hashes=world.hashes
    )
    with serving(wrong, tmp_path / "reports") as found:
        found.until_ready()
        state = found.json("/api/fixtures")[1]
        assert state["state"] == "failed"
        assert str(tmp_path) not in state["error"]
        # Nothing can be judged, so no byte of a dump is taken.
        assert found.ask("/api/checks", method="POST", body=b"x")[0].status == 413


def test_the_host_answers_the_same_click(page: Serving, world: World) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    status, answer = page.json(
        "/api/host/torch/photos?height=37&width=53", method="POST", body=photo.tobytes()
    )
    assert status == 200
    prompt = {"photo": answer["photo"], "points": [20.5, 11.0, 3.0, 4.0], "labels": [1, 0], "box": None}
    status, found = page.json("/api/host/torch/masks", method="POST", body=json.dumps(prompt).encode())
    assert status == 200
    predictor = Predictor(world.backend)
    predictor.set_image(photo)
    expected = predictor.predict([[20.5, 11.0], [3.0, 4.0]], [1, 0])
    np.testing.assert_array_equal(RunLengths.from_coco(found).decode(), expected.best_mask)
    assert found["score"] == pytest.approx(float(expected.scores[expected.best]))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("photos?height=2&width=2", b"short", 400),
        ("photos?height=-1&width=2", b"", 400),
        ("photos?height=99999&width=99999", b"", 400),
        ("photos", b"", 400),
        ("photos?height=%b2&width=1", b"", 400),
        ("masks", b"{", 400),
        ("masks", b"[]", 400),
        ("masks", b"[" * 60000, 400),
        ("masks", b'{"photo": true}', 400),
        ("masks", b'{"photo": 1, "points": "x", "labels": [], "box": null}', 400),
        ("masks", b'{"photo": 1, "points": [1], "labels": [1], "box": null}', 400),
        ("masks", b'{"photo": 1, "points": [], "labels": [], "box": {}}', 400),
        ("masks", b'{"photo": 987, "points": [1, 1], "labels": [1], "box": null}', 404),
        ("masks", b"x" * 70000, 413),
    ],
)
def test_what_the_host_cannot_answer_is_refused(page: Serving, path: str, body: bytes, status: int) -> None:
    answer, text = page.ask(f"/api/host/torch/{path}", method="POST", body=body)
    assert answer.status == status
    assert json.loads(text)["error"]


def test_a_prompt_outside_the_photo_is_refused(page: Serving) -> None:
    _, answer = page.json("/api/host/torch/photos?height=4&width=4", method="POST", body=bytes(48))
    for points in ([50.0, 1.0], [float("nan"), 1.0]):
        prompt = {"photo": answer["photo"], "points": points, "labels": [1], "box": None}
        status, found = page.json("/api/host/torch/masks", method="POST", body=json.dumps(prompt).encode())
        assert status == 422
        assert found["error"]


def test_the_host_answers_clicks_while_it_judges_a_phone(page: Serving) -> None:
    """A dump takes minutes to judge; each has a thread of its own."""
    done = threading.Event()
    page.worker.submit(done.wait)
    try:
        status, answer = page.json("/api/host/torch/photos?height=4&width=4", method="POST", body=bytes(48))
        assert status == 200
        prompt = {"photo": answer["photo"], "points": [1, 1], "labels": [1], "box": None}
        status, _ = page.json("/api/host/torch/masks", method="POST", body=json.dumps(prompt).encode())
        assert status == 200
    finally:
        done.set()
