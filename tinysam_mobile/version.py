"""The version of this package, and those of the packages that it stands on."""

import re
from importlib import metadata

__version__ = "0.1.0"


def package_version(distribution: str) -> str | None:
    """Return the version of an installed PyPI package, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def install_command(extra: str) -> str:
    """Return the pip command for the packages of one of this package's extras, by their own names.

    They can be installed wherever this package came from, which may be no index.
    """
    try:
        requirements = metadata.requires("tinysam-mobile") or []
    except metadata.PackageNotFoundError:
        requirements = []
    marker = re.compile(rf"""extra\s*==\s*["']{re.escape(extra)}["']""")
    named = [text.partition(";")[0].strip() for text in requirements if marker.search(text)]
    wanted = named or [f"tinysam-mobile[{extra}]"]
    return "pip install " + " ".join(f"'{requirement}'" for requirement in wanted)
