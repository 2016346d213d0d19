"""Fixtures and dumps: a round trip through a fake device, and every hostile dump as one clear error."""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_device import FakeDevice, zipped
from tinysam_mobile.bundle.manifest import Manifest, contract_data
from tinysam_mobile.device.dumps import open_dump
from tinysam_mobile.device.fixtures import FixtureSet, read_fixtures, write_fixtures
from tinysam_mobile.errors import DumpError, UsageError
from tinysam_mobile.modeling.checkpoint import load_checkpoint
from tinysam_mobile.modeling.entry_points import contract_of
from tinysam_mobile.parity.record import record_photo
from tinysam_mobile.parity.stages import ParityPrompt, PhotoCase, Recording, Stage
from tinysam_mobile.segment.prompts import make_prompt
from tinysam_mobile.simulator.registry import LoadedModel, open_model

HEIGHT, WIDTH = 21, 30
PROMPT_FILE = "photo_0/prompt_0/predicted_iou.bin"
ENCRYPTED = 0x1


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Fixtures of two photos, the model behind them and a good dump."""

    backend: LoadedModel
    manifest: Manifest
    cases: tuple[PhotoCase, ...]
    recordings: tuple[Recording, ...]
    fixtures: FixtureSet
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    checkpoint = load_checkpoint("stand-in:tiny-test")
    contract = contract_of(checkpoint.model, slots=4, batch=2)
    backend = open_model(checkpoint.model, contract, num_threads=1)
    manifest = Manifest(data=contract_data(checkpoint, contract), artifacts=())
    rng = np.random.default_rng(0)
    mask = rng.normal(0, 4, (contract.mask_size, contract.mask_size)).astype(np.float32)
    prompts = (
        ParityPrompt(kind="point", prompt=make_prompt([[3, 4]], [1]), spare_xy=-500.0),
        ParityPrompt(kind="mask_refinement", prompt=make_prompt(box=[1.5, 2, 20, 15]), mask_input=mask),
    )
    cases = tuple(
        PhotoCase(name=f"{h}x{w}.png", pixels=rng.integers(0, 256, (h, w, 3), np.uint8), prompts=prompts)
        for h, w in ((HEIGHT, WIDTH), (WIDTH, HEIGHT))
    )
    recordings = tuple(record_photo(backend, case) for case in cases)
    folder = tmp_path_factory.mktemp("device") / "fixtures"
    write_fixtures(folder, manifest, zip(cases, recordings, strict=True))
    files = FakeDevice(backend, "tflite", "fp32", {"encoder": "a" * 64}).replay(folder)
    return Setup(
        backend=backend, manifest=manifest, cases=cases, recordings=recordings,
        fixtures=read_fixtures(folder), files=files,
    )  # fmt: skip


def read(data: bytes, setup: Setup, folder: Path) -> list[Recording]:
    """Write `data` as the only file of `folder`, read all of it as a dump, and see that nothing was added."""
    path = folder / "dump.zip"
    path.write_bytes(data)
    before = sorted(folder.parent.rglob("*"))
    try:
        with open_dump(path, setup.fixtures) as dump:
            return [dump.recording(i) for i in range(len(setup.cases))]
    finally:
        assert sorted(folder.parent.rglob("*")) == before


def assert_equal(actual: Recording, expected: Recording) -> None:
    assert set(actual.photo) == set(expected.photo)
    for stage, array in expected.photo.items():
        np.testing.assert_array_equal(actual.photo[stage], array)
    for mine, theirs in zip(actual.prompts, expected.prompts, strict=True):
        assert set(mine) == set(theirs)
        for stage, array in theirs.items():
            np.testing.assert_array_equal(mine[stage], array)


def test_fixtures_come_back_as_they_were(setup: Setup) -> None:
    fixtures = setup.fixtures
    assert fixtures.contract == setup.manifest.contract
    for index, (case, recording) in enumerate(zip(setup.cases, setup.recordings, strict=True)):
        # A device is not asked for the scores of `score_batch`.
        asked = [{s: a for s, a in p.items() if s is not Stage.BATCH_SCORES} for p in recording.prompts]
        assert_equal(fixtures.expected(index), replace(recording, prompts=tuple(asked)))
        read_case = fixtures.cases[index]
        np.testing.assert_array_equal(read_case.pixels, case.pixels)
        for mine, theirs in zip(read_case.prompts, case.prompts, strict=True):
            assert (mine.kind, mine.spare_xy) == (theirs.kind, theirs.spare_xy)
            np.testing.assert_array_equal(mine.prompt.points, theirs.prompt.points)
            np.testing.assert_array_equal(mine.prompt.labels, theirs.prompt.labels)
            np.testing.assert_array_equal(mine.prompt.box, theirs.prompt.box)
            assert (mine.mask_input is None) == (theirs.mask_input is None)


def test_the_layout_needs_no_library(setup: Setup) -> None:
    """Every file is raw little-endian values, as long as the index says, and nothing else is there."""
    folder = setup.fixtures.folder
    index = json.loads((folder / "fixtures.json").read_text())
    sizes = {f"{t['name']}.bin": t["size_bytes"] for t in index["tensors"]}
    found = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*.bin")}
    assert found == sizes
    scores = (folder / "photo_0/prompt_0/predicted_iou.bin").read_bytes()
    assert list(struct.unpack("<3f", scores)) == setup.recordings[0].prompts[0]["predicted_iou"].tolist()
    chosen = (folder / "photo_1/prompt_1/chosen_mask.bin").read_bytes()
    assert struct.unpack("<i", chosen)[0] == int(setup.recordings[1].prompts[1]["chosen_mask"][0])
    assert (folder / "photo_0/pixels.bin").read_bytes()[:3] == bytes(setup.cases[0].pixels[0, 0].tolist())


def test_fixtures_are_the_same_twice_and_never_half(setup: Setup, tmp_path: Path) -> None:
    pairs = list(zip(setup.cases, setup.recordings, strict=True))
    assert write_fixtures(tmp_path / "again", setup.manifest, pairs) == setup.fixtures.id

    def broken() -> Any:
        yield pairs[0]
        raise KeyError("stop")

    with pytest.raises(KeyError):
        write_fixtures(tmp_path / "broken", setup.manifest, broken())
    with pytest.raises(KeyError):
        write_fixtures(tmp_path / "again", setup.manifest, broken(), overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["again"]
    assert read_fixtures(tmp_path / "again").id == setup.fixtures.id
    with pytest.raises(UsageError, match="--overwrite"):
        write_fixtures(tmp_path / "again", setup.manifest, pairs)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    with pytest.raises(UsageError, match="will not delete"):
        write_fixtures(tmp_path / "mine", setup.manifest, pairs, overwrite=True)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_dump_comes_back_as_the_device_wrote_it(method: int, setup: Setup, tmp_path: Path) -> None:
    for actual, expected in zip(
        read(zipped(setup.files, method=method), setup, tmp_path), setup.recordings, strict=True
    ):
        # The float model is the device here, and both decode one prompt at a time or as a batch.
        np.testing.assert_array_equal(actual.photo["embedding"], expected.photo["embedding"])
        np.testing.assert_allclose(
            actual.prompts[1]["low_res_logits"], expected.prompts[1]["low_res_logits"], rtol=0, atol=1e-5
        )
    with open_dump(tmp_path / "dump.zip", setup.fixtures) as dump:
        info = dump.info
    assert (info.device_model, info.os, info.runtime, info.recipe) == (
        "Fake1,1",
        "FakeOS 1.0",
        "tflite",
        "fp32",
    )
    assert (info.thermal_before, info.thermal_after, info.threads) == ("nominal", "fair", 2)
    assert info.latency_ms == {"encode": [50.0, 40.0, 60.0], "decode": [4.0, 5.0]}


def test_nan_reaches_the_judge(setup: Setup, tmp_path: Path) -> None:
    files = {**setup.files, PROMPT_FILE: struct.pack("<3f", 0.5, float("nan"), float("inf"))}
    scores = read(zipped(files), setup, tmp_path)[0].prompts[0]["predicted_iou"]
    assert np.isnan(scores[1])
    assert np.isinf(scores[2])


def with_member(setup: Setup, name: str, data: bytes = b"x") -> bytes:
    return zipped({**setup.files, name: data})


def with_duplicate(setup: Setup) -> bytes:
    buffer = io.BytesIO(zipped(setup.files))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(PROMPT_FILE, setup.files[PROMPT_FILE])
    return buffer.getvalue()


def with_attributes(setup: Setup, change: Callable[[zipfile.ZipInfo], None]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in setup.files.items():
            info = zipfile.ZipInfo(name)
            if name == PROMPT_FILE:
                change(info)
            archive.writestr(info, data)
    return buffer.getvalue()


def as_link(info: zipfile.ZipInfo) -> None:
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


def encrypted(setup: Setup) -> bytes:
    """Set the bit in the central directory, where every reader looks for it."""
    data = bytearray(zipped(setup.files))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= ENCRYPTED
    return bytes(data)


def with_index(setup: Setup, data: bytes) -> bytes:
    return zipped({**setup.files, "dump.json": data})


def edited(setup: Setup, **changes: Any) -> bytes:
    return with_index(setup, json.dumps({**json.loads(setup.files["dump.json"]), **changes}).encode())


def edited_run(setup: Setup, **changes: Any) -> bytes:
    return edited(setup, run={**json.loads(setup.files["dump.json"])["run"], **changes})


def bomb(setup: Setup) -> bytes:
    """A member of a gigabyte of zeros in a megabyte, under an expected name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in setup.files.items():
            if name != PROMPT_FILE:
                archive.writestr(name, data)
        with archive.open(PROMPT_FILE, "w") as member:
            for _ in range(64):
                member.write(bytes(2**20))
    return buffer.getvalue()


