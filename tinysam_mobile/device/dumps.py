"""Read what a device recorded: a zip from a stranger, of which nothing is ever written to disk.

Before anything is unpacked, every member must be one that the fixtures ask for, once, with exactly the length
that follows from its shape; so the archive can neither lead anywhere nor grow.  Contents are read photo by
photo, each up to that length.  Every way in which a dump can be wrong is a `DumpError`.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tinysam_mobile.contract.spec import TensorSpec
from tinysam_mobile.device.fixtures import FixtureSet, read_fixtures
from tinysam_mobile.device.layout import (
    DUMP_INDEX,
    MAX_INDEX_BYTES,
    Fields,
    decode_tensor,
    output_specs,
    parse_index,
    recording_of,
    size_bytes,
)
from tinysam_mobile.errors import DumpError
from tinysam_mobile.files import open_regular
from tinysam_mobile.parity.stages import Recording

__all__ = ["Dump", "DumpInfo", "most_bytes", "open_dump"]

MEMBER_OVERHEAD_BYTES = 1024
"""Zip headers of one member: two names, fixed fields and the extra fields that zip tools add."""
DIRECTORY_END = struct.Struct("<4s4H2LH")
"""End of the central directory: signature, disk numbers, entries here and in all, size, offset, comment."""
DIRECTORY_SIGNATURE = b"PK\x05\x06"
ZIP64_LOCATOR_SIGNATURE = b"PK\x06\x07"
ZIP64_LOCATOR_BYTES = 20
ENCRYPTED_FLAG = 0x1
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError),
)
"""What zipfile raises for damaged archives."""
MAX_RUNS = 100_000
"""Latencies of one step."""
LATENCY_STEPS = ("preprocess", "encode", "decode", "decode_batch", "postprocess")
MAX_BYTES = 2**50


@dataclass(frozen=True, kw_only=True)
class DumpInfo:
    """What a dump says of its device and run, as the app wrote it.

    `latency_ms` maps `LATENCY_STEPS` to one figure per call; `peak_memory_bytes`, `load_ms` and `threads` are
    None where the app could not tell.  `artifact_sha256` maps encoder and decoder to the hashes in the
    manifest that the app carries.  `configuration` is how the app was built, `release` or `debug`, and
    `runtime_version` the release of the runtime in it; None where the app could not tell.
    """

    device_model: str
    os: str
    app_version: str
    runtime: str
    recipe: str
    compute_unit: str
    threads: int | None
    thermal_before: str
    thermal_after: str
    load_ms: float | None
    peak_memory_bytes: int | None
    latency_ms: Mapping[str, list[float]]
    artifact_sha256: Mapping[str, str]
    configuration: str | None = None
    runtime_version: str | None = None


class Dump:
    """An opened dump; `recording` reads one photo at a time."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, fixtures: FixtureSet, info: DumpInfo) -> None:
        self.path = path
        self.info = info
        self._archive = archive
        self._fixtures = fixtures

    def recording(self, index: int) -> Recording:
        """Return what the device computed for the fixtures' photo `index`; raises `DumpError`.

        NaN and infinity are kept: they are what a device computed, and the judge's to name.
        """
        case = self._fixtures.cases[index]
        specs = output_specs(index, case, self._fixtures.contract)
        with _errors_of(self.path):
            arrays = {
                name: decode_tensor(_read_member(self._archive, f"{name}.bin", size_bytes(spec)), spec)
                for name, spec in specs.items()
            }
        return recording_of(index, case, arrays)


@contextmanager
def open_dump(path: Path, fixtures: FixtureSet) -> Iterator[Dump]:
    """Open the dump in the zip file `path`, which answers `fixtures`.

    Raises `DumpError` for a file that is no such zip: members that are missing, strange, duplicate, links,
    encrypted, or of another length; an index that is malformed or belongs to other fixtures.
    """
    specs = _specs(fixtures)
    lengths = _lengths(specs)
    with ExitStack() as stack:
        with _errors_of(path):
            file = stack.enter_context(open_regular(path, error=DumpError))
            _check_outline(file, lengths)
            archive = stack.enter_context(zipfile.ZipFile(file))
            _check_members(archive, lengths)
            info = _read_info(archive, fixtures, specs)
        yield Dump(path, archive, fixtures, info)


