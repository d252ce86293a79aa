"""ICMP errors about our segments, and neighbors that don't answer (RFC 1122 §4.2.3.9, RFC 5927, RFC 1191).

An error is believed when it quotes a sequence number that is in flight. It ends a connect at once, as on Linux; once
a connection is open, a message is too easily forged to end it: it explains a later time-out, and a hard one shortens
the time to R1 of `timeouts`.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.net.error_reason import ErrorReason
from schemes.tcp import closing, output
from schemes.tcp.refusal import DROPPED
from schemes.tcp.sequence import unwrap
from schemes.tcp.states import SYN_RECEIVED, SYN_SENT

if TYPE_CHECKING:
    from schemefs.net.network_layer import DeliveryError
    from schemes.tcp.control_block import ControlBlock

_HARD: Final = (ErrorReason.PROTOCOL_UNREACHABLE, ErrorReason.PORT_UNREACHABLE)
QUOTED: Final = Struct(">HHI")  # ports and sequence number: the eight octets that every ICMP error quotes


def error_arrives(tcb: ControlBlock, error: DeliveryError, now: float) -> None:
    """A segment of this connection was not delivered."""
    if not quotes_what_is_in_flight(tcb, error):
        if error.reporter:  # else it is no ICMP error
            tcb.tcp.statistics.dropped_icmp_out_of_window += 1
            text = "not used: an ICMP error about what is not in flight"
            tcb.log_event(now, text, DROPPED, {"reason": "icmp_out_of_window"})
        return
    if error.errno == errno.EMSGSIZE:
        _mtu_fell(tcb, now)
    elif tcb.state == SYN_SENT:
        after = f"{(now - tcb.opened_at) * 1000:.1f} ms"
        closing.fail(
            tcb, error.errno, f"{error.sentence} (in answer to SYN to {tcb.remote}, after {after})", "icmp_error", now
        )
    elif tcb.state == SYN_RECEIVED and tcb.listener is not None and error.hard:
        tcb.tcp.statistics.abort("icmp_error")
        closing.end(tcb, now)
    else:
        tcb.soft_error = error
        tcb.log_event(now, error.sentence, "transport:icmp_error", {"errno": error.errno})
        tcb.on_changed()


def quotes_what_is_in_flight(tcb: ControlBlock, error: DeliveryError) -> bool:
    """Return whether *error* is about octets in flight (RFC 5927 §4.1); one of our own network layer quotes none."""
    if len(error.transport) < QUOTED.size:
        return True
    snd = tcb.snd
    return snd.una <= unwrap(QUOTED.unpack_from(error.transport)[2], snd.una) <= snd.nxt


def is_hard(error: DeliveryError) -> bool:
    """Return whether it is hard by RFC 9293 §3.9.2.2: protocol or port unreachable."""
    return error.reason in _HARD


def _mtu_fell(tcb: ControlBlock, now: float) -> None:
    """The network layer has a new path MTU: send what did not fit again, in smaller segments (RFC 1191 §6.4).

    A smaller MTU is no sign of congestion: the window stays.
    """
    before, was_locked = tcb.mss, tcb.is_path_locked
    tcb.measure_path()
    cleared = ", DF clear" if tcb.is_path_locked else ""
    text = f"path MTU {tcb.path_mtu}{cleared} -> segments of {tcb.mss} instead of {before}"
    tcb.log_event(now, text, "connectivity:mtu_updated", {"mtu": tcb.path_mtu, "old": before, "new": tcb.mss})
    if (tcb.mss < before or (tcb.is_path_locked and not was_locked)) and tcb.snd.nxt > tcb.snd.una:
        tcb.recovery.mark_all_lost()
        output.transmit(tcb, now)
