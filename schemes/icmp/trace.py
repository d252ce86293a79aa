"""`icmp/trace/HOST`: the routers on the path, one line per hop, found by echo requests with increasing hop limits.

    trace to 10.9.0.7 (10.9.0.7), 30 hops max, 32(60) bytes
     1  10.0.2.2  0.214ms
     2  *  10.8.0.1  3.120ms
     3  *  *  *
     4  10.9.0.7  4.002ms

A `*` is a probe without an answer in time; each hop is probed up to `tries` times. The trace ends at the destination,
at an error other than "time to live exceeded", or after `hops` routers.

With `probes=3` each hop is probed three times. An address stands before the times of its answers:

     3  10.8.0.1  3.120ms  *  10.8.0.9  3.002ms
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
        self._hop = options.first
        self._sent = 0  # probes of this hop
        self._results = ""  # of this hop so far
        self._address = ""  # of its last answer
        self._end_reason: str | None = None  # the trace ends with this hop; empty: at the destination
        self._sequence = -1
        self._sent_at = now
        self._waiting = False
        self._refused = False  # the link had no room for the next probe
        self._identifier = icmp.register(self)
        address = presentation(path.destination)
        self._timeout = timers.timer(self._missed, f"icmp/trace/{address}")
        self._turn = timers.timer(self._send, f"icmp/trace/{address} turn")
        headers = 28 if len(path.destination) == 4 else 48  # octets of IP and ICMP
        self._length = options.size + headers
        size = f"{options.size}({self._length})"
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
        self._sent += 1
        self._timeout.set(now + self._options.timeout)
        try:
            sent = self._icmp.send_echo(
                self._path,
                self._identifier,
                self._sequence,
                self._payload,
                now,
                hop_limit=self._hop,
                may_fragment=self._options.way.may_fragment(self._length, self._path.mtu),
            )
        except SchemeError as error:
            self._end_reason = error.sentence
            self._end_trace()
            return
        if not sent:
            self._timeout.clear()
            self._sent -= 1
            self._waiting, self._refused = False, True

    def receive_reply(self, sequence: int, payload: memoryview, hop_limit: int, now: float) -> str:
        """End the trace: the destination has answered."""
        del payload, hop_limit
        if not self._waiting or sequence != self._sequence:
            return "unmatched_reply"
        self._end_reason = ""
        self._answered(presentation(self.destination), now)
        return ""

    def receive_error(self, sequence: int, error: DeliveryError, now: float) -> bool:
        """Go on after "time to live exceeded"; end the trace with this hop at any other error."""
        if not self._waiting or sequence != self._sequence:
            return False
        if error.reason is not ErrorReason.HOP_LIMIT_EXCEEDED:
            self._end_reason = describe(error)
        self._answered(reporter_of(error), now)
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
        self._results += "  *"
        self._after_probe(now, is_enough=self._sent >= self._options.tries)

    def _answered(self, address: str, now: float) -> None:
        if address != self._address:
            self._address = address
            self._results += f"  {address}"
        self._results += f"  {(now - self._sent_at) * 1000:.3f}ms"
        self._after_probe(now, is_enough=True)

    def _after_probe(self, now: float, *, is_enough: bool) -> None:
        """Probe the hop again, go on to the next one, or end. *is_enough*: for a trace that does not count probes."""
        self._timeout.clear()
        self._waiting = False
        options = self._options
        if self._sent < options.probes or not (options.probes or is_enough):
            self._probe(now)
        elif self._end_reason is not None or self._hop == options.hops:
            self._end_trace()
        else:
            self.add_line(self._line())
            self._hop += 1
            self._sent, self._results, self._address = 0, "", ""
            self._probe(now)

    def _end_trace(self) -> None:
        self._timeout.clear()
        self._turn.clear()
        self._waiting = False
        self.add_line(self._line() + (f"  {self._end_reason}" if self._end_reason else ""))
        self.finish()

    def _line(self) -> str:
        return f"{self._hop:2d}{self._results}"
