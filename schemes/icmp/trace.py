"""`icmp/trace/HOST`: the routers on the path, one line per hop, found by echo requests with increasing hop limits.

    trace to 10.9.0.7 (10.9.0.7), 30 hops max, 32(60) bytes
     1  10.0.2.2  0.214ms
     2  *  10.8.0.1  3.120ms
     3  *  *  *
     4  10.9.0.7  4.002ms

A `*` is a probe without an answer in time; each hop is probed up to `tries` times. The trace ends at the destination,
at an error other than "time to live exceeded", or after `hops` routers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemefs.net.error_reason import ErrorReason
from schemes.icmp.error_meaning import describe, reporter_of
from schemes.icmp.text_stream import TextStream

if TYPE_CHECKING:
    from schemefs.net.network_layer import DeliveryError, Path
    from schemefs.timers import Timers
    from schemes.icmp.grammar import TraceOptions
    from schemes.icmp.icmp import Icmp


class Trace(TextStream):
    """One trace to one destination, with one probe at a time."""

    def __init__(self, icmp: Icmp, path: Path, options: TraceOptions, timers: Timers, now: float, uid: int = 0) -> None:
        """Send the first probe. All of them come from the share of *uid*."""
        super().__init__()
        self._uid = uid
        self.destination = path.destination
        self._icmp = icmp
        self._path = path
        self._options = options
        self._payload = bytes(options.size)
        self._hop = 1
        self._misses = 0  # probes of this hop without an answer
        self._sequence = -1
        self._sent_at = now
        self._waiting = False
        self._refused = False  # the link had no room for the next probe
        self._identifier = icmp.register(self)
        address = presentation(path.destination)
        self._timeout = timers.timer(self._missed, f"icmp/trace/{address}")
        self._turn = timers.timer(self._send, f"icmp/trace/{address} turn")
        headers = 28 if len(path.destination) == 4 else 48  # octets of IP and ICMP
        size = f"{options.size}({options.size + headers})"
        self.add_line(f"trace to {address} ({address}), {options.hops} hops max, {size} bytes")
        self._probe(now)

    def _probe(self, now: float) -> None:
        """Send the next probe, when the share of the user allows it."""
        wait = self._icmp.turn_of(self._uid, self._options.size, now)
        if wait:
            self._waiting = False  # an answer to the probe before would come too late
            self._turn.set(now + wait)
        else:
            self._send(now)

    def _send(self, now: float) -> None:
        self._sequence = self._sequence + 1 & 0xFFFF
        self._sent_at, self._waiting = now, True
        self._timeout.set(now + self._options.timeout)
        try:
            sent = self._icmp.send_echo(
                self._path, self._identifier, self._sequence, self._payload, now, hop_limit=self._hop
            )
        except SchemeError as error:
            self._end_trace(f"{self._line_start()}  {error.sentence}")
            return
        if not sent:
            self._timeout.clear()
            self._waiting, self._refused = False, True

    def receive_reply(self, sequence: int, payload: memoryview, hop_limit: int, now: float) -> str:
        """End the trace: the destination has answered."""
        del payload, hop_limit
        if not self._waiting or sequence != self._sequence:
            return "unmatched_reply"
        self._end_trace(self._answered(presentation(self.destination), now))
        return ""

    def receive_error(self, sequence: int, error: DeliveryError, now: float) -> bool:
        """Go on to the next hop after "time to live exceeded"; end the trace at any other error."""
        if not self._waiting or sequence != self._sequence:
            return False
        line = self._answered(reporter_of(error), now)
        if error.reason is ErrorReason.HOP_LIMIT_EXCEEDED:
            self._next_hop(line, now)
        else:
            self._end_trace(f"{line}  {describe(error)}")
        return True

    def transmit_space(self, now: float) -> None:
        """Send the probe that was refused."""
        if self._refused:
            self._refused = False
            self._send(now)

    def end(self, now: float) -> None:
        """Stop probing and release the identifier."""
        del now
        self._timeout.end()
        self._turn.end()
        self._icmp.release(self._identifier)

    def _missed(self, now: float) -> None:
        self._misses += 1
        if self._misses < self._options.tries:
            self._probe(now)
        else:
            self._next_hop(self._line_start(), now)

    def _next_hop(self, line: str, now: float) -> None:
        if self._hop == self._options.hops:
            self._end_trace(line)
            return
        self._timeout.clear()
        self._waiting = False
        self.add_line(line)
        self._hop += 1
        self._misses = 0
        self._probe(now)

    def _end_trace(self, line: str) -> None:
        self._timeout.clear()
        self._turn.clear()
        self._waiting = False
        self.add_line(line)
        self.finish()

    def _answered(self, address: str, now: float) -> str:
        return f"{self._line_start()}  {address}  {(now - self._sent_at) * 1000:.3f}ms"

    def _line_start(self) -> str:
        return f"{self._hop:2d}" + "  *" * self._misses
