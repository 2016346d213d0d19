"""Words of MIL text, the form in which a compiled model (`model.mil`) holds its program."""

from __future__ import annotations

import json
import re

from tinysam_mobile.errors import MilError

__all__ = ["Words"]

_WORD = re.compile(
    r"""\s+|//[^\n]*
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?(?:[pP][-+]?\d+)?
      |(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|(?:inf|nan|infinity)\b))
    |(?P<name>[A-Za-z_@][\w@.]*)
    |(?P<mark>->|[][(){}<>=,;?])""",
    re.VERBOSE,
)


class Words:
    """The words of one text, read from the front.  Errors name the line."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._end = 0
        self.kind = ""
        self.word = ""
        self.advance()

    def advance(self) -> str:
        """Take the present word and go to the next; kind "" at the end of the text."""
        taken, place = self.word, self._end
        while True:
            match = _WORD.match(self._text, place)
            if match is None:
                if place < len(self._text):
                    self._end = place
                    raise self.error(f"unexpected character {self._text[place]!r}")
                self.kind, self.word, self._end = "", "", place
                return taken
            place = match.end()
            if match.lastgroup:
                self.kind, self.word, self._end = match.lastgroup, match.group(), place
                return taken

    def accept(self, word: str) -> bool:
        """Take `word` if it is next."""
        if self.word != word or self.kind == "string":
            return False
        self.advance()
        return True

    def expect(self, word: str) -> None:
        """Take `word`; MilError when something else is next."""
        if not self.accept(word):
            raise self.error(f"expected {word!r}, found {self.word or 'the end'!r}")

    def name(self) -> str:
        """Take a name."""
        if self.kind != "name" and not (self.kind == "number" and self.word.isalpha()):
            raise self.error(f"expected a name, found {self.word or 'the end'!r}")
        return self.advance()

    def string(self) -> str:
        """Take a quoted string, without its quotes."""
        if self.kind != "string":
            raise self.error(f"expected a string, found {self.word or 'the end'!r}")
        try:
            text = json.loads(self.word, strict=False)
        except ValueError:
            text = self.word[1:-1]
        self.advance()
        return str(text)

    def number(self) -> int | float:
        """Take a number: decimal, hexadecimal (`0x1.8p+1`), inf or nan."""
        if self.kind != "number":
            raise self.error(f"expected a number, found {self.word or 'the end'!r}")
        word = self.advance()
        try:
            if "x" in word.lower():
                return float.fromhex(word) if "p" in word.lower() or "." in word else int(word, 16)
            return int(word) if word.lstrip("+-").isdigit() else float(word)
        except (ValueError, OverflowError):
            raise self.error(f"cannot read the number {word[:40]!r}") from None

    def error(self, message: str) -> MilError:
        """A MilError that says where."""
        line = self._text.count("\n", 0, self._end) + 1
        return MilError(f"{self._source}, line {line}: {message}")
