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
    "wire/test_dhcp_dnsmasq.py": "DHCPv4; stateless DHCPv6 is in test_ipv6_routers.py",
    "wire/test_dhcp_servers.py": "DHCPv4; stateless DHCPv6 is in test_ipv6_routers.py",
    "wire/test_every_driver.py": "a driver carries any frames, and its question is one of ARP",
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

NOT_YET: set[str] = {
    "mount/test_background_requests.py", "mount/test_bad_input.py", "mount/test_blocked_calls.py",
    "mount/test_ci_page.py", "mount/test_command_line.py", "mount/test_connect_under_timer.py",
    "mount/test_conversations_mounted.py", "mount/test_cookbook.py", "mount/test_copy_from_streams.py",
    "mount/test_daemon_budget.py", "mount/test_dns_responder.py", "mount/test_duplex.py",
    "mount/test_ends_like_linux.py", "mount/test_entry.py", "mount/test_err.py", "mount/test_errors.py",
    "mount/test_event_log_mounted.py", "mount/test_event_loops.py", "mount/test_events.py",
    "mount/test_every_scheme.py", "mount/test_examples.py", "mount/test_extcap.py", "mount/test_failure_report.py",
    "mount/test_force_umount.py", "mount/test_get.py", "mount/test_icmp_files.py", "mount/test_impair_option.py",
    "mount/test_interrupts.py", "mount/test_json.py", "mount/test_kept_names.py", "mount/test_ladder.py",
    "mount/test_local_addresses.py", "mount/test_logging_files.py", "mount/test_logs_past_their_limit.py",
    "mount/test_memory_of_users.py", "mount/test_mount_copies.py", "mount/test_nc.py", "mount/test_netcfg_files.py",
    "mount/test_out_of_descriptors.py", "mount/test_poll_like_linux.py", "mount/test_redox_differences.py",
    "mount/test_rewinddir.py", "mount/test_run.py", "mount/test_run_escapes.py", "mount/test_run_waits.py",
    "mount/test_scheme_file_mounted.py", "mount/test_scripting.py", "mount/test_self_help.py", "mount/test_serve.py",
    "mount/test_servers.py", "mount/test_shares_of_users.py", "mount/test_shells.py",
    "mount/test_sockets_from_files.py", "mount/test_socks.py", "mount/test_ss_like_iproute2.py",
    "mount/test_stream.py", "mount/test_stream_driver.py", "mount/test_text_sizes.py", "mount/test_text_writers.py",
    "mount/test_text_writing.py", "mount/test_third_party_driver.py", "mount/test_time_spent_mounted.py",
    "mount/test_tls_files.py", "mount/test_tools.py", "mount/test_wheel.py", "wire/test_frames_counted.py",
    "wire/test_ip_like_iproute2.py", "wire/test_lab.py", "wire/test_lab_fixture.py", "wire/test_qemu_guest.py",
}  # fmt: skip
"""Files whose tests are still to be run by family."""

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
        """Return whether the test or fixture *name* has the argument `family`, or a fixture of this file that has."""
        return name == "family" or any(self.runs_by_family(one) for one in self.arguments.get(name, ()) if one != name)

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
        if file in NOT_YET or "" in listed.get(file, ()):
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
