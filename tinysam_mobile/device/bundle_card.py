"""`README.md` inside a bundle: what the files are, how good, under which licence, how an app opens them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.device.app_resources import APPS
from tinysam_mobile.files import write_text
from tinysam_mobile.parity.bundle_check import MeasuredArtifact

__all__ = ["CARD_NAME", "write_card"]

CARD_NAME = "README.md"
TITLES = {"ios": "In an iOS app", "android": "In an Android app"}


def write_card(bundle: Bundle, rows: Sequence[MeasuredArtifact]) -> None:
    """Write the card into the bundle's folder; `rows` are its artifacts as measured against PyTorch."""
    write_text(bundle.folder / CARD_NAME, "\n".join(_lines(bundle, rows)) + "\n")


def _lines(bundle: Bundle, rows: Sequence[MeasuredArtifact]) -> Iterator[str]:
    data, contract = bundle.manifest.data, bundle.manifest.contract
    checkpoint = data["checkpoint"]
    yield f"# {data['model']['name']} for phones"
    yield ""
    yield (
        f"Made from `{checkpoint['name']}` (family {data['family']}) by tinysam-mobile "
        f"{data['generator']['version']}. Licence of the weights: {data['licence'] or 'not known'}."
    )
    if data.get("restriction"):
        yield f"**{data['restriction']}**"
    yield ""
    yield (
        f"Input {contract.image_size}x{contract.image_size}; {contract.slots} prompt slots; "
        f"{contract.batch} prompts per `decode_batch`. `manifest.json` has every size, label and threshold."
    )
    yield ""
    yield from _table(rows)
    held = {artifact.runtime for artifact in bundle.manifest.artifacts}
    for name, app in APPS.items():
        if app.needs in held:
            yield ""
            yield f"## {TITLES[name]}"
            yield ""
            command = f"tinysam-mobile bundle-for-app {name} {bundle.folder.name}"
            yield f"`{command}` makes the folder that an app takes."
            yield ""
            yield from (f"    {line}" for line in app.snippet.splitlines())


def _table(rows: Sequence[MeasuredArtifact]) -> Iterator[str]:
    yield "| file | MB | signal-to-noise ratio against PyTorch, dB | verdict |"
    yield "|---|---:|---|---|"
    for row in rows:
        artifact = row.artifact
        figures = ", ".join(f"`{p.entry_point}` {p.sqnr_db:.1f}" for p in row.parity)
        yield f"| `{artifact.path}` | {artifact.size_bytes / 1e6:.2f} | {figures} | {row.verdict} |"
