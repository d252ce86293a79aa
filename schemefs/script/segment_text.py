"""A TCP segment in words, as tcpdump and packetdrill write it: `S. 0:0(0) ack 1 win 65535 <mss 1460, sackOK>`.

Flags are letters: S SYN, F FIN, R RST, P PSH, . ACK, E ECE, W CWR. Numbers are relative: each side's SYN has 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

FLAGS: Final = {"S": 0x02, "F": 0x01, "R": 0x04, "P": 0x08, ".": 0x10, "E": 0x40, "W": 0x80}
ACK: Final = FLAGS["."]
_PSH: Final = FLAGS["P"]
_RANGE: Final = re.compile(r"(\d+):(\d+)\((\d+)\)")
_PAIR: Final = re.compile(r"(\d+):(\d+)")
_MOST: Final = {"ack": 0xFFFFFFFF, "win": 0xFFFF, "mss": 0xFFFF, "wscale": 14}
LONGEST: Final = 9000  # octets of text


@dataclass(frozen=True, slots=True)
class SegmentText:
    """The fields of a segment. None: the text does not name it."""

    flags: int
    seq: int | None = None
    size: int | None = None  # octets of text
    ack: int | None = None
    win: int | None = None  # as in the header: not scaled
    mss: int | None = None
    wscale: int | None = None
    ts: tuple[int, int] | None = None  # ours are relative to the first one that we have sent
    sack_ok: bool | None = None
    sack: tuple[tuple[int, int], ...] | None = None
    lost: bool = False  # it does not reach the other end

    @property
    def letters(self) -> str:
        """The flags as letters."""
        return "".join(letter for letter, bit in FLAGS.items() if self.flags & bit)

    def __str__(self) -> str:
        """Write it in the notation."""
        seq, size = self.seq or 0, self.size or 0
        words = [self.letters, f"{seq}:{seq + size}({size})"]
        words += [f"{name} {value}" for name, value in (("ack", self.ack), ("win", self.win)) if value is not None]
        options = [f"{name} {value}" for name in ("mss", "wscale") if (value := getattr(self, name)) is not None]
        options += ["sackOK"] if self.sack_ok else []
        options += [f"ts {self.ts[0]}:{self.ts[1]}"] if self.ts else []
        options += ["sack " + " ".join(f"{left}:{right}" for left, right in self.sack)] if self.sack else []
        return " ".join([*words, f"<{', '.join(options)}>"] if options else words)

    def differs_in(self, sent: SegmentText) -> str:
        """Return which named field of this is not so in *sent*, as a clause; empty: none."""
        ignored = 0 if self.flags & _PSH else _PSH
        if sent.flags & ~ignored != self.flags:
            return "its flags differ"
        for name in ("seq", "size", "ack", "win", "mss", "wscale", "ts", "sack_ok", "sack"):
            wanted, found = getattr(self, name), getattr(sent, name)
            if wanted is not None and wanted != found:
                return f"its {_NAMES.get(name, name)} differs"
        return ""


_NAMES: Final = {"size": "length", "sack_ok": "sackOK"}


def parse_segment(text: str) -> SegmentText:
    """Return the segment that *text* describes. ValueError: what is wrong, and what is allowed."""
    words = re.sub(r"[<>,]", " ", text).split()
    if not words or set(words[0]) - set(FLAGS):
        found = repr(words[0]) if words else "nothing"
        message = f"a segment begins with its flags, the letters {' '.join(FLAGS)}, not {found}"
        raise ValueError(message)
    segment = SegmentText(sum(FLAGS[letter] for letter in set(words.pop(0))))
    while words:
        segment = _with_field(segment, words)
    if segment.ack is not None and not segment.flags & ACK:
        message = "ack N comes with the flag . alone"
        raise ValueError(message)
    return segment


def _with_field(segment: SegmentText, words: list[str]) -> SegmentText:
    """Take one field off *words*."""
    word = words.pop(0)
    if match := _RANGE.fullmatch(word):
        first, end, size = map(int, match.groups())
        if end != first + size or size > LONGEST:
            message = f"in FIRST:END(LENGTH), END is FIRST + LENGTH, and LENGTH at most {LONGEST}, not {word!r}"
            raise ValueError(message)
        return replace(segment, seq=first, size=size)
    if word in ("sackOK", "lost", "nosack"):
        changes: dict[str, dict[str, object]] = {"sackOK": {"sack_ok": True}, "lost": {"lost": True}}
        return replace(segment, **changes.get(word, {"sack": ()}))  # type: ignore[arg-type]
    if word in _MOST:
        return replace(segment, **{word: _number(word, words)})  # type: ignore[arg-type]
    if word == "ts":
        pairs = _pairs(word, words, 1)
        return replace(segment, ts=pairs[0])
    if word == "sack":
        return replace(segment, sack=_pairs(word, words, 4))
    message = (
        f"a segment has no {word!r}; it has FIRST:END(LENGTH), ack, win, mss, wscale, sackOK, ts, sack, nosack, lost"
    )
    raise ValueError(message)


def _number(name: str, words: list[str]) -> int:
    text = words.pop(0) if words else ""
    if not (text.isascii() and text.isdigit()) or int(text) > _MOST[name]:
        message = f"{name} is followed by a number from 0 to {_MOST[name]}, not {text!r}"
        raise ValueError(message)
    return int(text)


def _pairs(name: str, words: list[str], most: int) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    while words and len(found) < most and (match := _PAIR.fullmatch(words[0])):
        found.append((int(match[1]) & 0xFFFFFFFF, int(match[2]) & 0xFFFFFFFF))
        del words[0]
    if not found:
        message = f"{name} is followed by {'VALUE:ECHO' if most == 1 else 'LEFT:RIGHT, up to four times'}"
        raise ValueError(message)
    return tuple(found)
