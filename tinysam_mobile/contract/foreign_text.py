"""Text that came from a file, a device or an option, made fit to be shown: in a terminal, HTML or JUnit.

Whatever is printed or written for people passes through here, so that no name in a file can forge a second
line, move the cursor, colour the screen, or close a tag.
"""

from __future__ import annotations

from html import escape

__all__ = ["html_text", "one_line", "printable", "xml_text"]

MAX_SHOWN = 2000
"""Characters of one message; a name in a file may have millions."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: object) -> str:
    """Return `text` with every character that is not shown, but line breaks and tabs, replaced.

    Those are control characters (escape sequences begin with one), lone surrogates, which no encoding holds,
    and the marks that turn the direction of writing.
    """
    return "".join(c if c in "\n\t" or c.isprintable() else REPLACEMENT for c in str(text))


def one_line(text: object) -> str:
    """Return `text` as one line of at most `MAX_SHOWN` characters that a terminal shows as it is."""
    line = " ".join(printable(str(text)[: 2 * MAX_SHOWN]).split())
    return line if len(line) <= MAX_SHOWN else line[: MAX_SHOWN - 1] + "…"


def xml_text(text: object) -> str:
    """Return `text` fit for a writer of XML 1.0, which escapes tags but cannot hold control characters."""
    return printable(text)


def html_text(text: object) -> str:
    """Return `text` for the inside of an HTML element or a quoted attribute."""
    return escape(printable(text), quote=True)
