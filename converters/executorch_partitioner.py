"""XNNPACK's partitioner with int8 products of two activations, which ExecuTorch 1.5 knows in float only.

XNNPACK itself has the kernel (`xnn_create_batch_matrix_multiply_nc_qs8`), and ExecuTorch writes and loads the
node with its grids as any other; only the list of precisions in `BMMConfig` leaves it out.
"""

from __future__ import annotations

from typing import Any

from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.config.generic_node_configs import BMMConfig
from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

__all__ = ["xnnpack_partitioner"]


class IntegerBMMConfig(BMMConfig):  # type: ignore[misc, unused-ignore]
    """Products in float, or in int8 if the second factor has zero point 0, which loading checks."""

    def supported_precision_types(self) -> list[ConfigPrecisionType]:
        """Widths that may be delegated."""
        return [ConfigPrecisionType.FP32, ConfigPrecisionType.STATIC_QUANT]


def xnnpack_partitioner() -> Any:
    """Return ExecuTorch's XNNPACK partitioner that also takes int8 products."""
    configs = [IntegerBMMConfig if config is BMMConfig else config for config in ALL_PARTITIONER_CONFIGS]
    return XnnpackPartitioner(configs=configs)
