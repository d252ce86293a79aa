"""Every received frame is used once or dropped for one reason, whatever it is: ARP, IPv4, IPv6, ICMP, UDP, TCP."""

from __future__ import annotations

import os
from contextlib import suppress
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.scheme import Caller, SchemeContext
from schemes.icmp import IcmpScheme
from schemes.icmp.echo import Echo
from schemes.ip.raw import Filter, RawConversation
from schemes.tcp import TcpScheme
from schemes.udp import UdpScheme
from tests.support.any_frames import RAW, AnyFrames
from tests.support.any_frames6 import AnyFrames6
from tests.support.examples import examples
from tests.support.frame_ledger import Ledger, ledger, rows
from tests.support.ip_host import MAC, PEER, PEER_MAC, US
from tests.support.ipv6_host import Ipv6Host

ROOT = Caller(0)
PORTS = (9, 10, 11, 53, 80, 81)
PATHS = (":9,join=239.1.1.1,reuse", ":9,join=239.1.1.1,reuse", ":10,bytes", "10.0.2.2:53", ":11,listen,backlog=2")


class WholeStack(Ipv6Host):
    """ip, icmp, udp and tcp with open conversations of each kind."""

    def __init__(self) -> None:
        super().__init__()
        context = SchemeContext(self.timers, Random(1), Config(), Names("10.0.2.2 peer\n"), LogRings(lambda: 0.0))
        context.services["ip"] = self.network
        self.icmp, self.udp, self.tcp = IcmpScheme(context), UdpScheme(context), TcpScheme(context)
        self.resolve_peer()
        self.frames = 1
        self.now = 1.0
        self.handles = [self.udp.open(path, os.O_RDWR, ROOT, self.now) for path in PATHS]
        self.handles.append(self.tcp.open(":80", os.O_RDWR, ROOT, self.now))
        self.handles.append(self.tcp.open("10.0.2.2:80", os.O_RDWR, ROOT, self.now))
        self.echo = Echo(self.icmp.engine, self.network.path(PEER))
        RawConversation(self.network, RAW, Filter(source=PEER))
        RawConversation(self.network, 1, Filter())
        RawConversation(self.network, 1, Filter(destination=US)).queue_octets = 1024
        self.last = self.ledger()

    def take(self, frame: bytes) -> None:
        """Receive a frame, and check that one more is accounted for."""
        before = self.last
        self.receives(frame, self.now)
        self.frames += 1
        after = self.last = self.ledger()
        assert after.frames == self.frames, (frame.hex(), before, after)
        assert after.used >= before.used, ("dropped for two reasons", frame.hex(), before, after)
        assert after.dropped >= before.dropped

    def ledger(self) -> Ledger:
        """Return the sums of the present counters."""
        held = self.network.ipv4.reassembly.held_fragments + self.network.ipv6.reassembly.held_fragments
        ip = rows(self.network.counters.as_text()) | {"held_fragments": held}
        udp, tcp = self.udp.udp.statistics(), self.tcp.tcp.stats()
        return ledger(ip, rows(self.icmp._statistics()), *(_integers(dict(each)) for each in (udp, tcp)))

    def reasons(self) -> set[str]:
        """Return the reasons that have counted something."""
        shown = rows(self.network.counters.as_text()) | rows(self.icmp._statistics())
        shown |= {f"udp {name}": count for name, count in _integers(self.udp.udp.statistics()).items()}
        return {name.replace("dropped_", "") for name, count in shown.items() if "dropped_" in name and count}


def _integers(shown: dict[str, int | float | str]) -> dict[str, int]:
    return {name: value for name, value in shown.items() if isinstance(value, int)}


def flood(host: WholeStack, random: Random, bursts: int) -> None:
    """Receive any frames, and now and then let time pass, or something be closed."""
    frames = AnyFrames(random, MAC, PEER_MAC, (*PORTS, host.echo._identifier))
    frames6 = AnyFrames6(random, (*PORTS, host.echo._identifier))
    for _ in range(bursts):
        what = random.random()
        if what < 0.01:
            host.until(host.now + 40.0)
            host.now += 40.0
            host.last = host.ledger()
        elif what < 0.02:
            host.network.set_forwarding(not host.network.forwarding, host.now)
        elif what < (0.025 if host.eth0.is_up else 0.1):
            host.eth0.set_up(not host.eth0.is_up, host.now)
        elif what > 0.9995 and host.handles:
            host.handles.pop(random.randrange(len(host.handles))).close(host.now)
        elif what > 0.98:
            with suppress(SchemeError):
                host.echo.write(memoryview(random.randbytes(4)), host.now)
        for frame in (frames if random.random() < 0.5 else frames6).burst():
            host.take(frame)
    host.now += 100.0
    host.until(host.now)
    assert host.ledger().waiting == 0
    assert host.ledger().frames == host.frames


@settings(max_examples=examples(30))
@given(st.randoms(use_true_random=False), st.integers(1, 20))
def test_every_frame_is_used_or_dropped_for_one_reason(random: Random, bursts: int) -> None:
    flood(WholeStack(), random, bursts)


def test_a_long_flood_meets_most_reasons() -> None:
    host = WholeStack()
    flood(host, Random(1), 3000)
    met = host.reasons()
    assert {
        "bad_arp", "unneeded_arp", "bad_checksum", "martian_source", "not_ours", "group_not_joined", "bad_options",
        "source_route", "unknown_protocol", "overlapping_fragment", "duplicate_fragment", "reassembly_timeout",
        "mixed_ecn_fragments", "bad_igmp", "ignored_igmp", "unmatched_error", "unexpected_error", "interface_down",
        "unmatched_reply", "echo_to_broadcast", "unknown_code", "bad_quote", "quote_not_ours", "raw_queue_full",
        "redirect", "source_quench", "unknown_type", "udp no_port", "udp unmatched_error", "udp empty",
        "udp backlog_full", "nd_hop_limit", "nd_bad_address", "unneeded_nd", "bad_nd_checksum", "unknown_option",
        "misplaced_hop_by_hop", "truncated_extension", "extension_chain", "no_next_header", "small_path_mtu",
        "short_first_fragment", "martian_destination", "udp no_checksum",
    } <= met  # fmt: skip
