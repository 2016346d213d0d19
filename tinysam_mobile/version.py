"""The version of this package, and those of the packages that it stands on."""

from importlib import metadata

__version__ = "0.1.0"


def package_version(distribution: str) -> str | None:
    """Return the version of an installed PyPI package, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
