"""TinySAM on phones: convert a checkpoint to Core ML, TFLite and ExecuTorch, and judge it on the host."""

from tinysam_mobile.version import __version__

__all__ = ["__version__"]