def lying_bomb(setup: Setup) -> bytes:
    """As `bomb`, but the directory says that the member has its right length."""
    data = bytearray(bomb(setup))
    length = struct.pack("<I", 64 * 2**20)
    at = data.rindex(length)
    data[at : at + 4] = struct.pack("<I", len(setup.files[PROMPT_FILE]))
    return bytes(data)


def many_names() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in range(2000):
            archive.writestr(f"{i}.bin", b"")
    return buffer.getvalue()


def corrupt(setup: Setup) -> bytes:
    data = bytearray(zipped(setup.files, method=zipfile.ZIP_STORED))
    data[data.index(setup.files["photo_0/embedding.bin"]) + 5] ^= 1
    return bytes(data)


def zip64(setup: Setup) -> bytes:
    data = zipped(setup.files)
    return data[:-22] + b"PK\x06\x07" + bytes(16) + data[-22:]


DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
HOSTILE: dict[str, tuple[Callable[[Setup], bytes], str]] = {
    "empty file": (lambda _: b"", "no zip file"),
    "text": (lambda _: b"hello" * 100, "no zip file"),
    "truncated": (lambda s: zipped(s.files)[:-100], "cut off"),
    "truncated head": (lambda s: zipped(s.files)[2000:], "whole dump"),
    "flipped byte": (corrupt, "CRC"),
    "zip64": (zip64, "zip64"),
    "too long": (lambda s: zipped(s.files) + bytes(20 * 2**20), "at most"),
    "many names": (lambda _: many_names(), "lists 2000 files"),
    "bomb": (bomb, "67108864 bytes instead of 12"),
    "lying bomb": (lying_bomb, "CRC"),
    "path traversal": (lambda s: with_member(s, "../../evil.bin"), "do not ask for"),
    "absolute path": (lambda s: with_member(s, "/tmp/evil.bin"), "do not ask for"),
    "drive": (lambda s: with_member(s, "C:\\evil.bin"), "do not ask for"),
    "strange name": (lambda s: with_member(s, "photo_9/embedding.bin"), "do not ask for"),
    "content in a folder": (lambda s: with_member(s, "photo_0/"), "do not ask for"),
    "duplicate": (with_duplicate, "2 times"),
    "symlink": (lambda s: with_attributes(s, as_link), "symbolic link"),
    "encrypted": (encrypted, "encrypted"),
    "bzip2": (
        lambda s: with_attributes(s, lambda i: setattr(i, "compress_type", zipfile.ZIP_BZIP2)), "method 12"
    ),
    "missing": (
        lambda s: zipped({k: v for k, v in s.files.items() if k != PROMPT_FILE}), "lacks " + PROMPT_FILE
    ),
    "missing index": (lambda s: zipped({k: v for k, v in s.files.items() if k[0] == "p"}), "lacks dump.json"),
    "short tensor": (lambda s: with_member(s, PROMPT_FILE, b"1234"), "4 bytes instead of 12"),
    "long tensor": (lambda s: with_member(s, PROMPT_FILE, bytes(16)), "16 bytes instead of 12"),
    "index too large": (lambda s: with_index(s, b" " * (9 * 2**20)), "at most"),
    "no json": (lambda s: with_index(s, b"\xff\xfe{"), "not valid JSON"),
    "array": (lambda s: with_index(s, b"[]"), "one object"),
    "deep": (lambda s: with_index(s, DEEP), "not valid JSON"),
    "huge integer": (lambda s: with_index(s, b'{"a": ' + b"9" * 10_000 + b"}"), "not valid JSON"),
    "nan in json": (lambda s: with_index(s, b'{"layout_version": NaN}'), "NaN is no JSON number"),
    "key twice": (lambda s: with_index(s, b'{"a": 1, "a": 2}'), "occurs twice"),
    "other version": (lambda s: edited(s, layout_version=2), "layout version 2"),
    "boolean version": (lambda s: edited(s, layout_version=True), "'layout_version' must be an integer"),
    "other fixtures": (lambda s: edited(s, fixtures_id="0" * 64), "other fixtures"),
    "no device": (lambda s: edited(s, device=None), "'device' must be an object"),
    "control characters": (
        lambda s: edited(s, device={"model": "\x1b[2J", "os": "", "app_version": ""}), "printable"
    ),
    "infinite latency": (
        lambda s: with_index(s, s.files["dump.json"].replace(b"50.0", b"1e999")), "finite numbers"
    ),
    "negative latency": (lambda s: edited(s, latency_ms={"encode": [-1]}), "negative"),
    "unknown step": (lambda s: edited(s, latency_ms={"warp": [1]}), "unknown step"),
    "threads": (lambda s: edited_run(s, threads=10**30), "'threads' must be an integer"),
    "other shape": (
        lambda s: edited(s, tensors=[{"name": "photo_0/embedding", "dtype": "float32", "shape": [1, 2]}]),
        "the fixtures say",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_dumps_are_one_clear_error(kind: str, setup: Setup, tmp_path: Path) -> None:
    make, says = HOSTILE[kind]
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(DumpError) as caught:
        read(make(setup), setup, folder)
    message = str(caught.value)
    assert says in message
    assert message.startswith(str(folder / "dump.zip"))
    assert "\n" not in message
    assert len(message) < 600


def test_folders_in_the_zip_are_let_be(setup: Setup, tmp_path: Path) -> None:
    assert read(zipped({"photo_0/": b"", "photo_0/prompt_1/": b"", **setup.files}), setup, tmp_path)


def test_the_caller_keeps_his_own_errors(setup: Setup, tmp_path: Path) -> None:
    path = tmp_path / "dump.zip"
    path.write_bytes(zipped(setup.files))
    with pytest.raises(OSError, match="mine"), open_dump(path, setup.fixtures):
        raise OSError("mine")


@given(st.data())
def test_no_damage_is_worse_than_an_error(setup: Setup, data: st.DataObject) -> None:
    """Any bytes overwritten anywhere, or any cut: a `DumpError`, or a dump, perhaps of other values."""
    whole = bytearray(zipped(setup.files, method=data.draw(st.sampled_from([0, 8]))))
    tail = min(len(whole), data.draw(st.sampled_from([100, 4000, len(whole)])))
    for _ in range(data.draw(st.integers(1, 3))):
        at = len(whole) - 1 - data.draw(st.integers(0, tail - 1))
        whole[at] = data.draw(st.integers(0, 255))
    path = setup.fixtures.folder.parent / "fuzzed.zip"
    path.write_bytes(whole[: len(whole) - data.draw(st.sampled_from([0, 0, 1, 50]))])
    try:
        with open_dump(path, setup.fixtures) as dump:
            for index in range(len(setup.cases)):
                dump.recording(index)
    except DumpError:
        pass


DAMAGED_FIXTURES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no index": (lambda f: (f / "fixtures.json").unlink(), "cannot be read"),
    "index": (lambda f: (f / "fixtures.json").write_text("{"), "not valid JSON"),
    "pixels": (lambda f: (f / "photo_0/pixels.bin").write_bytes(b"1"), "photo_0/pixels.bin has 1 bytes"),
    "mask": (lambda f: (f / "photo_0/prompt_1/mask_input.bin").unlink(), "mask_input.bin: cannot be read"),
    "kind": (lambda f: replace_in(f, '"point"', '"poke"'), "unknown kind of prompt 'poke'"),
    "box": (lambda f: replace_in(f, "20.0", "0.0"), "box must be"),
    "sizes": (lambda f: replace_in(f, '"slots": 4', '"slots": 1'), "--slots"),
    "height": (lambda f: replace_in(f, f'"height": {HEIGHT}', '"height": 100000'), "'height' must be"),
}


def replace_in(folder: Path, old: str, new: str) -> None:
    text = (folder / "fixtures.json").read_text()
    assert old in text
    (folder / "fixtures.json").write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("kind", DAMAGED_FIXTURES)
def test_damaged_fixtures_are_one_clear_error(kind: str, setup: Setup, tmp_path: Path) -> None:
    damage, says = DAMAGED_FIXTURES[kind]
    folder = tmp_path / "fixtures"
    write_fixtures(folder, setup.manifest, zip(setup.cases, setup.recordings, strict=True))
    damage(folder)
    with pytest.raises(DumpError, match="fixtures") as caught:
        read_fixtures(folder)
    assert says in str(caught.value)
