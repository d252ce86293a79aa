"""What a peer may say to deceive a reader of its words: control sequences of terminals, and forged lines."""

from __future__ import annotations

from typing import Final

CORPUS: Final = (
    "\x1b]0;another title\x07",  # xterm: the title
    "\x1b[2J\x1b[1;1H",  # the screen is cleared
    "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",  # a link
    "\x1bP+q544e\x1b\\",  # DCS: some terminals answer it, as if typed
    "\x1b[21t",  # the title is typed back
    "\x9b31mred",  # CSI in one octet
    "\x9d0;title\x9c",
    "first\n+1.000000 ERROR daemon: forged",
    "first\r\n+1.000000 ERROR daemon: forged",
    "overwritten\rseen",
    "a\x08b",
    "bell\x07",
    "page\x0cbreak",
    "line\x0bfeed",
    "next\x85line",
    "\u2028separator",
    "\u202etxt.exe",  # right to left
    "zero\u200bwidth",
    "\ufeffmark",
    "tag\U000e0001",
    "nul\0",
    "delete\x7f",
)


def is_harmless(line: str) -> bool:
    """Return whether a line may go to a terminal: all of it is printable."""
    return line.isprintable()
