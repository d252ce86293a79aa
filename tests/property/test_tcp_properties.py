"""TCP under any input: octets never raise, a RST is never answered, and the queues agree with naive ones."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from schemefs.net.buffer import joined
from schemefs.net.offload import CHECKED
from schemes.tcp import options, wire
from schemes.tcp.reassembly import ReassemblyQueue
from schemes.tcp.receive_buffer import ReceiveBuffer
from schemes.tcp.send_buffer import SendBuffer
from schemes.tcp.sequence import unwrap
from tests.support.examples import examples
from tests.support.tcp_states import STATES, flooded
from tests.support.tcp_trace import PEER, US


def around(number: int) -> st.SearchStrategy[int]:
    """Numbers near the ones that matter, and any."""
    near = st.integers(-3000, 30_000).map(lambda offset: (number + offset) & 0xFFFFFFFF)
    return near | st.integers(0, 0xFFFFFFFF)


flags_and_window = (st.integers(0, 0x1FF), st.integers(0, 65535))
segments = st.lists(
    st.tuples(around(0), around(0), *flags_and_window, st.binary(max_size=44), st.binary(max_size=60)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=examples(400), deadline=None)
@given(make=st.sampled_from([*STATES, flooded]), arriving=segments, pause=st.floats(0, 5))
def test_any_segment_in_any_state(make, arriving, pause: float) -> None:
    """Nothing raises, in any state, nor do the timers afterwards; a RST is never answered."""
    tcp = make()
    for seq, ack, flags, wnd, option_octets, payload in arriving:
        list(tcp.taken())
        option_octets = option_octets[: len(option_octets) // 4 * 4][:40]
        offset = (20 + len(option_octets)) << 10
        octets = wire.HEADER.pack(*tcp.ports, seq, ack, offset | flags, wnd, 0, 0) + option_octets + payload
        tcp.tcp.receive_datagram(PEER, US, memoryview(bytes(20) + octets), 20, 0, 64, CHECKED, tcp.now)
        tcp.timers.on_deadline(tcp.now)
        sent = list(tcp.taken())
        if flags & wire.RST:
            assert not any(one.flags & wire.RST for one in sent)
    tcp.until(tcp.now + pause)
    for connection in tuple(tcp.tcp.connections.values()):
        connection.status(tcp.now)
        connection.fevent(0xFFFF)
        snd, rcv = connection.snd, connection.rcv
        assert snd.una <= snd.nxt
        assert rcv.nxt <= rcv.edge
        assert connection.recovery.pipe >= 0
        assert connection.receive_buffer.size <= connection.receive_buffer.capacity + 127


@settings(max_examples=examples(300), deadline=None)
@given(make=st.sampled_from([*STATES, flooded]), octets=st.binary(max_size=100))
def test_any_octets(make, octets: bytes) -> None:
    tcp = make()
    datagram = memoryview(bytes(20) + octets)
    assert tcp.tcp.receive_datagram(PEER, US, datagram, 20, 0, 64, CHECKED, tcp.now)
    header = bytes((0, tcp.ports[0], tcp.ports[1] >> 8, tcp.ports[1] & 255))
    assert tcp.tcp.receive_datagram(PEER, US, memoryview(bytes(20) + header + octets), 20, 0, 64, CHECKED, tcp.now)


@given(number=st.integers(0, 0xFFFFFFFF), near=st.integers(-(2**40), 2**40))
def test_unwrap_is_nearest_and_congruent(number: int, near: int) -> None:
    found = unwrap(number, near)
    assert (found - number) % 2**32 == 0
    assert -(2**31) <= found - near < 2**31


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60)), max_size=30), st.integers(0, 50))
def test_reassembly_agrees_with_a_bitmap(puts, nxt: int) -> None:
    """Octet i of the stream is i & 255, so copies of an octet are equal, whichever came first."""
    queue = ReassemblyQueue()
    have: set[int] = set()
    for start, size in puts:
        start += 10
        assert queue.put(start, memoryview(bytes(at & 255 for at in range(start, start + size))))
        have |= set(range(start, start + size))
        assert queue.size == len(have)
        blocks = queue.sack_blocks()
        assert start in range(*blocks[0])
        assert all(left - 1 not in have and right not in have and left in have for left, right in blocks)
    taken = b"".join(queue.take(nxt))
    end = nxt
    while end in have:
        end += 1
    if min(have, default=nxt + 1) <= nxt:
        assert taken == bytes(at & 255 for at in range(nxt, max(end, nxt + len(taken))))
        assert len(taken) == end - nxt
    else:
        assert taken == b""


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(1, 9000), max_size=40), st.randoms(use_true_random=False))
def test_send_buffer_agrees_with_octets(sizes: list[int], chance: random.Random) -> None:
    buffer, start, octets_of = SendBuffer(1000), 1000, random.Random(7)  # a draw of so many octets would be too much
    stream = b""
    for size in sizes:
        data = octets_of.randbytes(size)
        taken = buffer.put(memoryview(data))
        stream += data[:taken]
        if chance.random() < 0.5 and buffer.end > buffer.start:
            seq = chance.randrange(buffer.start, buffer.end)
            length = chance.randint(1, buffer.end - seq)
            chunks, octets = buffer.slices(seq, length)
            assert b"".join(chunks) == stream[seq - start : seq - start + octets]
            assert 0 < octets <= length
            assert len(chunks) <= 60
        if chance.random() < 0.3:
            buffer.release(chance.randint(buffer.start, buffer.end))
    rest = b""
    while buffer.start + len(rest) < buffer.end:
        chunks, octets = buffer.slices(buffer.start + len(rest), buffer.end - buffer.start - len(rest))
        rest += b"".join(chunks)
    assert rest == stream[buffer.start - start :]


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(-3000, 40_000), max_size=40))
def test_receive_buffer_agrees_with_octets(steps: list[int]) -> None:
    """Positive: so many octets arrive; negative: so many are read."""
    buffer, waiting, octets_of = ReceiveBuffer(1 << 20), b"", random.Random(7)
    for step in steps:
        if step > 0:
            data = octets_of.randbytes(step)
            buffer.put(memoryview(data))
            waiting += data
        elif step and waiting:
            taken = bytes(joined(buffer.take(-step)))
            assert taken == waiting[: len(taken)]
            assert len(taken) == min(-step, len(waiting))
            waiting = waiting[len(taken) :]
        assert buffer.size == len(waiting)


@given(st.binary(max_size=40))
def test_any_options(octets: bytes) -> None:
    segment = wire.Segment(0, 0, wire.SYN, 0, memoryview(b""), 0)
    wire.parse_options(segment, memoryview(octets), 0, len(octets))
    assert -1 <= segment.scale <= 14


@given(
    st.integers(0, 65535),
    st.none() | st.integers(0, 14),
    st.none() | st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.booleans(),
)
def test_syn_options_there_and_back(
    mss: int, scale: int | None, timestamps: tuple[int, int] | None, sack: bool
) -> None:
    octets = options.syn_options(mss, scale, timestamps, sack_permitted=sack)
    assert len(octets) % 4 == 0
    segment = wire.Segment(0, 0, wire.SYN, 0, memoryview(b""), 0)
    wire.parse_options(segment, memoryview(octets), 0, len(octets))
    assert segment.mss == mss
    assert segment.scale == (-1 if scale is None else scale)
    assert (segment.timestamp, segment.echo) == (timestamps or (-1, 0))
    assert segment.sack_permitted == sack


@given(
    st.none() | st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), max_size=6),
)
def test_ack_options_there_and_back(timestamps: tuple[int, int] | None, blocks: list[tuple[int, int]]) -> None:
    octets = options.ack_options(timestamps, blocks)
    assert len(octets) <= 40
    segment = wire.Segment(0, 0, wire.ACK, 0, memoryview(b""), 0)
    wire.parse_options(segment, memoryview(octets), 0, len(octets))
    assert segment.sack == tuple(blocks[: 3 if timestamps else 4])
    assert (segment.timestamp, segment.echo) == (timestamps or (-1, 0))
