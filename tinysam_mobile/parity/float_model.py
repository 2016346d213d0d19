"""The float model that artifacts are compared with; torch is imported when one is loaded, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinysam_mobile.bundle.folder import Bundle
from tinysam_mobile.contract.spec import Contract
from tinysam_mobile.errors import UsageError

if TYPE_CHECKING:
    from tinysam_mobile.modeling.checkpoint import Checkpoint

__all__ = ["checkpoint_of", "load_float_model"]


def load_float_model(
    source: str | None,
    *,
    slots: int = Contract.slots,
    batch: int = Contract.batch,
    score_batch: int = Contract.score_batch,
    image_size: int | None = None,
    single_mask: bool = False,
) -> tuple[Checkpoint, Contract]:
    """Return a checkpoint (the shipped one if None) and its contract; raises as `load_checkpoint` does."""
    from tinysam_mobile.modeling.checkpoint import load_checkpoint
    from tinysam_mobile.modeling.entry_points import contract_of

    loaded = load_checkpoint(source, image_size=image_size, single_mask=single_mask)
    return loaded, contract_of(loaded.model, slots=slots, batch=batch, score_batch=score_batch)


def checkpoint_of(bundle: Bundle, checkpoint: str | None) -> Checkpoint:
    """Load the float model of a bundle; raises `UsageError` if it is not the one it was made from."""
    contract, made_from = bundle.manifest.contract, bundle.manifest.data["checkpoint"]["name"]
    if checkpoint is None and bundle.manifest.checkpoint_sha256 is None:
        checkpoint = made_from
    loaded, ours = load_float_model(
        checkpoint,
        slots=contract.slots,
        batch=contract.batch,
        score_batch=contract.score_batch,
        image_size=contract.image_size,
        # No network has fewer than three masks but by `convert --single-mask`.
        single_mask=contract.rules.num_masks == 1,
    )
    if loaded.sha256 != bundle.manifest.checkpoint_sha256 or ours != contract:
        raise UsageError(
            f"{bundle.folder}: was made from {made_from} (SHA-256 {bundle.manifest.checkpoint_sha256}), not "
            f"from {loaded.name} ({loaded.sha256}): pass the former as --checkpoint"
        )
    return loaded
