"""Paths that are no plain files, planted links, folders of others, writers that are killed or fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tinysam_mobile.bundle.folder import Bundle, hash_path
from tinysam_mobile.distill.photo_store import write_store
from tinysam_mobile.errors import CheckpointError, InputError, TinySAMError, UsageError
from tinysam_mobile.evaluation.coco import read_annotations
from tinysam_mobile.files import (
    check_writable,
    file_sha256,
    new_file,
    new_folder,
    parse_json,
    read_bytes,
    read_json,
    write_text,
    write_with,
)
from tinysam_mobile.imaging.images import load_image
from tinysam_mobile.imaging.photo_files import photos_in, skipped_in
from tinysam_mobile.modeling.fetch import _transfer
from tinysam_mobile.parity.hand_converted import read_mapping
from tinysam_mobile.parity.prompt_sampling import read_own_prompts

READERS: dict[str, Callable[[Path], object]] = {
    "photo": load_image,
    "annotations": lambda path: read_annotations(path, path.parent),
    "mapping": read_mapping,
    "own prompts": read_own_prompts,
    "hash": file_sha256,
    "artifact": hash_path,
}


def strange(kind: str, folder: Path) -> Path:
    path = folder / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "x").mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "device":
        return Path("/dev/zero")
    elif kind == "long":
        return folder / ("x" * 5000)
    elif kind == "NUL":
        return folder / "a\0b"
    elif kind == "surrogate":
        return folder / "\ud800"
    return path


KINDS = ("pipe", "folder", "loop", "device", "long", "NUL", "surrogate", "missing")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_waits_for_or_trips_over_what_is_no_file(reader: str, kind: str, tmp_path: Path) -> None:
    if (reader, kind) == ("artifact", "folder"):
        return  # a package is a folder
    with pytest.raises(TinySAMError):
        READERS[reader](strange(kind, tmp_path))


def test_a_manifest_that_never_ends_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").symlink_to("/dev/zero")
    with pytest.raises(TinySAMError, match="no regular file"):
        Bundle.open(tmp_path)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(100))
    assert read_bytes(path, limit=100) == bytes(100)
    with pytest.raises(InputError, match="larger than 99 bytes"):
        read_bytes(path, limit=99)
    # A limit that no memory holds takes none.
    assert read_bytes(path, limit=2**62) == bytes(100)
    with path.open("r+b") as file:  # sparse: it takes no room and would unpack to a terabyte
        file.truncate(2**40)
    with pytest.raises(InputError, match="larger"):
        read_json(path)


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "[" * 100_000, '{"a": "\\ud800"}', "1" * 5000, "", "{'a': 1}", "\ufeff{}"]
)
def test_json_that_no_other_program_takes_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="x: is not valid JSON"):
        parse_json(text, "x")


# Writing.


def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "out.txt").symlink_to(victim)
    write_text(tmp_path / "out.txt", "new")
    assert victim.read_text() == "precious"
    assert (tmp_path / "out.txt").read_text() == "new"
    assert not (tmp_path / "out.txt").is_symlink()


def test_a_download_does_not_write_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    partial = tmp_path / "model.pth.part"
    partial.symlink_to(victim)
    with pytest.raises(CheckpointError, match="delete it"):
        _transfer("http://127.0.0.1:1/x", partial, None, 1)
    os.unlink(partial)  # noqa: PTH108 (of a name that may be a pipe)
    os.mkfifo(partial)
    with pytest.raises(CheckpointError, match="delete it"):
        _transfer("http://127.0.0.1:1/x", partial, None, 1)
    assert victim.read_text() == "precious"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.b.txt"
    write_text(path, "old")

    def fail(building: Path) -> None:
        building.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_with(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_a_process_are_for_others_too(tmp_path: Path) -> None:
    with new_file(tmp_path / "x") as building:
        building.touch(0o600)
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("target", ["none/x.txt", "file/x.txt", "/proc/x", "/dev/null/x", "", ".", "x" * 300])
def test_what_cannot_be_written_is_one_error_of_ours(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(UsageError):
        check_writable(Path(target), is_folder=False)
    if Path(target).name:
        with pytest.raises(UsageError, match="cannot be written"):
            write_text(Path(target), "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def others(target: Path, *building: Path) -> None:
    """Somebody puts a folder of his own at `target`."""
    for folder in building:
        (folder / "marker").touch()
        (target / "marker").unlink()
    target.mkdir(exist_ok=True)
    (target / "photo.jpg").write_text("precious")


def test_a_folder_that_appears_meanwhile_is_not_deleted(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with pytest.raises(UsageError, match="exists already"), new_folder(target, "marker"):
        others(target)
    assert (target / "photo.jpg").read_text() == "precious"
    with pytest.raises(UsageError, match="will not delete"), new_folder(target, "marker", overwrite=True):
        pass
    assert list(tmp_path.iterdir()) == [target]


def test_an_empty_folder_is_simply_used(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with new_folder(tmp_path / "x", "marker") as building:
        (building / "marker").touch()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["marker"]
    # A link to one is not: what lies behind it may be anybody's.
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with pytest.raises(UsageError, match="exists already"), new_folder(tmp_path / "link", "marker"):
        pass


def test_a_folder_that_takes_the_place_of_an_older_one_is_not_deleted(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "marker").touch()
    with (
        pytest.raises(UsageError, match="will not delete"),
        new_folder(target, "marker", overwrite=True) as building,
    ):
        others(target, building)
    assert (target / "photo.jpg").read_text() == "precious"
    assert list(tmp_path.iterdir()) == [target]


def test_the_newer_folder_takes_the_place_of_the_older(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with new_folder(tmp_path / "x", "marker", overwrite=True) as building:
            (building / "marker").write_text(text)
    assert (tmp_path / "x" / "marker").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


WRITER = """
import os, sys, time
from pathlib import Path
from tinysam_mobile.files import new_folder
with new_folder(Path(sys.argv[1]), "marker") as building:
    (building / "marker").touch()
    print("writing", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    target = tmp_path / "x"
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", WRITER, str(target)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": root}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        with new_folder(target, "marker") as building:
            (building / "marker").touch()
        living = [path.name for path in tmp_path.iterdir()]
        process.kill()
    assert len(living) == 2
    with new_folder(target, "marker", overwrite=True) as building:
        (building / "marker").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_files_that_differ_in_the_suffix_alone_are_written_apart(tmp_path: Path) -> None:
    names = ("a.b.png", "a.b.json", "a.b_labels.png")
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(new_file(tmp_path / name)).write_text(name)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: name for name in names}


