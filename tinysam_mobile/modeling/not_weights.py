"""What people name as a checkpoint by mistake, told by its first bytes.

A page that a browser saved, a pointer that Git left, a file that was packed or not downloaded to its end:
each has its own remedy, so "not a checkpoint" alone would not help.
"""

from __future__ import annotations

import codecs

from tinysam_mobile.contract.foreign_text import one_line

__all__ = ["what_it_is_instead"]

MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<svg", b"<!--")
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}
PICTURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"%PDF": "PDF"}
TAR_AT = slice(257, 262)
OLD_PICKLES = (b"(dp", b"(lp", b"ccopy_reg", b"ccollections")
"""Pickles of the first protocol are text; that they are pickles says more."""
MAX_QUOTED = 60


def what_it_is_instead(head: bytes) -> str | None:
    """Tell what a file that begins with `head` is and what to do, to follow its name.

    None if it may be weights.
    """
    plain = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if plain.lower().startswith(MARKUP):
        return "is a web page, not a checkpoint; download the file itself (the raw link)"
    if plain.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file; run 'git lfs pull' there"
    if head and not head.strip(b"\0"):
        return "begins with zeros only, as a download that did not end; download it again"
    for kinds, said in (
        (PACKED, "is packed ({}); unpack it and name the checkpoint inside"),
        (PICTURES, "is a picture or document ({}), not a checkpoint; name the file with the weights"),
    ):
        for magic, name in kinds.items():
            if head.startswith(magic):
                return said.format(name)
    if head[TAR_AT] == b"ustar":
        return "is packed (tar); unpack it and name the checkpoint inside"
    return _text(plain)


def _text(head: bytes) -> str | None:
    try:
        # The last character may be cut in two.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return None
    if not text or head.startswith(OLD_PICKLES) or not all(c.isprintable() or c in "\r\n\t" for c in text):
        return None
    beginning = one_line(" ".join(text.split()))
    shown = beginning if len(beginning) <= MAX_QUOTED else beginning[:MAX_QUOTED] + "…"
    return f"is a text file, not a checkpoint (it begins {shown!r}); download the file itself"
