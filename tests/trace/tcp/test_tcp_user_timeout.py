"""The user timeout option: RFC 5482."""

from __future__ import annotations

import pytest

from schemefs.net.offload import CHECKED
from schemes.tcp import options, wire
from schemes.tcp.user_timeout import decode, encode
from tests.support.tcp_trace import OUR_PORT, PEER, US, Trace, established


def told(tcp: Trace) -> list[int]:
    """Return the options of what was sent since the last look, in seconds; 0: a segment without."""
    values = []
    for octets, _ in tcp.network.sent:
        segment = wire.Segment(0, 0, 0, 0, memoryview(b""), 0)
        wire.parse_options(segment, memoryview(octets), 20, octets[12] >> 4 << 2)
        values.append(decode(segment.user_timeout))
    tcp.network.sent.clear()
    return values


def says(tcp: Trace, text: str, seconds: float, now: float = 1.0) -> None:
    """The peer's segment with the option arrives."""
    octets = bytearray(tcp.octets(text))
    header_length = octets[12] >> 4 << 2
    value = encode(seconds) if seconds else 0
    octets[header_length:header_length] = options.user_timeout_option(value)
    octets[12] += 0x10
    tcp._at(now)
    tcp.tcp.receive_datagram(PEER, US, memoryview(bytes(20) + octets), 20, 0, 64, CHECKED, now)
    tcp.timers.on_deadline(now)


def put(tcp: Trace, name: str, value: str) -> None:
    setter = tcp.connection.settings[name].set
    assert setter is not None
    setter(value)
    tcp.timers.on_deadline(tcp.now)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(1, 1), (300, 300), (32767, 32767), (32768, 32820), (10**9, 32767 * 60)]
)
def test_seconds_then_minutes(seconds: int, shown: int) -> None:
    """§3: fifteen bits, and one for the unit."""
    assert decode(encode(seconds)) == shown


def test_it_is_off_unless_asked_for() -> None:
    """§3: ENABLED is false."""
    tcp = Trace()
    tcp.connect()
    assert told(tcp) == [0]
    says(tcp, "S. 0:0(0) ack 1 mss 1000", 300)
    assert tcp.connection.user_timeout == 900
    assert not any(told(tcp))


def test_it_is_in_the_syn_and_in_the_first_ack_after_it() -> None:
    tcp = Trace()
    connection = tcp.tcp.connect(PEER, 80, 0.0)
    tcp.connection = connection
    put(tcp, "advertise_timeout", "300")
    tcp.tcp.begin(connection, 0.0)
    assert told(tcp) == [300]
    tcp.receives("S. 0:0(0) ack 1 mss 1000", now=0.1)
    assert told(tcp) == [300]
    tcp.receives("P. 1:6(5) ack 1", now=0.2)
    tcp.until(1.0)
    assert told(tcp) == [0]


def test_a_listeners_syn_ack_has_it() -> None:
    tcp = Trace()
    tcp.listen()

    def configure(connection) -> None:
        connection.settings["advertise_timeout"].set("120")

    tcp.listener.configure = configure
    tcp.receives("S 0:0(0) mss 1000")
    assert told(tcp) == [120]
    tcp.receives(". 1:1(0) ack 1")
    assert tcp.listener.pending() == 1


@pytest.mark.parametrize(
    ("ours", "theirs", "becomes"),
    [
        ("300", 200, 300.0),  # the larger of both
        ("300", 1000, 1000.0),
        ("5", 7, 100.0),  # L_LIMIT
        ("300", 10**7, 86400.0),  # U_LIMIT
    ],
)
def test_both_adapt(ours: str, theirs: int, becomes: float) -> None:
    """§3.1: min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT))."""
    tcp = established()
    put(tcp, "advertise_timeout", ours)
    says(tcp, ". 1:1(0) ack 1", theirs)
    assert tcp.connection.status(1.0)["user_timeout"] == becomes


def test_a_time_out_set_by_hand_stays() -> None:
    """§3: CHANGEABLE is false once the application has set USER_TIMEOUT."""
    tcp = established()
    put(tcp, "user_timeout", "30")
    put(tcp, "advertise_timeout", "300")
    says(tcp, ". 1:1(0) ack 1", 500)
    assert tcp.connection.user_timeout == 30