@pytest.mark.parametrize("name", ["x", "of another"])
def test_a_process_number_locks_nothing(name: str, tmp_path: Path) -> None:
    """It may be that of another container, or of a process that came later."""
    left = tmp_path / f".{name}.writing-left"
    left.mkdir()
    (left / "lock").write_text(str(os.getpid()))
    with new_folder(tmp_path / "x", "marker") as building:
        (building / "marker").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


HOLDER = """
import sys, time
from pathlib import Path
from tinysam_mobile.files import only_writer
with only_writer(Path(sys.argv[1])):
    print("writing", flush=True)
    time.sleep(600)
"""


def test_files_that_belong_together_have_one_writer(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "store")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": root}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        with pytest.raises(UsageError, match="another process is writing there"):
            write_store([], tmp_path / "store")
        process.kill()
        process.wait()
    assert write_store([], tmp_path / "store") == 0
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["index.json", "photos.bin"]


# Folders of photos, and of packages.


def test_one_list_of_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinysam_mobile.imaging.photo_files.reads_heic", lambda: False)
    for name in ("b.JPG", "a.png", "._a.png", ".hidden.jpg", ".DS_Store", "c.HEIC", "d.txt", "e.tiff"):
        (tmp_path / name).touch()
    (tmp_path / "f.png").mkdir()
    assert [path.name for path in photos_in(tmp_path)] == ["a.png", "b.JPG", "e.tiff"]
    assert [path.name for path in skipped_in(tmp_path)] == ["c.HEIC"]
    monkeypatch.setattr("tinysam_mobile.imaging.photo_files.reads_heic", lambda: True)
    assert [path.name for path in photos_in(tmp_path)] == ["a.png", "b.JPG", "c.HEIC", "e.tiff"]


def test_what_macos_leaves_in_a_package_does_not_change_it(tmp_path: Path) -> None:
    (tmp_path / "Data").mkdir()
    (tmp_path / "Data" / "weight.bin").write_bytes(b"w")
    before = hash_path(tmp_path)
    for name in (".DS_Store", "Data/.DS_Store", "Data/._weight.bin"):
        (tmp_path / name).write_bytes(b"x")
    assert hash_path(tmp_path) == before
    (tmp_path / "Data" / "other.bin").write_bytes(b"x")
    assert hash_path(tmp_path) != before
