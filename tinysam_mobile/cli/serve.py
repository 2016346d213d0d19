"""`tinysam-mobile serve`: a page that runs the bundle in the browser of any phone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.cli.options import (
    bundle_argument,
    checkpoint_option,
    fixtures_option,
    litert_js_option,
    out_option,
    threads_option,
)
from tinysam_mobile.cli.output import command_errors
from tinysam_mobile.cli.parameter_types import OutputFolder
from tinysam_mobile.errors import RuntimeUnavailableError, UsageError
from tinysam_mobile.simulator.registry import RUNTIMES
from tinysam_mobile.version import install_command

if TYPE_CHECKING:
    import ssl

    from tinysam_mobile.contract.backend import Backend
    from tinysam_mobile.device.dumps import DumpInfo
    from tinysam_mobile.device.serve_address import Address
    from tinysam_mobile.device.serve_checks import CheckSettings, Reference
    from tinysam_mobile.device.serve_litert import LiteRtSource
    from tinysam_mobile.parity.report_data import ParityReport

__all__ = ["command"]

DEFAULT_PORT = 8470
PROMPTS_PER_PHOTO = 8
"""Of the fixtures that are written here, as `tinysam-mobile fixtures` does."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    bundle: Bundle
    checkpoint: str | None
    fixtures: Path | None
    litert_js: Path | None
    host_runtimes: tuple[str, ...]
    reports: Path
    host: str
    port: int
    https: bool
    threads: int | None


@click.command()
@bundle_argument
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 lets phones of the same network in, with a random token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--https", is_flag=True, help="Use a certificate made now: a phone then gives WebGPU and threads."
)
@fixtures_option()
@litert_js_option
@click.option(
    "--host-runtime",
    "host_runtimes",
    multiple=True,
    type=click.Choice(list(RUNTIMES)),
    help="What answers the same clicks on this machine, for comparison; repeatable.",
)
@checkpoint_option
@out_option(OutputFolder(), "Folder for the reports of checked phones.", default="phone_reports")
@threads_option
@command_errors
def command(
    bundle_path: Path,
    host: str,
    port: int,
    https: bool,
    fixtures: Path | None,
    litert_js: Path | None,
    host_runtimes: tuple[str, ...],
    checkpoint: str | None,
    out: Path,
    threads: int | None,
) -> None:
    """Serve a page on which BUNDLE's TFLite files run in the browser: click, see the mask, check the phone.

    The page needs LiteRT.js, which comes from a local folder or from a CDN at a pinned version.  "Check this
    phone" replays the fixtures in the browser; the verdict appears there and here.  Press Ctrl-C to stop.

    \b
    Examples:
      tinysam-mobile serve bundle                                   on this machine
      tinysam-mobile serve bundle --host 0.0.0.0                    for phones: scan the QR code
      tinysam-mobile serve bundle --host 0.0.0.0 --https            the same, with WebGPU and threads
      tinysam-mobile serve bundle --host-runtime torch              the host answers the same clicks
      npm install @litertjs/core@2.5.3 && tinysam-mobile serve bundle    no CDN
    """
    options = Options(
        bundle=Bundle.open(bundle_path),
        checkpoint=checkpoint,
        fixtures=fixtures,
        litert_js=litert_js,
        host_runtimes=host_runtimes,
        reports=out,
        host=host,
        port=port,
        https=https,
        threads=threads,
    )
    try:
        with ExitStack() as stack:
            asyncio.run(_serve(options, stack))
    except KeyboardInterrupt:
        click.echo("stopped")


async def _serve(options: Options, stack: ExitStack) -> None:
    """Serve until the task is cancelled."""
    _require_tornado()
    from tinysam_mobile.device.serve import make_page
    from tinysam_mobile.device.serve_address import Address
    from tinysam_mobile.device.serve_files import page_folder
    from tinysam_mobile.device.serve_litert import find_litert
    from tinysam_mobile.device.serve_server import Server

    litert = find_litert(page_folder(), options.litert_js)
    workers = [ThreadPoolExecutor(1, f"tinysam-{name}") for name in ("judge", "host")]
    for worker in workers:
        stack.callback(worker.shutdown, wait=False, cancel_futures=True)
    settings = _check_settings(options, stack)
    openers, (judge, host) = _openers(options), workers
    page = make_page(options.bundle, litert, settings, openers=openers, worker=judge, host_worker=host)
    address = Address.of(options.host, is_https=options.https)
    try:
        server = Server(page, address, port=options.port, tls=_tls(options, stack))
    except OSError as error:
        raise UsageError(
            f"--host {options.host} --port {options.port}: cannot be listened on ({error.strerror})"
        ) from error
    server.start()
    _announce(server.url, address, litert)
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()


