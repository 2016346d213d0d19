"""Import coremltools, and use it without its chatter.

Off macOS coremltools warns about proxies that only macOS has, and about every torch newer than the one
that it was released with; it also draws progress bars.  All of it goes to stderr, where this package
shows its own progress.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from typing import Any

from tinysam_mobile.errors import RuntimeUnavailableError
from tinysam_mobile.version import install_command

__all__ = ["import_coremltools", "quiet"]

# coremltools imports torchao and executorch where they are installed, and these speak as they load.
_LOGGERS = ("coremltools", "torchao", "torch.utils._pytree")
_WARNINGS = (
    (r".*isinstance\(treespec, LeafSpec\)", FutureWarning),
    (r"(read|open)_text is deprecated", DeprecationWarning),
    (r"`torch\.jit\.script", DeprecationWarning),
    (r"Function _TORCH_OPS_REGISTRY\.__contains__ is deprecated", DeprecationWarning),
    # coremltools leaves the removal of its temporary folders to the garbage collector.
    (r"Implicitly cleaning up <TemporaryDirectory", ResourceWarning),
)


@contextmanager
def quiet() -> Iterator[None]:
    """Within it, coremltools' notes below ERROR and its progress bars are not shown."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with ExitStack() as stack:
        stack.enter_context(redirect_stderr(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        for message, category in _WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def import_coremltools() -> Any:
    """Return the module `coremltools`; raises `RuntimeUnavailableError` where it is not installed."""
    try:
        with quiet():
            import coremltools
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"Core ML needs coremltools ({error}): {install_command('coreml')}"
        ) from error
    return coremltools
