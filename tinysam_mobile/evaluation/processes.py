"""The processes that `torchrun` starts together, which share the photos among them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["joined_processes"]


@contextmanager
def joined_processes() -> Iterator[tuple[int, int]]:
    """Join the other processes if `torchrun` started this one; gives (rank, number of processes)."""
    import torch.distributed as dist

    if not dist.is_torchelastic_launched():
        yield 0, 1
        return
    dist.init_process_group("gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()
