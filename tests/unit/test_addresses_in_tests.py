"""Tests on the wire and on mounts name no address of IPv4 alone, so that each runs with IPv6 as well.

They take the argument `family` (tests/support/families.py), or a fixture that does, or name addresses of both. What is
by nature of one family is listed here with the reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
OF_ONE_FAMILY: dict[str, str] = {
    "mount/test_ci_page.py": "the program only has to start; its addresses are of the host's lo or of the mount's",
    "mount/test_command_line.py": "the ready line proposes one command",
    "mount/test_cookbook.py": "it plays the page",
    "mount/test_errors.py::test_a_name_that_is_not_there_is_explained_but_not_what_tools_look_for":
        "an address without a port; one of IPv6 has colons",
    "mount/test_errors.py::test_every_row_is_tried": "the address of the responder",
    "mount/test_netcfg_files.py::test_the_only_address_is_replaced_with_its_route": "::1 can't be replaced",
    "mount/test_run.py::test_a_socket_without_a_peer_is_answered_by_the_server_that_it_asked":
        "the responder has an address of IPv4 alone",
    "mount/test_servers.py::test_announcing_one_address_beside_another":
        "127/8 is a network; test_local_addresses.py has two addresses of IPv6",
    "mount/test_text_sizes.py": "the server is one of the machine",
    "mount/test_text_writing.py": "lines of texts, whose addresses are not used",
    "mount/test_third_party_driver.py": "options of a driver, whose addresses are not used",
    "wire/test_dhcp_dnsmasq.py": "DHCPv4; stateless DHCPv6 is in test_ipv6_routers.py",
    "wire/test_dhcp_servers.py": "DHCPv4; stateless DHCPv6 is in test_ipv6_routers.py",
    "wire/test_every_driver.py": "a driver carries any frames, and its question is one of ARP",
    "wire/test_ip_like_iproute2.py::test_routes": "test_routes_of_ipv6 is beside it",
    "wire/test_ip_like_iproute2.py::test_what_is_not_of_the_tree_is_refused": "the words are those of both families",
    "wire/test_network_faults.py::test_a_flood_of_arp_neither_fills_memory_nor_costs_a_neighbor":
        "ARP; test_ipv6_hostile.py has floods of ND",
    "wire/test_network_faults.py::test_an_address_that_linux_has_already_is_given_up":
        "ARP; DAD is in test_ipv6_routers.py",
    "wire/test_network_faults.py::test_an_address_that_linux_insists_on_is_defended_and_its_conversations_hear_of_it":
        "RFC 5227; IPv6 has no defense",
    "wire/test_network_faults.py::test_fragments_that_overlap_or_never_end_are_dropped_and_counted":
        "test_ipv6_hostile.py has those of IPv6",
    "wire/test_small_path.py::test_a_path_mtu_of_296_gets_segments_without_df":
        "IPv6 has no link below 1280; test_ipv6_tap.py has that",
    "wire/test_small_path.py::test_datagrams_get_through_too":
        "IPv6 has no link below 1280; test_ipv6_tap.py has that",
    "wire/test_udp_tap.py::test_a_dhcp_like_broadcast_reaches_the_peer_and_theirs_us": "IPv6 has no broadcast",
    "wire/test_udp_tap.py::test_the_peer_sees_a_group_joined_and_left": "IGMP; test_lan.py has MLD as well",
    "wire/test_tap_host_side.py::test_a_record_of_an_older_version_is_read": "older versions had IPv4 alone",
    "wire/test_tap_host_side.py::test_a_tap_is_created_configured_and_gone_at_the_end":
        "a TAP without IPv6; test_the_kernels_side_has_ipv6_at_once has it",
    "wire/test_tcpdump_tool.py::test_the_capture_of_all_interfaces_and_a_count":
        "Neighbor Discovery would be in the count",
    "wire/test_tcpdump_tool.py::test_history_has_the_frames_of_before": "Neighbor Discovery would be in the count",
    "wire/test_uplink_ipv6.py::test_a_kernel_without_nat66_leaves_ipv4": "IPv4 is what is left",
}  # fmt: skip
"""Files, or single tests of them, that name addresses of IPv4, and why."""

IPV4 = re.compile(r"(?<![\d.])\d{1,3}(\.\d{1,3}){3}(?![\d.])")
IPV6 = re.compile(r"(?<![\w:])([0-9a-f]+(:[0-9a-f]+)*)?::([0-9a-f]|$|\W)")
NETWORKS = {"network", "tap_network", "module_tap_network", "TapNetwork"}  # `peer` and `address` of these are of IPv4
Function = ast.FunctionDef | ast.AsyncFunctionDef


class TestFile:
    """The tests of a file, and which of them name addresses of IPv4 alone."""

    __test__ = False

    def __init__(self, source: str) -> None:
        self.module = ast.parse(source)
        functions = [node for node in ast.walk(self.module) if isinstance(node, Function)]
        self.tests = [one for one in functions if one.name.startswith("test_")]
        self.arguments = {one.name: {argument.arg for argument in one.args.args} for one in functions}
        self.constants = {name: node.value for node in self.module.body for name in _constants(node)}

    def runs_by_family(self, name: str) -> bool:
        """Return whether the test or fixture *name*, or a fixture of this file that it has, goes by family."""
        return name in ("family", "module_family") or any(
            self.runs_by_family(one) for one in self.arguments.get(name, ()) if one != name
        )

    def offences(self) -> Iterator[str]:
        """Yield the tests that name addresses of IPv4 alone; an empty name for the file, if what they share does."""
        by_family = [test for test in self.tests if self.runs_by_family(test.name)]
        if not by_family and _names(self.module, IPV4) and not _names(self.module, IPV6):
            yield ""
        for test in self.tests:
            if test not in by_family and self._names(test, IPV4) and not self._names(test, IPV6):
                yield test.name

    def _names(self, test: Function, family: re.Pattern[str]) -> bool:
        used = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)} & self.constants.keys()
        return any(_names(node, family) for node in (test, *(self.constants[name] for name in used)))


def _constants(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (one.id for one in ast.walk(target) if isinstance(one, ast.Name))


def _names(node: ast.AST | None, family: re.Pattern[str]) -> bool:
    """Return whether a text below *node* has such an address. Docstrings and what `pick` chooses from do not count."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "pick":
        return False
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and family.search(node.value) is not None
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in NETWORKS:
        return family is IPV4 and node.attr in ("peer", "address")
    below = [] if node is None else list(ast.iter_child_nodes(node))
    if isinstance(node, (ast.Module, ast.ClassDef, *Function.__args__)) and ast.get_docstring(node) is not None:
        below.remove(node.body[0])
    return any(_names(one, family) for one in below)


