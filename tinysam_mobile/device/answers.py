"""What fixtures are made of: photos with prompts, and what the float model answers to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tinysam_mobile.contract.backend import Backend
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.device.drawn_photos import drawn_photos
from tinysam_mobile.parity.prompt_sampling import make_case
from tinysam_mobile.parity.record import record_photo
from tinysam_mobile.parity.stages import PhotoCase, Recording

__all__ = ["answered", "drawn_cases"]


def drawn_cases(contract: Contract, *, count: int, seed: int) -> Iterator[PhotoCase]:
    """Yield the drawn photos with `count` prompts each."""
    for name, pixels in drawn_photos().items():
        yield make_case(name, pixels, contract, count=count, seed=seed)


def answered(
    reference: Backend, cases: Iterator[PhotoCase], say: Callable[[str], None]
) -> Iterator[tuple[PhotoCase, Recording]]:
    """Yield each photo with the float model's recording."""
    for case in cases:
        say(f"{case.name}: torch")
        yield case, record_photo(reference, case)
