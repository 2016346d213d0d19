"""One prompt as every side answers it, in pictures that stand beside each other in the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinysam_mobile.parity.judge import PromptJudgement
from tinysam_mobile.parity.report_pictures import MaskPictures, badness, mask_pictures
from tinysam_mobile.parity.stages import PhotoCase, Recording

__all__ = ["SideBySide", "SideBySideRow", "SideOfPhoto"]

SHOWN_ROWS = 6
MIN_SIDES = 2
"""One alone stands beside the float model in its own gallery already."""


@dataclass(frozen=True, kw_only=True)
class SideOfPhoto:
    """What one side made of a photo: by prompt its judgement and its mask as `small_mask` gives it."""

    prompts: tuple[PromptJudgement, ...]
    masks: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True, kw_only=True)
class SideBySideRow:
    """A prompt of a photo: the pictures of all sides that ran, by name; all have the same float mask."""

    photo: str
    index: int
    kind: str
    sides: Mapping[str, MaskPictures]

    @property
    def expected(self) -> bytes:
        """The float model's mask over the photo, as JPEG."""
        return next(iter(self.sides.values())).expected

    @property
    def badness(self) -> float:
        """That of the worst side."""
        return min(badness(pictures.prompt) for pictures in self.sides.values())


class SideBySide:
    """Takes the photos one by one and keeps, drawn, those on which some side is farthest from PyTorch."""

    def __init__(self) -> None:
        self._rows: list[SideBySideRow] = []

    @property
    def rows(self) -> tuple[SideBySideRow, ...]:
        """At most one per photo, the worst first."""
        return tuple(self._rows)

    def add(self, case: PhotoCase, expected: Recording, sides: Mapping[str, SideOfPhoto]) -> None:
        """Consider a photo: `expected` is the float model's recording, `sides` what all others made of it."""
        if len(sides) < MIN_SIDES or not case.prompts:
            return
        worst_of = [
            min(badness(side.prompts[index]) for side in sides.values()) for index in range(len(case.prompts))
        ]
        index = int(np.argmin(worst_of))
        if len(self._rows) == SHOWN_ROWS and worst_of[index] >= self._rows[-1].badness:
            return
        drawn = {
            name: mask_pictures(case, expected, side.masks[index], side.prompts[index])
            for name, side in sides.items()
        }
        row = SideBySideRow(photo=case.name, index=index, kind=case.prompts[index].kind, sides=drawn)
        self._rows = sorted([*self._rows, row], key=lambda row: row.badness)[:SHOWN_ROWS]
