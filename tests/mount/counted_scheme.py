"""A scheme with a text that counts how often it is rendered, a text that is different each time, and a private one."""

from __future__ import annotations

from schemefs.scheme import Caller, Scheme, SchemeContext, StaticDirectory, TextFile

TEXT = "".join(f"line {number} of the text\n" for number in range(300))


class CountedText(TextFile):
    """Adds one to `count` at each rendering."""

    count = 0

    def read(self, caller: Caller, now: float) -> bytes:
        del caller, now
        self.count += 1
        return TEXT.encode()


class GrowingText(TextFile):
    """Is one octet longer at each rendering."""

    length = 0

    def read(self, caller: Caller, now: float) -> bytes:
        del caller, now
        self.length += 1
        return b"x" * self.length


class CountedScheme(Scheme):
    """Counts renderings."""

    name = "counted"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        text = CountedText()
        self.root = StaticDirectory(
            {
                "text": text,
                "count": TextFile(lambda: f"{text.count}\n"),
                "growing": GrowingText(),
                "private": TextFile(lambda: "secret\n", mode=0o400),
                "write-only": TextFile(None, lambda _text, _caller, _now: None),
                "err": self.err,
            }
        )
