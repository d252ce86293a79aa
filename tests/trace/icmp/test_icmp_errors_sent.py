"""The errors that this host sends about received datagrams, and the errors that it must not send."""

import random
import statistics

import dpkt
import pytest
from icmp_network import PEER, US, Host, datagram, echo_request, error_message, udp_datagram

from schemefs.net.checksum import is_valid
from schemefs.net.error_reason import ErrorReason


class TestErrorsSent:
    """RFC 1122 §3.2.2: the quote, source and destination of an error, and its rate."""

    def report(self, host, about, now=1.0, **more):
        host.engine.report_error(ErrorReason.PORT_UNREACHABLE, memoryview(about), now, **more)
        return host.network.sent

    def test_port_unreachable_quotes_the_datagram(self):
        host = Host()
        about = udp_datagram(source="10.0.2.2", destination="10.0.2.15")
        (sent,) = self.report(host, about)
        assert (sent[12:16], sent[16:20]) == (US, PEER)
        icmp = dpkt.icmp.ICMP(sent[20:])
        assert (icmp.type, icmp.code) == (3, 3)
        assert sent[28:] == about
        assert is_valid(sent[20:])

    def test_the_whole_error_has_at_most_576_octets(self):
        host = Host()
        about = udp_datagram(source="10.0.2.2", destination="10.0.2.15", length=1400)
        (sent,) = self.report(host, about)
        assert len(sent) == 576
        assert about.startswith(sent[28:])

    def test_what_follows_the_datagram_in_its_frame_is_not_quoted(self):
        host = Host()
        about = udp_datagram(source="10.0.2.2", destination="10.0.2.15", length=8)
        (sent,) = self.report(host, about + b"padding")
        assert sent[28:] == about

    def test_the_mtu_of_a_next_hop_is_carried(self):
        host = Host()
        host.engine.report_error(ErrorReason.TOO_BIG, memoryview(udp_datagram("10.0.2.2", "10.0.2.15")), 1.0, mtu=1280)
        assert host.network.sent[0][26:28] == (1280).to_bytes(2, "big")

    @pytest.mark.parametrize(
        ("about", "counter"),
        [
            (datagram(PEER, US, error_message(3, 3, udp_datagram())), "withheld_about_icmp_error"),
            (datagram(PEER, US, error_message(200, 0, b"")), "withheld_about_icmp_error"),
            (datagram(PEER, US, b""), "withheld_about_icmp_error"),
            (udp_datagram("10.0.2.2", "10.0.2.15", fragment=1), "withheld_about_fragment"),
            (udp_datagram("10.0.2.2", "10.0.2.255"), "withheld_about_broadcast"),
            (udp_datagram("10.0.2.2", "224.0.0.251"), "withheld_about_broadcast"),
            (udp_datagram("0.0.0.0", "10.0.2.15"), "withheld_about_source"),
            (udp_datagram("10.0.2.255", "10.0.2.15"), "withheld_about_source"),
            (udp_datagram("224.0.0.1", "10.0.2.15"), "withheld_about_source"),
            (udp_datagram("240.0.0.1", "10.0.2.15"), "withheld_about_source"),
            (udp_datagram("127.0.0.1", "10.0.2.99"), "withheld_about_source"),
            (b"", "withheld_about_garbage"),
            (bytes(40), "withheld_about_garbage"),
        ],
    )
    def test_about_these_none_may_be_sent(self, about, counter):
        host = Host()
        assert self.report(host, about) == []
        assert host.counters()[counter] == 1
        assert host.counters()["icmpStatsOutErrors"] == 1

    def test_first_fragments_and_queries_may_have_errors(self):
        host = Host()
        self.report(host, udp_datagram("10.0.2.2", "10.0.2.15", fragment=0x2000))
        self.report(host, datagram(PEER, US, echo_request()))
        assert len(host.network.sent) == 2

    def test_they_are_rate_limited_to_one_destination_but_not_on_lo(self):
        host = Host()
        about = udp_datagram("10.0.2.2", "10.0.2.15")
        for _ in range(100):
            self.report(host, about)
        assert len(host.network.sent) == 6
        assert host.counters()["withheld_rate_limited"] == 94
        self.report(host, about, now=2.001)
        self.report(host, about, now=2.002)
        assert len(host.network.sent) == 7
        host.network.sent.clear()
        for _ in range(100):
            self.report(host, udp_datagram("127.0.0.1", "127.0.0.1"))
        assert len(host.network.sent) == 100

    def test_all_destinations_share_a_limit_that_is_used_up_at_random(self):
        """Off-path port detection (CVE-2020-25705): the number of errors about others' datagrams must not be seen."""
        totals = set()
        for seed in range(20):
            host = Host()
            host.engine.error_sender._random = random.Random(seed)
            for number in range(300):
                self.report(host, udp_datagram(f"10.0.{number % 200}.77", "10.0.2.15"))
            totals.add(len(host.network.sent))
        assert len(totals) > 5
        assert 40 < statistics.fmean(totals) < 70

    def test_forged_datagrams_to_closed_ports_take_nothing_from_the_other_destinations(self):
        host = Host()
        for _ in range(1000):
            self.report(host, udp_datagram("10.0.2.3", "10.0.2.15"))
        host.network.sent.clear()
        for number in range(6):
            self.report(host, udp_datagram("10.0.2.9", "10.0.2.15"))
            assert len(host.network.sent) == number + 1

    def test_sources_beyond_the_shared_limit_cost_no_memory(self):
        host = Host()
        for number in range(5000):
            self.report(host, udp_datagram(f"10.{number >> 8}.{number & 255}.9", "10.0.2.15"))
        assert len(host.engine.error_sender._to_one) == len(host.network.sent)

    def test_a_flood_of_sources_costs_bounded_memory(self):
        host = Host()
        for number in range(5000):
            source = f"10.{number >> 8}.{number & 255}.9"
            self.report(host, udp_datagram(source, "10.0.2.15"), now=number * 0.002)
        assert len(host.engine.error_sender._to_one) == 1024

    def test_path_mtu_discovery_is_limited_for_all_only(self):
        """Each connection of a client through this router needs an error of its own."""
        host = Host()
        for number in range(30):
            about = memoryview(udp_datagram("10.0.2.2", "192.0.2.1"))
            host.engine.report_error(ErrorReason.TOO_BIG, about, 1.0 + number * 0.01, mtu=1280)
        assert len(host.network.sent) == 30
