"""`icmp/ping/HOST`: the output of ping(8) as a file. Probes begin when the file is opened and stop when it is closed.

    PING 10.0.2.2 (10.0.2.2) 56(84) bytes of data.
    From 10.0.2.2 icmp_seq=0 ttl=64 time=0.214ms
    From 10.0.2.2 icmp_seq=0 ttl=64 time=0.302ms (DUP!)
    From 10.0.2.2 icmp_seq=1 timeout
    From 10.0.2.2 icmp_seq=1 ttl=64 time=5012.770ms (late)
    From 10.0.2.15 icmp_seq=2 Destination Host Unreachable
    --- 10.0.2.2 ping statistics ---
    3 packets transmitted, 1 packets received, +1 duplicates, +1 late, 66.67% packet loss
    rtt min/avg/max = 0.214/0.214/0.214 ms

A write of `stop` ends the probes: the statistics so far are the end of the text, as after Ctrl-C in ping(8). So does
the deadline, if there is one; until then probes are sent until `count` of them are answered, or an error arrives.

It uses three timers: for the next probe, for the oldest probe without an answer, and for the deadline.
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemefs.readiness import readiness
from schemes.icmp.error_meaning import describe, reporter_of
from schemes.icmp.text_stream import TextStream

if TYPE_CHECKING:
    from schemefs.net.network_layer import DeliveryError, Path
    from schemefs.timers import Timers
    from schemes.icmp.grammar import PingOptions
    from schemes.icmp.icmp import Icmp

_MAX_FINISHED: Final = 1024  # finished probes that are kept, to recognize late replies and duplicates
_STOP: Final = "stop"
_FLOOD_INTERVAL: Final = 0.01  # seconds; without an interval, an answer sends the next probe before that


class Ping(TextStream):
    """One run of probes to one destination."""

    def __init__(self, icmp: Icmp, path: Path, options: PingOptions, timers: Timers, now: float, uid: int = 0) -> None:
        """Send the first probe. All of them come from the share of *uid*."""
        super().__init__()
        self._uid = uid
        self._has_turn = False  # the share allows the next probe
        self.destination = path.destination
        self._icmp = icmp
        self._path = path
        self._options = options
        self._address = presentation(path.destination)
        self._payload = bytes(octet & 0xFF for octet in range(options.size))
        self._transmitted = 0
        self._refused = False  # the link had no room for the next probe
        # Send time by sequence number of the probes without an answer, oldest first. In a dict, finding the first item
        # takes longer the more items before it were deleted; 65,536 probes may wait and 1,000 a second time out.
        self._sent_at: OrderedDict[int, float] = OrderedDict()
        self._finished_probes: dict[int, tuple[float, bool]] = {}  # oldest first: send time, whether it was answered
        self._received = self._duplicates = self._late = 0
        self._has_error = False  # an error about a probe has arrived
        self._rtt_sum = self._rtt_max = 0.0
        self._rtt_min = float("inf")
        self._identifier = icmp.register(self)
        self._next_probe = timers.timer(self._probe, f"icmp/ping/{self._address}")
        self._oldest_timeout = timers.timer(self._give_up_oldest, f"icmp/ping/{self._address} timeout")
        self._deadline = timers.timer(self._stop, f"icmp/ping/{self._address} deadline")
        if options.deadline:
            self._deadline.set(now + options.deadline)
        headers = 28 if len(path.destination) == 4 else 48  # octets of IP and ICMP
        self._length = options.size + headers
        self.add_line(f"PING {self._address} ({self._address}) {options.size}({self._length}) bytes of data.")
        self._probe(now)

    def _probe(self, now: float) -> None:
        """Send the next probe and arm the timer of the one after it."""
        options = self._options
        if self.is_full:  # the reader does not read: send no probes, to limit the daemon's memory
            self._next_probe.set(now + (options.interval or _FLOOD_INTERVAL))
            return
        if not self._has_turn:
            self._has_turn = True
            wait = self._icmp.turn_of(self._uid, options.size, now)
            if wait:
                self._next_probe.set(now + wait)
                return
        sequence = self._transmitted & 0xFFFF
        self._finished_probes.pop(sequence, None)  # the sequence numbers have wrapped
        self._sent_at.pop(sequence, None)  # else it would keep its old place in the order
        self._sent_at[sequence] = now  # before sending: on lo the reply arrives before `send_echo` returns
        self._transmitted += 1
        try:
            sent = self._icmp.send_echo(
                self._path,
                self._identifier,
                sequence,
                self._payload,
                now,
                hop_limit=options.ttl,
                may_fragment=options.way.may_fragment(self._length, self._path.mtu),
            )
        except SchemeError as error:
            del self._sent_at[sequence]
            sent = True
            self._has_error = True
            self.add_line(f"From {presentation(self._path.source)} icmp_seq={sequence} {error.sentence}")
        if not sent:
            del self._sent_at[sequence]
            self._transmitted -= 1
            self._refused = True
            return
        self._has_turn = False
        self._finish_if_done(now)
        if self._finished:
            return
        self._arm_timeout()
        if options.deadline or self._transmitted != options.count:
            is_answered = sequence in self._finished_probes
            self._next_probe.set(now + (options.interval or (0.0 if is_answered else _FLOOD_INTERVAL)))

    def write(self, data: memoryview, now: float) -> int:
        """Take `stop`. Probes without an answer then count as lost, as those of ping(8). EINVAL: another word."""
        word = bytes(data).decode(errors="backslashreplace").strip()
        if word != _STOP:
            raise SchemeError(errno.EINVAL, f"{word!r} is not a verb of ping; the verb is: {_STOP}")
        self._stop(now)
        return len(data)

    def _stop(self, now: float) -> None:
        """End with the statistics so far."""
        del now
        if self._finished:
            return
        self._next_probe.clear()
        self._oldest_timeout.clear()
        self._deadline.clear()
        self._refused = False
        self._sent_at.clear()  # an answer from now on adds no line
        self._add_statistics()

    def fevent(self, interest: int) -> int:
        """Return IN and RDHUP as other texts; OUT always: `stop` never waits."""
        return super().fevent(interest) | readiness(interest, writable=True)

    def receive_reply(self, sequence: int, payload: memoryview, hop_limit: int, now: float) -> str:
        """Add a line with the round-trip time."""
        sent_at = self._sent_at.pop(sequence, None)
        if sent_at is None:
            return self._receive_another(sequence, hop_limit, now)
        self._remember(sequence, sent_at, answered=True)
        rtt = (now - sent_at) * 1000
        self._received += 1
        self._rtt_sum += rtt
        self._rtt_min = min(self._rtt_min, rtt)
        self._rtt_max = max(self._rtt_max, rtt)
        differs = "" if payload == self._payload else " (payload differs)"
        self.add_line(f"From {self._address} icmp_seq={sequence} ttl={hop_limit} time={rtt:.3f}ms{differs}")
        self._settle(now)
        return ""

    def _settle(self, now: float) -> None:
        """Go on after an answer or an error: without an interval at once, unless the share makes the probe wait."""
        self._arm_timeout()
        self._finish_if_done(now)
        if not self._options.interval and not self._has_turn and self._next_probe.armed:
            self._next_probe.set(now)

    def _receive_another(self, sequence: int, hop_limit: int, now: float) -> str:
        """Add a line for a duplicate or late reply."""
        if sequence not in self._finished_probes or self._finished:
            return "unmatched_reply"
        sent_at, answered = self._finished_probes[sequence]
        if answered:
            self._duplicates += 1
        else:
            self._late += 1
            self._finished_probes[sequence] = sent_at, True
        rtt = (now - sent_at) * 1000
        word = "DUP!" if answered else "late"
        if not self.is_full:  # the peer decides how many duplicates arrive
            self.add_line(f"From {self._address} icmp_seq={sequence} ttl={hop_limit} time={rtt:.3f}ms ({word})")
        self._finish_if_done(now)
        return ""

    def _remember(self, sequence: int, sent_at: float, *, answered: bool) -> None:
        self._finished_probes[sequence] = sent_at, answered
        if len(self._finished_probes) > _MAX_FINISHED:
            del self._finished_probes[next(iter(self._finished_probes))]

    def receive_error(self, sequence: int, error: DeliveryError, now: float) -> bool:
        """Add a line with the error about a probe and the host that reported it."""
        if self._sent_at.pop(sequence, None) is None:
            return False
        self.add_line(f"From {reporter_of(error)} icmp_seq={sequence} {describe(error)}")
        self._has_error = True
        self._settle(now)
        return True

    def transmit_space(self, now: float) -> None:
        """Send the probe that was refused."""
        if self._refused:
            self._refused = False
            self._probe(now)

    def end(self, now: float) -> None:
        """Stop probing and release the identifier."""
        del now
        self._next_probe.end()
        self._oldest_timeout.end()
        self._deadline.end()
        self._icmp.release(self._identifier)

    def _give_up_oldest(self, now: float) -> None:
        while self._sent_at:
            sequence, sent_at = next(iter(self._sent_at.items()))
            if sent_at + self._options.timeout > now:
                break
            del self._sent_at[sequence]
            self._remember(sequence, sent_at, answered=False)
            self.add_line(f"From {self._address} icmp_seq={sequence} timeout")
        self._arm_timeout()
        self._finish_if_done(now)

    def _arm_timeout(self) -> None:
        # All probes have the same timeout, so the oldest expires first.
        oldest = next(iter(self._sent_at.values()), None)
        if oldest is None:
            self._oldest_timeout.clear()
        else:
            self._oldest_timeout.set(oldest + self._options.timeout)

    def _finish_if_done(self, now: float) -> None:
        if self._finished:
            return
        if self._options.deadline:
            if self._has_error or 0 < self._options.count == self._received + self._late:
                self._stop(now)
        elif not self._sent_at and 0 < self._transmitted == self._options.count:
            self._add_statistics()

    def _add_statistics(self) -> None:
        loss = 100 * (1 - self._received / self._transmitted) if self._transmitted else 0.0
        self.add_line(f"--- {self._address} ping statistics ---")
        extra = f", +{self._duplicates} duplicates" if self._duplicates else ""
        extra += f", +{self._late} late" if self._late else ""
        received = f"{self._received} packets received{extra}"
        self.add_line(f"{self._transmitted} packets transmitted, {received}, {loss:.2f}% packet loss")
        if self._received:
            average = self._rtt_sum / self._received
            self.add_line(f"rtt min/avg/max = {self._rtt_min:.3f}/{average:.3f}/{self._rtt_max:.3f} ms")
        self.finish()
