"""What the TAP driver finds, refuses, sets and puts back on the kernel's side, in a namespace of the test's own."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from drivers.tap import OPTIONS, TapDriver
from drivers.tap.tap_record import TapRecord
from schemefs.driver import DriverContext, DriverError
from schemefs.driver_option import OptionValueError, read_options
from tests.support.families import V4, Family
from tests.support.namespaces import private_network

pytestmark = pytest.mark.needs("root", "tap")

COMMON = {
    "address",
    "address_may_move",
    "address6",
    "address6_may_move",
    "mac",
    "mtu",
}  # what every driver gets; the others are options of this one
OURS, THEIRS = IPv4Interface("10.0.2.15/24"), IPv4Interface("10.0.2.2/24")
OURS6, THEIRS6 = IPv6Interface("fd00:10:0:2::15/64"), IPv6Interface("fd00:10:0:2::2/64")


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with private_network():
        yield


def driver(family: Family = V4, **options: object) -> TapDriver:
    """Return a driver with the usual addresses of one family, not open."""
    given = usual(family) | options
    common = {"address": None} | {name: given.pop(name) for name in COMMON & given.keys()}
    return TapDriver(DriverContext("eth0", {"host_address": None, "host_address6": None, **given}, **common))


def usual(family: Family, number: int = 2) -> dict[str, object]:
    """Return our address and the kernel's in the default subnet, or in another one, as options of `driver`."""
    prefix, length = family.pick((f"10.0.{number}.", 24), (f"fd00:10:0:{number}::", 64))
    names = family.pick(("address", "host_address"), ("address6", "host_address6"))
    return dict(zip(names, (ip_interface(f"{prefix}{host}/{length}") for host in (15, 2)), strict=True))


def both_ends(family: Family, number: int = 2) -> tuple[str, str]:
    """Return the same as texts."""
    ours, theirs = map(str, usual(family, number).values())
    return ours, theirs


def chosen(family: Family, tap: TapDriver) -> tuple[str, str]:
    """Return the addresses that the driver has chosen for the two ends."""
    four = (tap.chosen_address, tap.chosen_host_address)
    ours, theirs = family.pick(four, (tap.chosen_address6, tap.chosen_host_address6))
    return str(ours), str(theirs)


def add(family: Family, address: str, name: str = "schemefs0") -> None:
    """Give a link of the kernel's an address, which it uses at once."""
    run("ip", "addr", "add", address, "dev", name, *family.pick([], ["nodad"]))


def run(*command: str) -> None:
    """Run ip(8)."""
    subprocess.run(command, check=True, capture_output=True)


def cable(name: str) -> None:
    """Make an interface that is up."""
    run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
    run("ip", "link", "set", f"{name}-peer", "up")
    run("ip", "link", "set", name, "up")


def settings(family: Family = V4) -> tuple[bool, int, int, set[str]]:
    """Return up, MTU, queue length and the addresses of the TAP; of IPv6 not the link-local ones."""
    with IPRoute() as ip:
        link = ip.get_links(ip.link_lookup(ifname="schemefs0")[0])[0]
        listed = [one for one in ip.get_addr(family=getattr(socket, family.socket)) if one["index"] == link["index"]]
    addresses = {f"{one.get('local') or one.get('address')}/{one['prefixlen']}" for one in listed}
    routed = {one for one in addresses if not one.startswith("fe80:")}
    return bool(link["flags"] & 1), link.get("mtu"), link.get("txqlen"), routed


def names() -> set[str]:
    """Return the links there are."""
    return {name for _, name in socket.if_nameindex()}


def refusal(family: Family = V4, **options: object) -> str:
    """Open, expect a refusal that leaves no link behind; return its sentence."""
    before = names()
    with pytest.raises(DriverError) as failure:
        driver(family, **options).open()
    assert names() == before
    return str(failure.value)


NUD_STALE = 4


def addresses6(name: str = "schemefs0") -> set[str]:
    """Return the IPv6 addresses of a link that are not tentative."""
    with IPRoute() as ip:
        found = [a for a in ip.get_addr(family=10) if a["index"] == socket.if_nametoindex(name)]
    return {f"{a.get('address')}/{a['prefixlen']}" for a in found if not a.get("flags") & 0x40}


