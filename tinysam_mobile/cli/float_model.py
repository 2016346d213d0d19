"""What a command says of the checkpoint that it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tinysam_mobile.modeling.checkpoint import Checkpoint

__all__ = ["warn_about_stand_in"]


def warn_about_stand_in(checkpoint: Checkpoint) -> None:
    """Say on stderr that masks will be noise, if they will, and what the licence of the weights forbids."""
    if restriction := checkpoint.family.restriction:
        click.echo(f"{checkpoint.family.title}: {restriction}", err=True)
    if checkpoint.is_stand_in:
        click.echo(
            "stand-in weights: pseudo-random values, so every mask is noise (pass a trained CHECKPOINT)",
            err=True,
        )
