"""What ExecuTorch is known to say about itself, hidden; anything else it says is passed on."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

KNOWN_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # executorch.runtime warns about itself whenever it is imported.
    ("This API is experimental and subject to change", Warning),
    # executorch.exir reads its operator list and schemas through functions that Python has deprecated.
    ("(read_text|open_text|read_binary) is deprecated", DeprecationWarning),
    # executorch.exir imports torch's inductor, which imports its own deprecated MKL-DNN modules.
    (r"`torch\.jit\.script", DeprecationWarning),
    # torch.export copies tree specifications through a check that torch itself has deprecated.
    (r"`isinstance\(treespec, LeafSpec\)`", FutureWarning),
    # The Core ML delegate asks coremltools in a way that it has deprecated, and never removes its folder.
    ("Function _TORCH_OPS_REGISTRY.__contains__ is deprecated", DeprecationWarning),
    ("Implicitly cleaning up <TemporaryDirectory", ResourceWarning),
)
"""Beginning of the message (a regular expression) and category."""
CHATTY_LOGGERS = (
    # Libraries of GPUs that this machine does not have.
    "torchao",
    # Enumerations that torchao registers in a way that torch has deprecated.
    "torch.utils._pytree",
    # Untested torch versions and what only macOS has.
    "coremltools",
    # The OS versions that a Core ML specification runs on, which the deployment target says already.
    "executorch.backends.apple.coreml",
)
"""Loggers of which nothing below ERROR is news; of all others, nothing below WARNING."""


@contextmanager
def quiet() -> Iterator[None]:
    """Hide `KNOWN_WARNINGS`, and what `CHATTY_LOGGERS` say, inside a `with`."""
    loggers = [logging.getLogger(name) for name in CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        for message, category in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=category)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        # The Vulkan partitioner sets the root logger to INFO when it is imported.
        logging.disable(max(disabled, logging.INFO))
        try:
            yield
        finally:
            logging.disable(disabled)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