def test_the_kernels_side_has_ipv6_at_once() -> None:
    tap = driver(host_address6=THEIRS6, address6=OURS6)
    tap.open()
    assert addresses6() == {"fd00:10:0:2::2/64", "fe80::1/64"}
    assert (tap.chosen_address6, tap.lacks) == (OURS6, "")
    with IPRoute() as ip:
        known = {one.get("dst"): (one.get("lladdr"), one["state"]) for one in ip.get_neighbours(family=10)}
    mac = tap.link.mac
    local = str(IPv6Address(b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE, *mac[3:]])))
    # A solicitation without a hardware address, as ours are while our addresses are probed, is answered at once.
    assert {known[str(OURS6.ip)], known[local]} == {(mac.hex(":"), NUD_STALE)}
    tap.close()
    assert names() == {"lo"}


def test_a_persistent_tap_loses_the_ipv6_of_ours_alone() -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    run("ip", "link", "set", "schemefs0", "up")
    for address in ("fd00:7::1/64", "fe80::77/64"):
        run("ip", "-6", "addr", "add", address, "dev", "schemefs0", "nodad")
    found = addresses6()
    tap = driver(host_address6=THEIRS6, address6=OURS6)
    tap.open()
    assert addresses6() == found | {"fd00:10:0:2::2/64"}
    assert TapRecord("schemefs0").read().added == ("10.0.2.2/24", "fd00:10:0:2::2/64")
    tap.close()
    assert addresses6() == found


def test_a_record_of_an_older_version_is_read() -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    run("ip", "addr", "add", "10.0.2.2/24", "dev", "schemefs0")
    record = TapRecord("schemefs0")
    older = {"name": "schemefs0", "index": socket.if_nametoindex("schemefs0"), "up": False, "mtu": 1300}
    record.path.parent.mkdir(exist_ok=True)
    record.path.write_text(json.dumps({**older, "queue_length": 77, "added": "10.0.2.2/24"}))
    driver(host_address=IPv4Interface("10.0.3.2/24"), address=IPv4Interface("10.0.3.15/24")).open()
    assert settings()[3] == {"10.0.3.2/24"}


def test_a_tap_is_created_configured_and_gone_at_the_end() -> None:
    tap = driver(mtu=1400)
    tap.open()
    assert settings() == (True, 1400, 5000, {"10.0.2.2/24"})
    with IPRoute() as ip:
        assert [a for a in ip.get_addr(family=10) if a["index"] == socket.if_nametoindex("schemefs0")] == []
    assert (tap.link.device, tap.link.mtu, tap.created) == ("tap:schemefs0", 1400, True)
    assert tap.chosen_address == OURS
    assert tap.chosen_gateway is None
    assert not TapRecord("schemefs0").path.exists()
    tap.close()
    tap.close()
    assert names() == {"lo"}


def test_our_hardware_address_is_stable_local_and_not_the_kernels() -> None:
    seen = []
    for _ in range(2):
        tap = driver()
        tap.open()
        seen.append(tap.link.mac)
        tap.close()
    assert seen[0] == seen[1]
    assert seen[0][0] == 2
    other = driver(tap="another")
    other.open()
    assert other.link.mac != seen[0]
    other.close()


def test_the_kernels_own_hardware_address_is_refused() -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    run("ip", "link", "set", "schemefs0", "address", "02:00:00:00:00:01")
    assert "02:00:00:00:00:01 is the kernel's own address on schemefs0" in refusal(mac=b"\x02\0\0\0\0\1")


def test_host_address_none_leaves_the_kernels_side_alone() -> None:
    tap = driver(host_address=None)
    tap.open()
    up, _, queue_length, addresses = settings()
    assert (up, queue_length, addresses) == (False, 1000, set())
    tap.close()


