"""Two whole stacks over a simulated network, everything drawn from one seed, and what must be true of every run.

    Simulation(7).run()         raises Violation, with the seed, the impairments and the last lines of the trace

What is checked:

    octets      what was written is what was read, both ways; a path that drops large datagrams without an ICMP error
                may end in a time-out, but what was read until then is the beginning of what was written
    end         both ends close; no timer, no connection and no other object of one is left behind
    stalls      no silence on the wire that no RTO explains
    storms      no more octets sent than 1.5 times what was written or lost, no more ACKs than segments explain
    memory      what waits, in order and out of order, stays below the buffers
"""

from __future__ import annotations

import errno
import gc
import random
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from narrow_path import NarrowPath
from trace_lines import line_of, payload_of

from schemes.tcp.congestion import CONTROLS
from schemes.tcp.connection import Connection
from tests.support.tcp_pair import Pair, User, WireImpairment, sha256

if TYPE_CHECKING:
    from schemefs.testing.wire import WireLink
    from schemes.tcp.listener import Listener

TRACE_LINES = 200
STORM = 1.5  # octets on the wire for each that was written or lost
SLACK_SEGMENTS = 40  # of a storm: probes, and what reordering makes look lost
MAX_SECONDS = 40_000.0  # of virtual time
DELAYED_ACK = 0.040


class Violation(AssertionError):
    """Something that must be true was not."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One seed's case."""

    seed: int
    there: WireImpairment
    back: WireImpairment
    mtu: int
    family: int  # 6 by every other seed, where the link can carry it
    octets: int
    answer: int
    read_size: int
    congestion: str
    iss: int  # -1: as the stack chooses
    narrow: int  # the MTU of the path, both ways, from `narrow_at` on; 0: it stays what it is
    narrow_at: float
    is_told: bool  # a router says "fragmentation needed"; else it is a black hole


