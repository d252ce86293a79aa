"""The ranges of the scoreboard agree with a naive model: a dictionary of octets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemes.tcp.scoreboard import IN_FLIGHT, LOST, SACKED, Scoreboard

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "mark", "advance", "lose", "resend", "probe", "renege", "recall"]),
        st.integers(0, 120),
        st.integers(1, 40),
    ),
    max_size=40,
)


class Octets:
    """Every octet's state and when it was sent last, one by one."""

    def __init__(self) -> None:
        self.states: dict[int, int] = {}
        self.sent_at: dict[int, float] = {}
        self.una = self.nxt = 1000

    def put(self, start: int, end: int, state: int, now: float | None = None) -> None:
        for at in range(start, end):
            self.states[at] = state
            if now is not None:
                self.sent_at[at] = now

    def count(self, state: int) -> int:
        return sum(one == state for one in self.states.values())


def apply(scoreboard: Scoreboard, model: Octets, step: tuple[str, int, int], now: float) -> None:
    what, offset, size = step
    una, nxt = model.una, model.nxt
    left, right = min(una + 1 + offset, nxt), min(una + 1 + offset + size, nxt)
    if what == "send":
        scoreboard.sent(nxt, nxt + size, now)
        model.put(nxt, nxt + size, IN_FLIGHT, now)
        model.nxt += size
    elif what == "mark" and left < right:
        delivered = scoreboard.mark_sacked(left, right)
        unknown = [at for at in range(left, right) if model.states[at] != SACKED]
        assert sorted(at for one in delivered for at in range(one.start, one.end)) == unknown
        model.put(left, right, SACKED)
    elif what == "advance" and nxt > una:
        model.una = min(una + size, nxt)
        delivered = scoreboard.advance(model.una)
        unknown = [at for at in range(una, model.una) if model.states.pop(at) != SACKED]
        assert [at for one in delivered for at in range(one.start, one.end)] == unknown
    elif what == "lose":
        for index, one in enumerate(scoreboard.in_transmission_order()):
            if (index + offset) % 3 == 0:
                scoreboard.mark_lost(one)
                model.put(one.start, one.end, LOST)
    elif what == "resend" and scoreboard.lost:
        lost = scoreboard.first_lost()
        assert lost is not None
        assert lost.start == min(at for at, state in model.states.items() if state == LOST)
        end = min(lost.start + size, lost.end)
        model.put(lost.start, end, IN_FLIGHT, now)
        scoreboard.retransmitted(lost.start, end, now)
    elif what == "probe" and left < right:
        scoreboard.retransmitted(left, right, now)
        for at in range(left, right):
            if model.states[at] != SACKED:
                model.put(at, at + 1, IN_FLIGHT, now)
    elif what == "renege":
        scoreboard.reneged()
        model.states = {at: LOST if state == SACKED else state for at, state in model.states.items()}
    elif what == "recall":
        scoreboard.unmark_lost()
        model.states = {at: IN_FLIGHT if state == LOST else state for at, state in model.states.items()}


@given(STEPS)
def test_scoreboard_agrees_with_a_dictionary_of_octets(steps: list[tuple[str, int, int]]) -> None:
    scoreboard, model = Scoreboard(), Octets()
    for number, step in enumerate(steps):
        apply(scoreboard, model, step, float(number // 2))
        assert (scoreboard.in_flight, scoreboard.sacked, scoreboard.lost) == tuple(
            model.count(state) for state in (IN_FLIGHT, SACKED, LOST)
        )
        flying = list(scoreboard.in_transmission_order())
        octets = {at: one.sent_at for one in flying for at in range(one.start, one.end)}
        assert octets == {at: model.sent_at[at] for at, state in model.states.items() if state == IN_FLIGHT}
        assert [one.sent_at for one in flying] == sorted(one.sent_at for one in flying)
        first = scoreboard.first()
        assert (first is None) == (not model.states)
        assert first is None or first.start == model.una
        if scoreboard.lost == 0:
            assert scoreboard.first_lost() is None
