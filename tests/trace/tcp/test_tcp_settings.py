"""A setting that can have no effect any more is refused in every state; the sentence says until when it can be set."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable

import pytest

from schemefs.errors import SchemeError
from schemes.tcp.settings import CHECKS
from tests.support import tcp_states
from tests.support.tcp_trace import Trace, accepted, established

VALUES = {
    "nodelay": "1",
    "ecn": "1",
    "hop_limit": "9",
    "dscp": "10",
    "keepalive": "5",
    "keepalive_interval": "5",
    "keepalive_count": "3",
    "user_timeout": "30",
    "advertise_timeout": "300",
    "linger": "5",
    "congestion": "newreno",
    "urgent": "1",
}
KEEPALIVE = {"keepalive", "keepalive_interval", "keepalive_count"}
SENDING = {"nodelay", "user_timeout", "congestion", "urgent"}


def reset(iss: int = 0, irs: int = 0) -> Trace:
    tcp = established(iss=iss, irs=irs)
    tcp.receives("R 1:1(0)")
    return tcp


REFUSED: dict[Callable[..., Trace], set[str]] = {
    tcp_states.syn_sent: {"ecn"},
    tcp_states.simultaneous: {"ecn"},
    tcp_states.busy: {"ecn"},
    tcp_states.fin_wait_1: {"ecn", "nodelay"},  # the FIN has been sent
    tcp_states.fin_wait_2: {"ecn"} | SENDING,
    tcp_states.close_wait: {"ecn"},
    tcp_states.last_ack: {"ecn", "nodelay", "urgent"} | KEEPALIVE,
    tcp_states.closing: {"ecn", "nodelay", "urgent"} | KEEPALIVE,
    tcp_states.time_wait: set(CHECKS),
    reset: set(CHECKS),
}


def change(tcp: Trace, name: str) -> None:
    put = tcp.connection.settings[name].set
    assert put is not None
    put(VALUES[name])


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("state", REFUSED)
def test_a_change_without_effect_is_refused(state: Callable[..., Trace], name: str) -> None:
    tcp = state(iss=Trace.first_number, irs=Trace.first_number)
    before = tcp.connection.settings[name].get()
    if name not in REFUSED[state]:
        change(tcp, name)
        return
    with pytest.raises(SchemeError) as error:
        change(tcp, name)
    assert re.fullmatch(f"{name} has no effect in state {tcp.state}; it can be set [a-zA-Z ]+", error.value.sentence)
    is_over = tcp.state in ("CLOSED", "TIME_WAIT")
    assert error.value.errno == (errno.EISCONN if name == "ecn" and not is_over else errno.ENOTCONN)
    assert tcp.connection.settings[name].get() == before


def test_every_setting_is_tried() -> None:
    assert VALUES.keys() == CHECKS.keys() == accepted().connection.settings.keys() - {"mss"}


@pytest.mark.parametrize("name", VALUES)
def test_all_can_be_set_before_the_syn(name: str) -> None:
    tcp = Trace()
    tcp.connection = tcp.tcp.connect(b"\x0a\0\2\2", 80, 0.0)
    change(tcp, name)


def test_a_bad_value_is_a_bad_value_in_every_state() -> None:
    put = reset().connection.settings["hop_limit"].set
    assert put is not None
    with pytest.raises(ValueError, match="999"):
        put("999")


def test_the_syn_to_the_next_address_may_still_ask_for_ecn() -> None:
    tcp = Trace()
    tcp.connect(alternatives=(b"\x0a\0\2\3",))  # type: ignore[arg-type]
    list(tcp.taken())
    change(tcp, "ecn")
    tcp.icmp(errno.EHOSTUNREACH, hard=True)
    tcp.sends("SEW 0:0(0)")


def test_a_closed_listener_has_no_backlog() -> None:
    tcp = Trace()
    listener = tcp.listen()
    put = listener.settings["backlog"].set
    assert put is not None
    put("5")
    listener.close(0.0)
    with pytest.raises(SchemeError, match="the listener is closed") as error:
        put("6")
    assert (error.value.errno, listener.backlog) == (errno.ENOTCONN, 5)