def files() -> list[str]:
    return sorted(
        str(path.relative_to(TESTS)) for level in ("wire", "mount") for path in (TESTS / level).glob("test_*.py")
    )


def test_tests_run_with_both_families() -> None:
    wrong, listed = [], {}
    for name in OF_ONE_FAMILY:
        listed.setdefault(name.partition("::")[0], set()).add(name.partition("::")[2])
    for file in files():
        offences = set(TestFile((TESTS / file).read_text()).offences())
        if "" in listed.get(file, ()):
            wrong += [] if offences else [f"{file} is listed, and names no address of IPv4 alone"]
        else:
            wrong += [f"{file}::{name} names addresses of IPv4 alone" for name in offences - listed.get(file, set())]
            wrong += [f"{file}::{name} is listed, and does not" for name in listed.get(file, set()) - offences]
    assert wrong == []


SAMPLE = '''
"""Against 10.0.2.2."""
WEB = "http://10.0.2.2/"
@pytest.fixture
def ours(family): return family.ours
def test_literal(): open("tcp/10.0.2.2:80")
def test_constant(): open(WEB)
def test_of_the_network(network): open(network.peer)
@pytest.mark.parametrize("address", ["10.0.2.2"])
def test_parametrized(address): open(address)
async def test_asynchronous(): open("10.0.2.2")
def test_version(): assert version == "10.0.2"
def test_by_family(family): open("10.0.2.2" + family.peer)
def test_by_a_fixture(ours): open("10.0.2.2" + ours)
def test_picked(family): open(family.pick("10.0.2.2", "fd00::2"))
def test_both(): open("10.0.2.2"), open("[fd00::2]:80")
def test_documented(): "As with 10.0.2.2."
'''


def test_what_names_an_address_is_found() -> None:
    found = {"test_literal", "test_constant", "test_of_the_network", "test_parametrized", "test_asynchronous"}
    assert set(TestFile(SAMPLE).offences()) == found
    assert set(TestFile("HELPER = '10.0.2.2'\ndef test_a(): pass").offences()) == {""}
    assert set(TestFile("HELPER = '10.0.2.2'\ndef test_a(family): pass").offences()) == set()
