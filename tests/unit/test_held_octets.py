"""What all buffers hold: the marks of a share and of the limit, what is refused at each, and what is told of room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.held_octets import (
    CLOSED,
    FLOOR,
    FULL,
    GROWING,
    SETTLED,
    SMALLEST_LIMIT,
    UNBOUNDED,
    WAITING,
    Account,
    HeldOctets,
    limit_text,
    parse_limit,
)

LIMIT = 64 << 20
SHARE = 16 << 20
MIB = 1 << 20


def rooms(account: Account) -> tuple[bool, int, int, int]:
    return account.may_grow, account.send_room, account.receive_room, account.arrival_room


OPEN = (True, UNBOUNDED, UNBOUNDED, UNBOUNDED)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (7 * MIB, OPEN),
        (9 * MIB, (False, UNBOUNDED, UNBOUNDED, UNBOUNDED)),
        (13 * MIB, (False, 0, UNBOUNDED, UNBOUNDED)),
        (15 * MIB, (False, 0, 0, UNBOUNDED)),
        (17 * MIB, (False, 0, 0, 0)),
    ],
)
def test_a_user_meets_the_marks_of_its_share_and_others_none(held: int, expected: tuple[bool, int, int, int]) -> None:
    whole = HeldOctets(LIMIT)
    user, other, root = whole.account(1000), whole.account(1001), whole.account(0)
    user.put(held)
    assert rooms(user) == expected
    assert rooms(other) == rooms(root) == OPEN
    user.taken(held)
    assert rooms(user) == OPEN


@pytest.mark.parametrize(
    ("held", "level", "expected"),
    [
        (31 * MIB, GROWING, OPEN),
        (33 * MIB, SETTLED, (False, UNBOUNDED, UNBOUNDED, UNBOUNDED)),
        (49 * MIB, WAITING, (False, FLOOR, UNBOUNDED, UNBOUNDED)),
        (57 * MIB, CLOSED, (False, FLOOR, FLOOR, UNBOUNDED)),
        (65 * MIB, FULL, (False, FLOOR, FLOOR, FLOOR)),
    ],
)
def test_beyond_the_limit_each_buffer_keeps_a_little(
    held: int, level: int, expected: tuple[bool, int, int, int]
) -> None:
    whole = HeldOctets(LIMIT)
    root, other = whole.account(0), whole.account(1001)
    root.put(held)
    assert whole.level == level
    assert rooms(root) == rooms(other) == rooms(whole.account(1002)) == expected
    root.taken(held)
    assert rooms(root) == rooms(other) == OPEN


def test_refused_are_told_once_when_there_is_room() -> None:
    whole = HeldOctets(LIMIT)
    told: list[str] = []
    user, other = whole.account(1000), whole.account(1001)
    user.put(SHARE)
    user.refused["a"] = lambda: told.append("a")
    user.taken(MIB // 2)
    assert not told
    user.taken(SHARE // 4)
    assert told == ["a"]
    user.taken(SHARE // 2)
    assert told == ["a"]
    other.refused["b"] = lambda: told.append("b")
    whole.account(0).put(LIMIT)
    other.put(MIB)
    whole.account(0).taken(LIMIT)
    assert told == ["a", "b"]


def test_another_limit_applies_at_once() -> None:
    whole = HeldOctets(LIMIT)
    user = whole.account(1000)
    user.put(9 * MIB)
    whole.set_limit(32 * MIB)
    assert rooms(user) == (False, 0, 0, 0)
    whole.set_limit(4 * LIMIT)
    assert rooms(user) == OPEN


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-MIB, MIB)), max_size=200))
def test_the_sum_is_known_to_one_step_for_each_user(changes: list[tuple[int, int]]) -> None:
    whole = HeldOctets(SMALLEST_LIMIT)
    held = dict.fromkeys(range(4), 0)
    for uid, change in changes:
        change = max(change, -held[uid])
        held[uid] += change
        account = whole.account(uid)
        if change < 0:
            account.taken(-change)
        else:
            account.put(change)
        assert account.held == held[uid]
        assert abs(whole.held - sum(held.values())) <= len(held) * whole.step


@pytest.mark.parametrize(
    ("text", "octets"), [("512M", 512 << 20), ("1G", 1 << 30), ("16777216", 16 << 20), ("20000K", 20000 << 10)]
)
def test_sizes(text: str, octets: int) -> None:
    assert parse_limit(text) == octets
    assert parse_limit(limit_text(octets)) == octets


@pytest.mark.parametrize("text", ["", "M", "1.5G", "-1G", "1T", "²M", "15M", "0", "9" * 30])
def test_bad_sizes_have_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size such as 512M or 1G|is too little; at least 16M is needed"):
        parse_limit(text)