def test_the_peers_value_outlives_a_change_of_ours() -> None:
    """§3.1: it is the larger of both, whichever was set last; and 0 turns the option off."""
    tcp = established()
    put(tcp, "advertise_timeout", "300")
    says(tcp, ". 1:1(0) ack 1", 1000)
    put(tcp, "advertise_timeout", "500")
    assert tcp.connection.user_timeout == 1000
    put(tcp, "advertise_timeout", "0")
    assert tcp.connection.user_timeout == 900


def test_what_the_peer_says_does_not_hold_what_its_user_has_closed() -> None:
    """The peer may ask for a day while the user waits; the user has closed."""
    tcp = established()
    put(tcp, "advertise_timeout", "100")
    says(tcp, ". 1:1(0) ack 1", 10**7)
    tcp.write(bytes(1000), now=2.0)
    tcp.connection.close(2.0)
    says(tcp, ". 1:1(0) ack 1", 10**6, now=2.5)
    assert tcp.connection.user_timeout == 900
    tcp.until(903.0)
    assert tcp.state == "CLOSED"
    assert tcp.timers.pending == 0


def test_what_the_user_tells_holds_it_also_when_closed() -> None:
    tcp = established()
    put(tcp, "advertise_timeout", "2000")
    says(tcp, ". 1:1(0) ack 1", 10**7)
    tcp.connection.close(2.0)
    assert tcp.connection.user_timeout == 2000


def test_it_is_told_when_it_is_known() -> None:
    """Not with the time of the last segment, which is long ago, or 0.0 when none has come."""
    tcp = Trace()
    lines: list[tuple[float | None, str]] = []
    tcp.connection = tcp.tcp.connect(PEER, 80, 0.0)
    tcp.connection.record_to(lambda now, text, *_: lines.append((now, text)))
    put(tcp, "advertise_timeout", "300")
    assert lines == [(None, "user timeout 300 s: ours 300, the peer's not given")]
    tcp.tcp.begin(tcp.connection, 0.0)
    lines.clear()
    says(tcp, "S. 0:0(0) ack 1 mss 1000", 400, now=7.0)
    assert [line for line in lines if "user timeout" in line[1]] == [
        (7.0, "user timeout 400 s: ours 300, the peer's 400")
    ]


def test_zero_means_nothing() -> None:
    tcp = established()
    put(tcp, "advertise_timeout", "300")
    says(tcp, ". 1:1(0) ack 1", 0)
    assert tcp.connection.user_timeout == 300


def test_a_change_is_told_at_once_and_never_with_text() -> None:
    """Its segments are as long as the path allows already."""
    tcp = established(mss=1000, options_text="ts 1:0 sackOK")
    put(tcp, "advertise_timeout", "300")
    assert told(tcp) == [300]
    tcp.connection.timeout_due = True
    tcp.write(bytes(5000), now=1.0)
    assert told(tcp) == [0]
    put(tcp, "advertise_timeout", "0")
    tcp.until(5.0)
    assert not any(told(tcp))


def test_beside_timestamps_there_is_room_for_two_sack_blocks() -> None:
    tcp = established(options_text="ts 1:0 sackOK")
    for seq in (1001, 3001, 5001, 7001):
        tcp.receives(f"P. {seq}:{seq + 10}(10) ack 1 ts 2:0", now=1.0)
    list(tcp.taken())
    tcp.connection.timeout_due = True
    tcp.connection.advertised_timeout = 300.0
    tcp.receives("P. 9001:9011(10) ack 1 ts 2:0", now=1.1)
    ((octets, _),) = tcp.network.sent
    assert octets[12] >> 4 << 2 <= 60
    assert told(tcp) == [300]


def test_the_path_option() -> None:
    tcp = Trace()
    tcp.listen()
    assert OUR_PORT
    connection = tcp.tcp.connect(PEER, 80, 0.0)
    connection.settings["advertise_timeout"].set("")  # type: ignore[misc] # the bare word
    assert connection.advertised_timeout == 900