def plan(seed: int) -> Plan:
    """Draw a case. Each impairment is drawn sometimes, all of them at once rarely."""
    draw = random.Random(seed)
    there = _impairment(draw)
    back = _impairment(draw) if draw.random() < 0.3 else replace(there)
    mtu = draw.choice((576, 1280, 1500, 1500, 1500, 9000))
    case = Plan(
        seed,
        there,
        back,
        mtu=mtu,
        family=6 if seed % 2 and mtu >= 1280 else 4,
        octets=_much_or_little(draw, 5.8),
        answer=_much_or_little(draw, 5.3) if draw.random() < 0.6 else 0,
        read_size=draw.choice((1 << 20, 1 << 20, 65536, 777)),
        congestion=draw.choice(tuple(CONTROLS)),
        iss=2**32 - draw.randrange(1, 100_000) if draw.random() < 0.3 else -1,
        narrow=0,
        narrow_at=10 ** draw.uniform(-2, 1),
        is_told=draw.random() < 0.8,
    )
    least = 1280 if case.family == 6 else 576
    return replace(case, narrow=max(case.mtu * 2 // 3, least)) if draw.random() < 0.15 else case


def _much_or_little(draw: random.Random, most: float) -> int:
    return int(10 ** (draw.uniform(0, 3) if draw.random() < 0.2 else draw.uniform(4, most)))


def _impairment(draw: random.Random) -> WireImpairment:
    def sometimes(chance: float, value: float) -> float:
        return value if draw.random() < chance else 0.0

    impairment = WireImpairment(delay=10 ** draw.uniform(-4, -0.8))
    impairment.loss = sometimes(0.5, draw.uniform(0, 0.3) ** 1.5 * 1.82)
    impairment.burst = sometimes(0.15, 0.005)
    impairment.outage = 10 ** draw.uniform(-4, -0.3)
    impairment.jitter = sometimes(0.4, impairment.delay * draw.uniform(0, 1))
    impairment.reordering = sometimes(0.3, draw.uniform(0, 0.3))
    impairment.detour = impairment.delay * draw.uniform(0.1, 2)
    impairment.duplication = sometimes(0.3, draw.uniform(0, 0.2))
    impairment.corruption = sometimes(0.3, draw.uniform(0, 0.1))
    impairment.late_copy = sometimes(0.2, draw.uniform(0, 0.1))
    if draw.random() < 0.3:
        impairment.rate = 10 ** draw.uniform(5, 7)
        impairment.queue = draw.choice((10, 50, 1000))
    return impairment


class _Numbers:
    """Initial numbers near where they wrap."""

    def __init__(self, iss: int) -> None:
        self.iss = iss

    def choose(self, _ends: bytes, _now: float) -> tuple[int, int]:
        return self.iss, 2**32 - 10


class Side:
    """What one end has put on the wire."""

    def __init__(self) -> None:
        self.sent_octets = self.lost_octets = 0
        self.sent_segments = self.sent_acks = 0


class Simulation:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.plan = plan(seed)
        self.pair = Pair(
            seed, replace(self.plan.there), mtu=self.plan.mtu, back=replace(self.plan.back), family=self.plan.family
        )
        self.trace: deque[str] = deque(maxlen=TRACE_LINES)
        self.sides = {"left": Side(), "right": Side()}
        self.last_frame_at = 0.0
        self.silence_allowed = 3.0
        self.pair.wire.watchers.append(self._sent)
        self.pair.wire.loss_watchers.append(self._lost)
        self.pair.left.default_congestion = self.pair.right.default_congestion = self.plan.congestion
        if self.plan.narrow:
            NarrowPath(self.pair, self.plan.narrow, self.plan.narrow_at, is_told=self.plan.is_told)
        if self.plan.iss >= 0:
            self.pair.left.numbers = self.pair.right.numbers = _Numbers(self.plan.iss)  # type: ignore[assignment]

    # What is seen on the wire

    def _sent(self, link: WireLink, frame: bytes, now: float) -> None:
        self.trace.append(line_of(link.name, frame, now))
        side, size = self.sides[link.name], payload_of(frame)
        side.sent_octets += size
        side.sent_segments += bool(size)
        side.sent_acks += not size
        self.last_frame_at = now

    def _lost(self, link: WireLink, frame: bytes, now: float) -> None:
        self.trace[-1] += "  <- lost or damaged"
        self.sides[link.name].lost_octets += payload_of(frame)

    # The run

    def run(self) -> None:
        """Send both ways at once, close, and look at what is left."""
        pair, case = self.pair, self.plan
        listener = pair.listen()
        listener.backlog = 4096
        client, server = self._open(listener)
        there, back = pair.random.randbytes(case.octets), pair.random.randbytes(case.answer)
        users = (User(pair, client, there, case.read_size), User(pair, server, back, case.read_size))
        self._converse(users)
        left, right = users
        self._check_octets(left, right, there, back)
        self._check_storm("left", client, case.octets, case.answer)
        self._check_storm("right", server, case.answer, case.octets)
        client.close(pair.now)
        server.close(pair.now)
        listener.close(pair.now)
        pair.passes(2000.0)
        states = [end.status(pair.now)["state"] for end in (client, server)]
        self._check(states == ["CLOSED", "CLOSED"], f"close: {states}")
        self._check(not pair.left.connections and not pair.right.connections, "connections are left")
        self._check(pair.timers.pending == 0, f"{pair.timers.pending} timers are left")
        del client, server, listener, left, right, users
        self._check_memory()

    def _open(self, listener: Listener) -> tuple[Connection, Connection]:
        """Connect; again, when everything of a handshake was lost until the listener gave up, after a minute."""
        pair = self.pair
        for _ in range(5):
            client = pair.connect()
            pair.until(lambda: bool(listener.pending()) or client.state == "CLOSED", 400.0)  # noqa: B023
            self._check(client.state != "CLOSED", f"no handshake: {client.error}")
            pair.until(lambda: client.state == "ESTABLISHED", 400.0)  # noqa: B023
            server = listener.accept(pair.now)
            if server is not None:
                return client, server
            client.abort(pair.now)
        self._check(False, "five handshakes were lost")
        raise AssertionError

    def _converse(self, users: tuple[User, User]) -> None:
        pair, timers = self.pair, self.pair.timers
        ends = [user.connection for user in users]
        slowest = self._slowest_transit()
        self.last_frame_at = pair.now
        while not all([user.acts() for user in users]) and not any(end.error for end in ends):
            deadline = timers.next_deadline()
            allowed = max(end.rtt.rto for end in ends) + slowest + DELAYED_ACK
            silence = deadline - self.last_frame_at
            self._check(silence <= allowed + 1e-6, f"silent for {silence:.3f} s where {allowed:.3f} s are explained")
            self._check(deadline < MAX_SECONDS, "too slow")
            pair.now = max(deadline, pair.now)
            timers.on_deadline(pair.now)
            for end in ends:
                # What has been offered is taken, up to a unit of the window scale and one of RFC 7323's roundings.
                kept = end.receive_buffer.size + end.reassembly.size
                self._check(
                    kept <= end.receive_buffer.capacity + 256,
                    f"{kept} octets wait, for {end.receive_buffer.capacity} allowed",
                )

    def _slowest_transit(self) -> float:
        slowest = 0.0
        for impairment in (self.plan.there, self.plan.back):
            queueing = (impairment.queue + 1) * self.plan.mtu / impairment.rate
            slowest = max(slowest, impairment.delay + impairment.jitter + impairment.detour + queueing)
        return slowest

    def _check_octets(self, left: User, right: User, there: bytes, back: bytes) -> None:
        case, errors = self.plan, {left.failed(), right.failed()} - {0}
        if errors and case.narrow and not case.is_told:
            there, back = there[: right.received], back[: left.received]
            errors -= {errno.ETIMEDOUT}
        self._check(not errors, f"failed: {left.connection.error!r}, {right.connection.error!r}")
        self._check(right.digest.digest() == sha256(there), "octets from left to right differ")
        self._check(left.digest.digest() == sha256(back), "octets from right to left differ")

    def _check_memory(self) -> None:
        """Whatever of a connection's still refers to it would keep it: a timer, a table, a link's queue."""
        gc.collect()
        kept = [one for one in gc.get_objects() if type(one) is Connection and one.tcp.timers is self.pair.timers]
        self._check(not kept, f"{len(kept)} connections are kept in memory")

    def _check_storm(self, name: str, end: Connection, octets: int, arriving: int) -> None:
        side, other = self.sides[name], self.sides["right" if name == "left" else "left"]
        explained = STORM * (octets + side.lost_octets) + SLACK_SEGMENTS * end.mss
        self._check(side.sent_octets <= explained, f"{name} sent {side.sent_octets} octets, {explained:.0f} explained")
        acks = STORM * (other.sent_segments * 1.3 + other.sent_acks + arriving / self.plan.read_size) + SLACK_SEGMENTS
        self._check(side.sent_acks <= acks, f"{name} sent {side.sent_acks} ACKs, {acks:.0f} explained")

    def _check(self, ok: bool, sentence: str) -> None:
        if not ok:
            raise Violation(f"seed {self.plan.seed}, at {self.pair.now:.6f}: {sentence}\n{self.plan}\n{self.replay()}")

    def replay(self) -> str:
        """Return how to see it again, and the last lines of what was on the wire."""
        return "\n".join((*self.trace, f"replay: ./dev sim --seed {self.plan.seed}"))