def _require_tornado() -> None:
    try:
        import tornado  # noqa: F401
    except ImportError as error:
        raise RuntimeUnavailableError(f"serve needs tornado; run: {install_command('serve')}") from error


def _tls(options: Options, stack: ExitStack) -> ssl.SSLContext | None:
    if not options.https:
        return None
    from tinysam_mobile.device.serve_address import LOOPBACK_NAMES, lan_address, self_signed

    return stack.enter_context(self_signed([*LOOPBACK_NAMES, lan_address()]))


def _openers(options: Options) -> dict[str, Callable[[], Backend]]:
    from tinysam_mobile.simulator.registry import open_bundle, runtime_named

    found: dict[str, Callable[[], Backend]] = {}
    for name in options.host_runtimes:
        info = runtime_named(name)
        if name == "torch":
            found[name] = lambda: _reference(options).backend
        else:
            options.bundle.artifacts(info.artifact_runtime)  # raises now, and not at the first photo
            found[name] = partial(open_bundle, options.bundle, name)
    return found


def _check_settings(options: Options, stack: ExitStack) -> CheckSettings:
    from tinysam_mobile.device.serve_checks import CheckSettings

    if options.fixtures is not None:
        folder = options.fixtures
        make = lambda: folder  # noqa: E731
    else:
        written = Path(stack.enter_context(TemporaryDirectory(prefix="tinysam-fixtures-"))) / "fixtures"
        make = partial(_write_fixtures, options, written)
    return CheckSettings(
        fixtures=make, reference=partial(_reference, options), reports=options.reports, told=_tell
    )


def _reference(options: Options) -> Reference:
    from tinysam_mobile.device.serve_checks import Reference
    from tinysam_mobile.parity.float_model import checkpoint_of
    from tinysam_mobile.simulator.registry import open_model

    loaded = checkpoint_of(options.bundle, options.checkpoint)
    backend = open_model(loaded.model, options.bundle.manifest.contract, num_threads=options.threads)
    return Reference(backend=backend, names={"name": loaded.name, "sha256": loaded.sha256})


def _write_fixtures(options: Options, folder: Path) -> Path:
    from tinysam_mobile.device.answers import answered, drawn_cases
    from tinysam_mobile.device.fixtures import write_fixtures

    manifest = options.bundle.manifest
    cases = drawn_cases(manifest.contract, count=PROMPTS_PER_PHOTO, seed=0)
    write_fixtures(folder, manifest, answered(_reference(options).backend, cases, lambda _: None))
    return folder


def _announce(url: str, address: Address, litert: LiteRtSource) -> None:
    from tinysam_mobile.device.serve_address import qr_code

    if not address.is_loopback:
        click.echo(qr_code(url))
    click.echo(f"page: {url}")
    where = "this machine" if litert.local else f"{litert.origin}, so the browser must be online"
    click.echo(f"LiteRT.js {litert.version} from {where}", err=True)
    if address.is_loopback:
        click.echo("for phones of this network: --host 0.0.0.0", err=True)
    elif not address.is_https:
        click.echo("anybody with this address can use the page until you press Ctrl-C", err=True)
    else:
        click.echo("the browser warns of the certificate once: this machine made it", err=True)


def _tell(report: ParityReport | str, info: DumpInfo | None, path: Path | None) -> None:
    """Show a verdict in the terminal as compare-dump does."""
    from tinysam_mobile.cli.parity_output import print_device, print_sides

    if isinstance(report, str):
        click.echo(f"error: {report}", err=True)
        return
    if info is not None:
        print_device(info)
    print_sides(report.sides)
    click.echo(f"report: {path}")
