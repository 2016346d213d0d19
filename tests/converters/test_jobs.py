"""Conversions side by side: who does what, in which order it comes back, and what an error becomes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.converters.base import ConversionRequest
from tinysam_mobile.converters.jobs import Job, default_processes, jobs_of, run_jobs
from tinysam_mobile.errors import ConversionError, UnknownNameError
from tinysam_mobile.modeling.entry_points import EntryPoint
from tinysam_mobile.quant.recipe import recipe_named

CONTRACT = Contract(image_size=128, grid_size=8, mask_size=32, channels=4)


def the_jobs(folder: Path, **contract: Any) -> list[Job]:
    entries = {
        name: EntryPoint(signature=signature, module=nn.Identity())
        for name, signature in CONTRACT.signatures.items()
    }
    request = ConversionRequest(
        entry_points=entries, recipe=recipe_named("fp32"), contract=contract, folder=folder
    )
    jobs = jobs_of("executorch", request)
    return [
        Job(
            target=job.target,
            converter="tests.converters.fake_converter",
            component=job.component,
            request=job.request,
        )
        for job in jobs
    ]


@pytest.mark.parametrize("processes", [1, 2])
def test_what_comes_back_is_in_the_jobs_order(tmp_path: Path, processes: int) -> None:
    said: list[str] = []
    finished = run_jobs(the_jobs(tmp_path), processes=processes, progress=said.append)
    assert [f.path for done in finished for f in done.files] == [
        tmp_path / "encoder.fake",
        tmp_path / "decoder.fake",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decoder.fake", "encoder.fake"]
    assert finished[1].files[0].entry_points.keys() == {"decode", "decode_batch", "score_batch"}
    workers = {path.read_text() for path in tmp_path.iterdir()}
    assert workers == {str(os.getpid())} if processes == 1 else len(workers - {str(os.getpid())}) == 2
    assert {"executorch fp32 encoder: working", "executorch fp32 decoder: working"} <= set(said)


def test_an_error_in_one_process_is_one_here(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        run_jobs(the_jobs(tmp_path, fails="decoder"), processes=1, progress=print)
    with pytest.raises(ConversionError, match="right"):
        run_jobs(the_jobs(tmp_path / ".", fails="decoder"), processes=2, progress=print)


def test_a_process_that_dies_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="--jobs 1"):
        run_jobs(the_jobs(tmp_path, dies="encoder"), processes=2, progress=print)


def test_processes_are_bounded() -> None:
    assert default_processes(1) == 1
    assert 1 <= default_processes(1000) <= (os.cpu_count() or 1)
