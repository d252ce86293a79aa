"""Payloads cut into fragments, and what a receiver must make of them, for both IP versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from hypothesis import strategies as st

Piece = tuple[int, bytes, bool]
"""Offset in octets, octets, and whether more follow."""

ANY_PIECE = st.tuples(st.integers(0, 20).map(lambda unit: unit * 8), st.binary(max_size=40), st.booleans())


@st.composite
def fragments(draw: st.DrawFn) -> tuple[bytes, list[Piece]]:
    """Return a payload and its fragments in some order, perhaps some of them twice."""
    payload = draw(st.binary(min_size=9, max_size=400))
    cuts = sorted(draw(st.sets(st.integers(1, (len(payload) - 1) // 8), min_size=1, max_size=10)))
    edges = [0, *(cut * 8 for cut in cuts), len(payload)]
    pieces = [(a, payload[a:b], b < len(payload)) for a, b in pairwise(edges)]
    pieces += draw(st.lists(st.sampled_from(pieces), max_size=3))
    return payload, draw(st.permutations(pieces))


def pass_on(pieces: Sequence[Piece], receive: Callable[..., object]) -> int:
    """Let *receive* have each piece; return how many datagrams are whole.

    Duplicates that come after completion begin another datagram, as far as a receiver can see.
    """
    offsets = {offset for offset, _, _ in pieces}
    seen: set[int] = set()
    whole = 0
    for offset, octets, more in pieces:
        receive(offset, octets, more)
        seen.add(offset)
        if seen == offsets:
            whole += 1
            seen.clear()
    return whole


def assert_made_of(payload: bytes, pieces: Sequence[Piece]) -> None:
    """Check that each part of *payload* is one of the pieces, whole and at its offset."""
    at = 0
    while at < len(payload):
        found = [octets for offset, octets, _ in pieces if offset == at and octets and payload[at:].startswith(octets)]
        at += len(max(found, key=len)) if found else 1 << 20
    assert at == len(payload)