def test_a_persistent_tap_is_put_back_as_it_was_found(family: Family) -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    run("ip", "link", "set", "schemefs0", "mtu", "1300", "txqueuelen", "77")
    other = f"{family.unrouted}/{family.bits}"
    add(family, other)
    found = settings(family)
    tap = driver(family)
    tap.open()
    record = TapRecord("schemefs0").path
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert settings(family) == (True, 1500, 5000, {both_ends(family)[1], other})
    tap.close()
    assert settings(family) == found == (False, 1300, 77, {other})
    assert not record.exists()
    assert not tap.created


def test_an_address_that_was_there_stays(family: Family) -> None:
    _, theirs = both_ends(family)
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    add(family, theirs)
    run("ip", "link", "set", "schemefs0", "up")
    tap = driver(family)
    tap.open()
    tap.close()
    assert settings(family) == (True, 1500, 1000, {theirs})


def test_a_persistent_tap_loses_its_offload_flags() -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    tap = driver()
    tap.open()
    tap.close()
    # As the next owner sees them: TUNGETVNETHDRSZ, and what the kernel would still hand out uncut.
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, 0x400454CA, struct.pack("16sH22x", b"schemefs0", 0x5002))
    assert struct.unpack("i", fcntl.ioctl(descriptor, 0x800454D7, bytes(4))) == (10,)
    features = subprocess.run(["ip", "-d", "link", "show", "schemefs0"], check=True, capture_output=True, text=True)
    assert "vnet_hdr on" in features.stdout
    os.close(descriptor)


KILLED = """
import os, signal, sys
from ipaddress import ip_interface
from drivers.tap import TapDriver
from schemefs.driver import DriverContext
options = {"host_address": None, "host_address6": None, sys.argv[1]: ip_interface(sys.argv[2])}
TapDriver(DriverContext("eth0", options, mtu=1400)).open()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_sigkill_the_next_start_puts_it_back_first(family: Family) -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    run("ip", "link", "set", "schemefs0", "mtu", "1300", "txqueuelen", "77")
    found = settings(family)
    _, (option, theirs) = usual(family).items()
    command = [sys.executable, "-c", KILLED, option, str(theirs)]
    killed = subprocess.run(command, check=False, cwd=Path(__file__).parents[2], timeout=30)
    assert killed.returncode == -signal.SIGKILL
    assert settings(family) == (True, 1400, 5000, {str(theirs)})
    assert TapRecord("schemefs0").path.exists()
    tap = driver(family, **usual(family, 3))
    tap.open()
    assert settings(family) == (True, 1500, 5000, {both_ends(family, 3)[1]})
    tap.close()
    assert settings(family) == found
    assert not TapRecord("schemefs0").path.exists()


def test_a_record_of_another_device_of_that_name_changes_nothing(family: Family) -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    first = driver(family)
    first.open()
    kept = TapRecord("schemefs0").read()
    first.close()
    assert kept is not None
    run("ip", "link", "del", "schemefs0")
    run("ip", "tuntap", "add", "another0", "mode", "tap")
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    _, theirs = both_ends(family)
    add(family, theirs)
    TapRecord("schemefs0").write(kept)
    second = driver(family)
    second.open()
    second.close()
    assert settings(family)[3] == {theirs}


def test_a_tap_in_use_is_refused_with_its_own_sentence() -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    first = driver()
    first.open()
    assert refusal() == "the TAP schemefs0 is in use by another program; use another --tap"
    first.close()


def test_a_name_that_is_no_tap_is_refused() -> None:
    run("ip", "link", "add", "schemefs0", "type", "veth", "peer", "name", "other")
    assert refusal() == "the name schemefs0 is taken by a device that is no TAP (veth); use another --tap"
    assert "lo is taken by a device that is no TAP (hardware)" in refusal(tap="lo")


def test_a_tun_is_no_tap() -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tun")
    assert "is no TAP (tun)" in refusal()


def test_a_multi_queue_tap_is_refused_with_its_own_sentence() -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap", "multi_queue")
    assert "the TAP schemefs0 is a multi-queue one" in refusal()


@pytest.mark.parametrize("name", ["", "a" * 16, "a/b", "tap%d", "a b", "..", "a\0b", "a\x1bb"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(OptionValueError, match="is not a name for a TAP") as caught:
        read_options(OPTIONS, "eth0", {"tap": name})
    assert caught.value.option == "tap"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mtu": 67}, "an MTU of 67 is not possible"),
        ({"mtu": 70000}, "an MTU of 70000 is not possible"),
        ({"host_address": OURS}, "can't be both our address and the kernel's"),
        ({"host_address6": OURS6, "address6": OURS6}, "can't be both our address and the kernel's"),
    ],
)
def test_a_bad_option_is_refused(options: dict[str, object], sentence: str) -> None:
    assert sentence in refusal(**options)


OPENING = """
import os
from drivers.tap import OPTIONS, TapDriver
from schemefs.driver import DriverContext, DriverError
from schemefs.driver_option import OptionValueError, read_options
{before}
try:
    TapDriver(DriverContext("eth0", {{}})).open()
