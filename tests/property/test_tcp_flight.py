"""The ranges in flight agree with a naive model: a dictionary of octets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemes.tcp.scoreboard import ARRIVED, IN_FLIGHT, LOST, Flight

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


def apply(flight: Flight, model: Octets, step: tuple[str, int, int], now: float) -> None:
    what, offset, size = step
    una, nxt = model.una, model.nxt
    left, right = min(una + 1 + offset, nxt), min(una + 1 + offset + size, nxt)
    if what == "send":
        flight.sent(nxt, nxt + size, now)
        model.put(nxt, nxt + size, IN_FLIGHT, now)
        model.nxt += size
    elif what == "mark" and left < right:
        delivered = flight.mark(left, right)
        unknown = [at for at in range(left, right) if model.states[at] != ARRIVED]
        assert sorted(at for one in delivered for at in range(one.start, one.end)) == unknown
        model.put(left, right, ARRIVED)
    elif what == "advance" and nxt > una:
        model.una = min(una + size, nxt)
        delivered = flight.advance(model.una)
        unknown = [at for at in range(una, model.una) if model.states.pop(at) != ARRIVED]
        assert [at for one in delivered for at in range(one.start, one.end)] == unknown
    elif what == "lose":
        for index, one in enumerate(flight.in_order_of_transmission()):
            if (index + offset) % 3 == 0:
                flight.lose(one)
                model.put(one.start, one.end, LOST)
    elif what == "resend" and flight.lost:
        lost = flight.first_lost()
        assert lost is not None
        assert lost.start == min(at for at, state in model.states.items() if state == LOST)
        end = min(lost.start + size, lost.end)
        model.put(lost.start, end, IN_FLIGHT, now)
        flight.resent(lost.start, end, now)
    elif what == "probe" and left < right:
        flight.resent(left, right, now)
        for at in range(left, right):
            if model.states[at] != ARRIVED:
                model.put(at, at + 1, IN_FLIGHT, now)
    elif what == "renege":
        flight.renege()
        model.states = {at: LOST if state == ARRIVED else state for at, state in model.states.items()}
    elif what == "recall":
        flight.recall()
        model.states = {at: IN_FLIGHT if state == LOST else state for at, state in model.states.items()}


@given(STEPS)
def test_flight_agrees_with_a_dictionary_of_octets(steps: list[tuple[str, int, int]]) -> None:
    flight, model = Flight(), Octets()
    for number, step in enumerate(steps):
        apply(flight, model, step, float(number // 2))
        assert (flight.in_flight, flight.arrived, flight.lost) == tuple(
            model.count(state) for state in (IN_FLIGHT, ARRIVED, LOST)
        )
        flying = list(flight.in_order_of_transmission())
        octets = {at: one.sent_at for one in flying for at in range(one.start, one.end)}
        assert octets == {at: model.sent_at[at] for at, state in model.states.items() if state == IN_FLIGHT}
        assert [one.sent_at for one in flying] == sorted(one.sent_at for one in flying)
        first = flight.first()
        assert (first is None) == (not model.states)
        assert first is None or first.start == model.una
        if flight.lost == 0:
            assert flight.first_lost() is None
