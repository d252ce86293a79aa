"""Neighbor Discovery messages: what is built parses back, and any octets give a message or BadMessageError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.net.addresses import network_of, packed
from schemes.ip.v6 import nd_messages as nd
from schemes.ip.v6 import nd_options
from schemes.ip.v6.scopes import ALL_NODES, ANY, solicited_node

ROUTER = packed("fe80::1")
HOST = packed("fe80::2")
MAC = bytes.fromhex("020000000001")
PARSERS = {
    nd.ROUTER_SOLICITATION: nd.parse_router_solicitation,
    nd.ROUTER_ADVERTISEMENT: nd.parse_router_advertisement,
    nd.NEIGHBOR_SOLICITATION: nd.parse_neighbor_solicitation,
    nd.NEIGHBOR_ADVERTISEMENT: nd.parse_neighbor_advertisement,
    nd.REDIRECT: nd.parse_redirect,
}

UNICAST = st.binary(min_size=16, max_size=16).filter(lambda a: a[0] != 0xFF and any(a[:15]))
MACS = st.sampled_from([b"", MAC, bytes.fromhex("0a0000000002")])
U32 = st.integers(0, 2**32 - 1)
LABELS = st.text("abcXYZ019-_", min_size=1, max_size=63)
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(".".join).filter(lambda name: len(name) < 253)


@st.composite
def networks(draw):
    length = draw(st.integers(0, 128))
    network = network_of(draw(UNICAST), length)
    return (network, length) if network[0] != 0xFF else (bytes(16), 0)


PREFIXES = st.builds(
    lambda network, *rest: nd_options.Prefix(*network, *rest), networks(), st.booleans(), st.booleans(), U32, U32
)
ROUTES = st.builds(
    lambda network, *rest: nd_options.RouteInformation(*network, *rest), networks(), st.sampled_from([-1, 0, 1]), U32
)
OPTIONS = st.builds(
    nd_options.Options,
    source_mac=MACS,
    mtu=st.integers(0, 2**32 - 1),
    prefixes=st.lists(PREFIXES, max_size=4),
    routes=st.lists(ROUTES, max_size=4),
    name_servers=st.lists(
        st.builds(nd_options.NameServers, U32, st.lists(UNICAST, min_size=1, max_size=3).map(tuple)), max_size=2
    ),
    search_lists=st.lists(
        st.builds(nd_options.SearchList, U32, st.lists(DOMAINS, min_size=1, max_size=3).map(tuple)), max_size=2
    ),
)


@given(OPTIONS, st.integers(0, 255), st.booleans(), st.booleans(), st.integers(1, 65535), st.sampled_from([-1, 0, 1]))
def test_an_advertisement_of_a_router_parses_back(options, limit, managed, other, lifetime, preference) -> None:
    message = nd.RouterAdvertisement(limit, managed, other, preference, lifetime, 30_000, 1000, options)
    octets = nd.build_router_advertisement(message)
    assert len(octets) % 8 == 0
    assert nd.parse_router_advertisement(octets, ROUTER, ALL_NODES, 255) == message


@given(UNICAST, UNICAST, MACS, st.booleans(), st.booleans(), st.binary(max_size=200))
def test_the_other_messages_parse_back(target, final, mac, flag, other, quoted) -> None:
    solicitation = nd.NeighborSolicitation(target, mac, b"nonce!" if flag else b"")
    octets = nd.build_neighbor_solicitation(*solicitation)
    assert nd.parse_neighbor_solicitation(octets, HOST, solicited_node(target), 255) == solicitation
    advertisement = nd.NeighborAdvertisement(target, mac, flag, other, not flag)
    octets = nd.build_neighbor_advertisement(advertisement)
    assert nd.parse_neighbor_advertisement(octets, HOST, ROUTER, 255) == advertisement
    octets = nd.build_router_solicitation(mac)
    assert nd.parse_router_solicitation(octets, HOST, ALL_NODES, 255) == nd.RouterSolicitation(mac)
    kept = quoted[: len(quoted) // 8 * 8]
    redirect = nd.Redirect(HOST if flag else final, final, mac, kept)
    assert nd.parse_redirect(nd.build_redirect(redirect._replace(redirected=quoted)), ROUTER, HOST, 255) == redirect


OPTION_OCTETS = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 4, 5, 14, 24, 25, 31, 99]), st.integers(0, 5), st.binary(max_size=40)),
    max_size=5,
).map(lambda options: b"".join(bytes(option[:2]) + option[2] for option in options))


@given(
    st.sampled_from(sorted(PARSERS)),
    st.binary(max_size=60),
    OPTION_OCTETS,
    st.sampled_from([ROUTER, HOST, ANY, ALL_NODES]),
    st.sampled_from([ROUTER, ALL_NODES, ANY]),
)
def test_any_octets_give_a_message_or_the_declared_error(kind, octets, options, source, destination) -> None:
    for message in (octets, bytes((kind, 0)) + octets, bytes((kind, 0)) + octets.ljust(22, b"\0")[:22] + options):
        try:
            PARSERS[kind](memoryview(message), source, destination, 255)
        except nd_options.BadMessageError as error:
            assert error.reason in ("nd_truncated", "nd_code", "nd_bad_option", "nd_bad_address")


def built(kind: int) -> bytes:
    return {
        nd.ROUTER_SOLICITATION: nd.build_router_solicitation(MAC),
        nd.ROUTER_ADVERTISEMENT: nd.build_router_advertisement(
            nd.RouterAdvertisement(64, False, False, 0, 1800, 0, 0, nd_options.Options(source_mac=MAC))
        ),
        nd.NEIGHBOR_SOLICITATION: nd.build_neighbor_solicitation(HOST, MAC),
        nd.NEIGHBOR_ADVERTISEMENT: nd.build_neighbor_advertisement(
            nd.NeighborAdvertisement(HOST, MAC, False, True, True)
        ),
        nd.REDIRECT: nd.build_redirect(nd.Redirect(HOST, HOST, MAC, b"")),
    }[kind]


def refused(octets: bytes, source: bytes = ROUTER, destination: bytes = HOST, hop_limit: int = 255) -> str:
    with pytest.raises(nd_options.BadMessageError) as caught:
        PARSERS[octets[0]](octets, source, destination, hop_limit)
    return caught.value.reason


@pytest.mark.parametrize("kind", sorted(PARSERS))
def test_the_checks_of_sections_6_1_and_7_1_and_8_1(kind: int) -> None:
    octets = built(kind)
    PARSERS[kind](octets, ROUTER, HOST, 255)
    assert refused(octets, hop_limit=254) == "nd_hop_limit"
    assert refused(octets[:1] + b"\1" + octets[2:]) == "nd_code"
    assert refused(octets[: len(octets) - 9]) == "nd_truncated"
    assert refused(octets[:-8] + b"\1\0" + octets[-6:]) == "nd_bad_option"
    assert refused(octets[:-8] + b"\1\2" + octets[-6:]) == "nd_bad_option"
    assert refused(octets + b"\1") == "nd_bad_option"


def test_addresses_that_a_message_can_not_have() -> None:
    group = solicited_node(HOST)
    solicitation = built(nd.NEIGHBOR_SOLICITATION)
    assert refused(solicitation[:8] + group + solicitation[24:]) == "nd_bad_address"
    assert refused(solicitation, ANY, group) == "nd_bad_address"  # with a link-layer address
    probe = nd.build_neighbor_solicitation(HOST, b"")
    assert refused(probe, ANY, HOST) == "nd_bad_address"
    assert nd.parse_neighbor_solicitation(probe, ANY, group, 255) == nd.NeighborSolicitation(HOST, b"")
    advertisement = built(nd.NEIGHBOR_ADVERTISEMENT)
    assert refused(advertisement[:8] + group + advertisement[24:]) == "nd_bad_address"
    assert refused(advertisement, HOST, ALL_NODES) == "nd_bad_address"  # solicited, to a group
    assert refused(built(nd.ROUTER_SOLICITATION), ANY) == "nd_bad_address"
    assert refused(built(nd.ROUTER_ADVERTISEMENT), packed("2001:db8::1")) == "nd_bad_address"
    assert refused(built(nd.REDIRECT), packed("2001:db8::1")) == "nd_bad_address"
    far, near = packed("2001:db8::9"), packed("2001:db8::8")
    assert refused(nd.build_redirect(nd.Redirect(far, near, b"", b""))) == "nd_bad_address"
    assert refused(nd.build_redirect(nd.Redirect(HOST, ALL_NODES, b"", b""))) == "nd_bad_address"


def advertised(*options: bytes) -> nd_options.Options:
    octets = built(nd.ROUTER_ADVERTISEMENT) + b"".join(options)
    return nd.parse_router_advertisement(octets, ROUTER, ALL_NODES, 255).options


def test_options_that_their_rfcs_tell_hosts_to_ignore() -> None:
    lifetime = bytes((0, 0, 0, 9))
    assert advertised(bytes((3, 4, 129)) + bytes(29)).prefixes == []
    assert advertised(bytes((3, 4, 64)) + bytes(13) + ALL_NODES).prefixes == []
    assert advertised(bytes((3, 3, 64)) + bytes(21)).prefixes == []
    # RFC 4191 §2.3: a reserved preference, and a prefix that is longer than the option
    assert advertised(bytes((24, 1, 0, 0x10)) + lifetime).routes == []
    assert advertised(bytes((24, 1, 8, 0)) + lifetime).routes == []
    assert len(advertised(bytes((24, 1, 0, 8)) + lifetime).routes) == 1
    # RFC 8106 §5.3.1: lengths
    assert advertised(bytes((25, 1, 0, 0)) + lifetime).name_servers == []
    assert advertised(bytes((25, 2, 0, 0)) + lifetime + bytes(8)).name_servers == []
    assert advertised(bytes((25, 3, 0, 0)) + lifetime + ALL_NODES).name_servers == []
    assert advertised(bytes((25, 3, 0, 0)) + lifetime + bytes(10) + b"\xff\xff\x0a\0\2\3").name_servers == []
    assert advertised(bytes((31, 1, 0, 0)) + lifetime).search_lists == []
    for names in (b"\3abc\4def", b"\6a\nb.c \0", b"\xc0\x04abcdef", bytes(8)):
        assert advertised(bytes((31, 2, 0, 0)) + lifetime + names.ljust(8, b"\0")).search_lists == []
    assert advertised(bytes((1, 1)) + ALL_NODES[:6]).source_mac == MAC


def test_a_reserved_router_preference_is_medium_and_so_is_any_without_a_lifetime() -> None:
    octets = bytearray(built(nd.ROUTER_ADVERTISEMENT))
    for bits, lifetime, preference in ((0x10, 1800, 0), (0x08, 1800, 1), (0x18, 1800, -1), (0x08, 0, 0)):
        octets[5] = bits
        octets[6:8] = lifetime.to_bytes(2, "big")
        assert nd.parse_router_advertisement(octets, ROUTER, ALL_NODES, 255).preference == preference
