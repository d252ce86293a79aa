"""The counters of the network layer: the RFC 4293 system statistics, and discarded datagrams by reason."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from schemefs.log import TRACE
from schemefs.net.drop_samples import DropSamples

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

log = logging.getLogger("schemefs.ip")

# Reason -> the RFC 4293 counter that includes it.
REASONS: Final = {
    "truncated_frame": "in_header_errors",
    "other_mac": "in_discards",
    "unknown_ethertype": "in_discards",
    "interface_down": "in_discards",
    "truncated_header": "in_header_errors",
    "bad_version": "in_header_errors",
    "bad_header_length": "in_header_errors",
    "bad_length": "in_header_errors",
    "truncated": "in_truncated",
    "bad_checksum": "in_header_errors",
    "bad_options": "in_header_errors",
    "source_route": "in_header_errors",
    "martian_source": "in_address_errors",
    "martian_destination": "in_address_errors",
    "not_ours": "in_address_errors",
    "group_not_joined": "in_address_errors",
    "unicast_in_broadcast": "in_address_errors",
    "unknown_protocol": "in_unknown_protocols",
    "bad_fragment": "reassembly_failures",
    "overlapping_fragment": "reassembly_failures",
    "mixed_ecn_fragments": "reassembly_failures",
    "duplicate_fragment": "in_discards",
    "reassembly_timeout": "reassembly_failures",
    "reassembly_memory": "reassembly_failures",
    "bad_arp": "in_discards",
    "unneeded_arp": "in_discards",  # between other hosts, about a neighbor that is not in the table
    "bad_nd_checksum": "in_header_errors",
    "nd_hop_limit": "in_discards",  # not 255: a router has forwarded it, so its sender is not on the link
    "nd_truncated": "in_discards",
    "nd_code": "in_discards",
    "nd_bad_address": "in_discards",
    "nd_bad_option": "in_discards",
    "nd_fragmented": "in_discards",
    "nd_rate": "in_discards",  # more advertisements and redirects than routers send
    "unneeded_nd": "in_discards",  # about no address of this host, and no neighbor that is in the table
    "misplaced_hop_by_hop": "in_header_errors",
    "truncated_extension": "in_truncated",
    "unknown_option": "in_header_errors",
    "extension_chain": "in_header_errors",  # more extension headers, or more options, than a datagram may have
    "no_next_header": "in_discards",
    "short_first_fragment": "reassembly_failures",
    "small_path_mtu": "in_discards",  # ICMPv6 with an MTU below 1280
    "bad_redirect": "in_discards",  # not of the first hop to the destination, or about an address of this host
    "bad_mld": "in_discards",
    "ignored_mld": "in_discards",  # a report or done message that changes nothing here
    "bad_igmp": "in_discards",
    "ignored_igmp": "in_discards",  # a report or leave message that changes nothing here
    "unreachable_neighbor": "out_discards",
    "full_link": "out_discards",
    "full_link_arp": "out_discards",
    "full_link_nd": "out_discards",
    "raw_queue_full": "in_discards",
    "raw_not_read": "in_discards",  # the reader has shut reading down
    "unexpected_error": "in_discards",  # ICMP that would lower a path MTU, about a datagram that this host did not send
    "unmatched_error": "in_discards",  # ICMP about a datagram of a protocol without a transport here
    "not_forwardable": "in_address_errors",
    "hop_limit_exceeded": "in_header_errors",  # RFC 4293: ipSystemStatsInHdrErrors includes them
    "no_route": "in_no_routes",
    "larger_than_mtu": "out_discards",
    "full_neighbor_queue": "out_discards",
}

# Reasons that are found before the link header is removed.
FRAMES: Final = frozenset(
    ("truncated_frame", "other_mac", "unknown_ethertype", "bad_arp", "unneeded_arp", "full_link_arp", "full_link_nd")
)

# Reasons to drop what this host sends or forwards. All others are reasons to drop what it has received.
OUTGOING: Final = frozenset(
    ("unreachable_neighbor", "full_link", "full_link_arp", "full_link_nd", "full_neighbor_queue")
)

# To a group of routers, and this host is none: reports of memberships. As on Linux, they are in InMcastPkts alone.
FOR_ROUTERS: Final = "for_routers"

# What became of received frames and datagrams that no reason counts, and that are not passed to tcp, udp or icmp.
USES: Final = (
    "used_arp",
    "used_nd",  # messages of Neighbor Discovery
    "used_igmp",
    "used_mld",
    "used_raw",  # copies in the queues of `ip/PROTOCOL`
    "used_forwarded",  # passed to the outgoing link
    FOR_ROUTERS,
    "joined_fragments",  # fragments of a whole datagram but one: the datagram counts as one, where it ends
    "raw_copies",  # copies for raw readers: more than one use or reason for one datagram
)

_RFC_4293: Final = {
    "in_receives": "InReceives",
    "in_octets": "InOctets",
    "in_header_errors": "InHdrErrors",
    "in_no_routes": "InNoRoutes",
    "in_address_errors": "InAddrErrors",
    "in_unknown_protocols": "InUnknownProtos",
    "in_truncated": "InTruncatedPkts",
    "in_forwarded": "InForwDatagrams",
    "in_discards": "InDiscards",
    "in_delivers": "InDelivers",
    "out_requests": "OutRequests",
    "out_no_routes": "OutNoRoutes",
    "out_forwarded": "OutForwDatagrams",
    "out_discards": "OutDiscards",
    "reassembly_required": "ReasmReqds",
    "reassembly_oks": "ReasmOKs",
    "reassembly_failures": "ReasmFails",
    "fragmentation_oks": "OutFragOKs",
    "fragmentation_failures": "OutFragFails",
    "fragments_created": "OutFragCreates",
    "out_octets": "OutOctets",
    "in_multicasts": "InMcastPkts",
    "in_multicast_octets": "InMcastOctets",
    "out_multicasts": "OutMcastPkts",
    "out_multicast_octets": "OutMcastOctets",
    "in_broadcasts": "InBcastPkts",
    "out_broadcasts": "OutBcastPkts",
}


class IpCounters:
    """Integers that only grow."""

    __slots__ = (
        *_RFC_4293,
        *USES,
        "dropped",  # reason -> discarded frames and datagrams
        "samples",  # the last one for each reason
    )

    in_receives: int
    in_octets: int
    in_header_errors: int
    in_no_routes: int
    in_address_errors: int
    in_unknown_protocols: int
    in_truncated: int
    in_forwarded: int
    in_discards: int
    in_delivers: int
    out_requests: int
    out_no_routes: int
    out_forwarded: int
    out_discards: int
    reassembly_required: int
    reassembly_oks: int
    reassembly_failures: int
    fragmentation_oks: int
    fragmentation_failures: int
    fragments_created: int
    out_octets: int
    in_multicasts: int
    in_multicast_octets: int
    out_multicasts: int
    out_multicast_octets: int
    in_broadcasts: int
    out_broadcasts: int
    used_arp: int
    used_nd: int
    used_igmp: int
    used_mld: int
    used_raw: int
    used_forwarded: int
    for_routers: int
    joined_fragments: int
    raw_copies: int

    def __init__(self) -> None:
        for name in (*_RFC_4293, *USES):
            setattr(self, name, 0)
        self.dropped = dict.fromkeys(REASONS, 0)
        self.samples = DropSamples()

    def drop(self, reason: str, octets: Buffer = b"", frames: int = 1) -> None:
        """Count a discarded frame, datagram, or its *frames* fragments, under *reason* and in its RFC 4293 counter."""
        self.dropped[reason] += frames
        if octets:
            self.samples.keep(reason, octets, is_frame=reason in FRAMES)
        counter = REASONS[reason]
        setattr(self, counter, getattr(self, counter) + 1)
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "dropped_%s: %d octets, %s", reason, len(octets), bytes(octets[:34]).hex())

    def leave(self, reason: str, datagram: Buffer) -> None:
        """Count a datagram that is not for this host, as dropped unless *reason* is `FOR_ROUTERS`."""
        if reason == FOR_ROUTERS:
            self.for_routers += 1
        else:
            self.drop(reason, datagram)

    def sent_to_many(self, octets: int, *, is_group: bool) -> None:
        """Count a datagram of *octets* octets to a group, or a broadcast."""
        if is_group:
            self.out_multicasts += 1
            self.out_multicast_octets += octets
        else:
            self.out_broadcasts += 1

    def as_text(self) -> str:
        """Return `name=value` lines: the names of RFC 4293, then the drops."""
        values = {shown: getattr(self, name) for name, shown in _RFC_4293.items()}
        values["OutFragReqds"] = self.fragmentation_oks + self.fragmentation_failures
        whole = self.out_requests + self.out_forwarded - self.fragmentation_oks
        values["OutTransmits"] = whole + self.fragments_created
        values |= {name: getattr(self, name) for name in USES}
        values |= {f"dropped_{reason}": count for reason, count in self.dropped.items()}
        return "".join(f"{name}={value}\n" for name, value in values.items())
