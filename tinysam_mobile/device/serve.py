"""`tinysam-mobile serve`, put together: the page, a bundle, its fixtures, checks of phones, host masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.device.serve_checks import Checks, CheckSettings
from tinysam_mobile.device.serve_files import bundle_files, config, fixture_files, page_files, page_folder
from tinysam_mobile.device.serve_host import HostMasks
from tinysam_mobile.device.serve_litert import LiteRtSource
from tinysam_mobile.device.serve_server import Page

__all__ = ["RUNTIME_LINES", "make_page"]

RUNTIME_LINES = {
    "torch": "PyTorch on the host",
    "tflite": "LiteRT on the host",
    "executorch": "ExecuTorch on the host",
    "coreml": "Core ML, interpreted on the host",
    "coreml-native": "Core ML on the host",
}
"""Runtime → what the page calls it."""


def make_page(
    bundle: Bundle,
    litert: LiteRtSource,
    checks: CheckSettings,
    *,
    openers: Mapping[str, Callable[[], Backend]],
    worker: ThreadPoolExecutor,
    host_worker: ThreadPoolExecutor,
) -> Page:
    """Return what the server serves; call it in the running event loop.

    `openers` maps runtimes of the host that answer clicks too to what opens them.  Fixtures are written and
    dumps judged in `worker`, clicks answered in `host_worker`, pools of one thread each: a dump may take
    minutes, for which no click waits.  Raises `UsageError` for a bundle
    without TFLite artifacts.
    """
    files = page_files(page_folder()) | bundle_files(bundle)
    files |= {litert.urls[name]: path for name, path in litert.local.items()}
    runtimes = {name: RUNTIME_LINES[name] for name in openers}
    page = Page(
        files=files,
        config=config(litert, api=True, fixtures=False, host_runtimes=runtimes),
        origin=litert.origin,
    )
    judge = Checks(bundle, checks, worker=worker)
    page.calls += judge.calls
    if openers:
        page.calls += HostMasks(openers, worker=host_worker).calls

    def ready(folder: Path) -> None:
        page.files |= fixture_files(folder)

    judge.prepare(ready)
    return page