except DriverError as error:
    print(error)
"""


def opening_says(before: str, *prefix: str) -> str:
    """Open in another process, after *before*, and return the refusal's sentence."""
    command = [*prefix, sys.executable, "-c", OPENING.format(before=before)]
    root = Path(__file__).parents[2]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=root, timeout=30).stdout


def test_without_the_device_node_the_loopback_driver_is_named() -> None:
    hidden = 'mount -t tmpfs none /dev/net && exec "$@"'
    assert opening_says("", "unshare", "--mount", "sh", "-c", hidden, "sh") == (
        "there is no /dev/net/tun here, so no TAP device; try --driver loopback, which needs none\n"
    )


def test_without_privilege_the_sentence_says_so() -> None:
    assert opening_says("os.setgid(65534); os.setuid(65534)").startswith("no permission to open /dev/net/tun")


def test_a_device_node_that_may_be_opened_is_no_privilege() -> None:
    said = opening_says("", "setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert said.startswith("no permission to create or use the TAP schemefs0: run as root")


@pytest.mark.parametrize("route", [False, True])
def test_a_subnet_that_is_used_refuses_explicit_addresses_and_names_the_interface(family: Family, route: bool) -> None:
    cable("nat0")
    used, inside = family.pick(("10.0.2.0/25", "10.0.2.77/25"), ("fd00:10:0:2::/65", "fd00:10:0:2::77/65"))
    if route:
        run("ip", "route", "add", used, "dev", "nat0")
    else:
        add(family, inside, "nat0")
    option = family.pick("--host-address", "--host-address6")
    assert refusal(family) == (
        f"{both_ends(family)[0]} overlaps {used} on nat0; choose another subnet with --address and {option}"
    )


def test_defaults_move_to_the_next_free_subnet(family: Family) -> None:
    four = ("10.0.2.77/25", "10.0.3.1/30", "10.0.4.9/32")
    used = family.pick(four, ("fd00:10:0:2::77/65", "fd00:10:0:3::1/126", "fd00:10:0:4::9/128"))
    for number, address in enumerate(used):
        cable(f"nat{number}")
        add(family, address, f"nat{number}")
    run("ip", f"-{family.version}", "route", "add", "default", "dev", "nat0")
    tap = driver(family, **{family.pick("address_may_move", "address6_may_move"): True})
    tap.open()
    assert chosen(family, tap) == both_ends(family, 5)
    assert tap.chosen_gateway == family.pick(ip_address("10.0.5.2"), None)  # that of IPv6 comes with an uplink
    assert settings(family)[3] == {both_ends(family, 5)[1]}
    tap.close()


def test_default_routes_and_the_taps_own_addresses_are_no_overlap(family: Family) -> None:
    run("ip", "tuntap", "add", "schemefs0", "mode", "tap")
    add(family, family.pick("10.0.2.9/24", "fd00:10:0:2::9/64"))
    cable("up0")
    for half in family.pick(("default", "0.0.0.0/1", "128.0.0.0/1"), ("default", "::/1", "8000::/1")):
        run("ip", f"-{family.version}", "route", "add", half, "dev", "up0")
    tap = driver(family)
    tap.open()
    assert chosen(family, tap) == both_ends(family)
    tap.close()