def most_bytes(fixtures: FixtureSet) -> int:
    """The length of the largest zip that can be a dump for `fixtures`."""
    return _most_bytes(_lengths(_specs(fixtures)))


def _specs(fixtures: FixtureSet) -> dict[str, TensorSpec]:
    return {
        name: spec
        for index, case in enumerate(fixtures.cases)
        for name, spec in output_specs(index, case, fixtures.contract).items()
    }


def _lengths(specs: Mapping[str, TensorSpec]) -> dict[str, int]:
    return {f"{name}.bin": size_bytes(spec) for name, spec in specs.items()}


def _most_members(lengths: Mapping[str, int]) -> int:
    """Files and the folders that some zip tools list too."""
    return 2 * len(lengths) + 1


def _most_bytes(lengths: Mapping[str, int]) -> int:
    return sum(lengths.values()) + MAX_INDEX_BYTES + _most_members(lengths) * MEMBER_OVERHEAD_BYTES


def read_devices(dumps: Sequence[Path], fixtures: Path) -> dict[Path, DumpInfo]:
    """Read what each dump says of its device; raises `DumpError`."""
    infos = {}
    if dumps:
        replayed = read_fixtures(fixtures)
        for path in dumps:
            with open_dump(path, replayed) as dump:
                infos[path] = dump.info
    return infos


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Raise what goes wrong inside as a `DumpError` that names the file."""
    try:
        yield
    except OSError as error:
        raise DumpError(f"{path}: cannot be read ({error.strerror or error}); is it a whole dump?") from error
    except UNREADABLE as error:
        raise DumpError(f"{path}: is damaged ({error}); export the dump again") from error
    except DumpError as error:
        raise DumpError(f"{path}: {error}") from error


def _check_outline(file: BinaryIO, lengths: Mapping[str, int]) -> None:
    """Raise `DumpError` for what must not even reach zipfile, which reads the whole directory at once."""
    members, most = _most_members(lengths), _most_bytes(lengths)
    length = file.seek(0, 2)
    if length > most:
        raise DumpError(f"has {length} bytes; a dump for these fixtures has at most {most}")
    file.seek(max(0, length - DIRECTORY_END.size - ZIP64_LOCATOR_BYTES))
    tail = file.read()
    end = tail[-DIRECTORY_END.size :]
    if len(end) < DIRECTORY_END.size or not end.startswith(DIRECTORY_SIGNATURE):
        raise DumpError("is no zip file, is cut off, or has a comment; export the dump again")
    if tail.startswith(ZIP64_LOCATOR_SIGNATURE):
        raise DumpError("is a zip64 archive; a dump is a plain zip file")
    entries, size = DIRECTORY_END.unpack(end)[4:6]
    if entries > members or size > members * MEMBER_OVERHEAD_BYTES:
        raise DumpError(
            f"lists {entries} files in {size} bytes; a dump for these fixtures has {members} at most"
        )
    file.seek(0)


def _check_members(archive: zipfile.ZipFile, lengths: Mapping[str, int]) -> None:
    folders = {f"{parent}/" for name in lengths for parent in PurePosixPath(name).parents}
    members = [info for info in archive.infolist() if info.orig_filename not in folders or info.file_size]
    names = [info.orig_filename for info in members]
    for info in members:
        _check_member(info, lengths)
    for name, count in Counter(names).items():
        if count > 1:
            raise DumpError(f"holds {name} {count} times")
    missing = [name for name in (DUMP_INDEX, *lengths) if name not in set(names)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DumpError(f"lacks {missing[0]}{more}; replay every photo, prompt and stage of the fixtures")


def _check_member(info: zipfile.ZipInfo, lengths: Mapping[str, int]) -> None:
    name = info.orig_filename
    if name != DUMP_INDEX and name not in lengths:
        raise DumpError(f"holds {name[:80]!r}, which these fixtures do not ask for; nothing was unpacked")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise DumpError(f"{name} is a symbolic link; nothing was unpacked")
    if info.flag_bits & ENCRYPTED_FLAG:
        raise DumpError(f"{name} is encrypted; export the dump without a password")
    if info.compress_type not in METHODS:
        raise DumpError(f"{name} is compressed by method {info.compress_type}; store or deflate it")
    if name == DUMP_INDEX and info.file_size > MAX_INDEX_BYTES:
        raise DumpError(f"{name} has {info.file_size} bytes; at most {MAX_INDEX_BYTES} are read")
    if name in lengths and info.file_size != lengths[name]:
        raise DumpError(f"{name} has {info.file_size} bytes instead of {lengths[name]}")


def _read_member(archive: zipfile.ZipFile, name: str, length: int) -> bytes:
    """Return at most `length` + 1 bytes of a member; reading to its end checks its CRC."""
    with archive.open(name) as member:
        return member.read(length + 1)


def _read_info(archive: zipfile.ZipFile, fixtures: FixtureSet, specs: Mapping[str, TensorSpec]) -> DumpInfo:
    index = parse_index(_read_member(archive, DUMP_INDEX, MAX_INDEX_BYTES), DUMP_INDEX)
    if index.text("fixtures_id") != fixtures.id:
        raise DumpError(
            f"answers other fixtures than {fixtures.folder}: copy that folder to the device and run again"
        )
    _check_tensors(index, specs)
    device, run = index.fields("device"), index.fields("run")
    latency = index.fields("latency_ms")
    hashes = run.fields("artifact_sha256")
    return DumpInfo(
        device_model=device.text("model"),
        os=device.text("os"),
        app_version=device.text("app_version"),
        runtime=run.text("runtime"),
        recipe=run.text("recipe"),
        compute_unit=run.text("compute_unit"),
        threads=run.integer("threads", lowest=1, highest=4096) if run.has("threads") else None,
        thermal_before=run.text("thermal_before"),
        thermal_after=run.text("thermal_after"),
        load_ms=run.number("load_ms", lowest=0.0) if run.has("load_ms") else None,
        peak_memory_bytes=(
            run.integer("peak_memory_bytes", highest=MAX_BYTES) if run.has("peak_memory_bytes") else None
        ),
        latency_ms={step: _latencies(latency, step) for step in latency.keys},
        artifact_sha256={key: hashes.text(key) for key in hashes.keys},
        configuration=run.text("configuration") if run.has("configuration") else None,
        runtime_version=run.text("runtime_version") if run.has("runtime_version") else None,
    )


def _latencies(latency: Fields, step: str) -> list[float]:
    if step not in LATENCY_STEPS:
        raise DumpError(f"{DUMP_INDEX}: unknown step {step[:40]!r}; known: {', '.join(LATENCY_STEPS)}")
    figures = latency.numbers(step, longest=MAX_RUNS)
    if any(figure < 0 for figure in figures):
        raise DumpError(f"{DUMP_INDEX}: a latency of {step!r} is negative")
    return figures


def _check_tensors(index: Fields, specs: Mapping[str, TensorSpec]) -> None:
    """Raise `DumpError` unless the index declares every tensor as the fixtures do."""
    declared = {}
    for item in index.objects("tensors", longest=2 * len(specs)):
        declared[item.text("name")] = (item.text("dtype"), item.numbers("shape", longest=8))
    for name, spec in specs.items():
        wanted = (spec.dtype, list(spec.shape))
        if declared.get(name) != wanted:
            found = (
                "is not declared" if name not in declared else "is declared as {} {}".format(*declared[name])
            )
            raise DumpError(f"{DUMP_INDEX}: {name} {found}; the fixtures say {wanted[0]} {wanted[1]}")
