"""dns through the mount: against dnsmasq and against a scripted server, both on the peer's side of a TAP.

The family is that by which the servers are asked. Each has an address of both.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.families import FAMILIES, V4, V6, Address

pytestmark = pytest.mark.needs("root", "tap", "fuse")

SCRIPT = Path(__file__).with_name("dns_server.py")
DNSMASQ_AT = {V4: Address("10.0.2.3"), V6: Address("fd00:10:0:2::3")}
SCRIPTED_AT = {V4: Address("10.0.2.4"), V6: Address("fd00:10:0:2::4")}
ANSWER = "10.0.2.2\n"  # the scripted server's, for every name
DNSMASQ = [
    "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--group=root",
    "--pid-file=", "--bind-interfaces", *(f"--listen-address={one}" for one in DNSMASQ_AT.values()),
    "--auth-ttl=60", "--local-ttl=60", "--neg-ttl=30",
    "--local=/example.com/", "--log-facility=-", "--edns-packet-max=1232",
    "--address=/web.example.com/10.0.2.2", "--address=/web6.example.com/fd00:10:0:2::2",
    "--host-record=six.example.com,10.0.2.6,fd00::6",
    "--cname=www.example.com,six.example.com",
    "--mx-host=example.com,mail.example.com,10",
    "--txt-record=example.com,v=spf1 -all",
    "--srv-host=_http._tcp.example.com,web.example.com,8080,1,2",
    "--ptr-record=2.2.0.10.in-addr.arpa,gateway.example.com",
    "--dns-rr=example.com,2,026e73076578616d706c6503636f6d00",  # NS ns.example.com
]  # fmt: skip


@pytest.fixture(scope="module")
def network(module_tap_network):
    """The peer has the addresses of the servers as well."""
    for servers in (DNSMASQ_AT, SCRIPTED_AT):
        module_tap_network.run_peer(["ip", "address", "add", f"{servers[V4]}/24", "dev", "schemefs0"])
        module_tap_network.run_peer(["ip", "address", "add", f"{servers[V6]}/64", "dev", "schemefs0", "nodad"])
    return module_tap_network


@pytest.fixture(scope="module")
def dnsmasq(network):
    server = network.start_peer(DNSMASQ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for line in server.stderr:
        if "started" in line:
            break
    yield network.mount.path
    server.terminate()
    server.wait(10)


@pytest.fixture
def named(dnsmasq, family):
    """The mount with dnsmasq alone."""
    (dnsmasq / "netcfg/resolv/nameserver").write_text(f"{DNSMASQ_AT[family]}\n")
    return dnsmasq


@pytest.fixture(scope="module")
def scripted(network):
    ends = [f"{SCRIPTED_AT[family]},{family.peer}" for family in FAMILIES]
    server = network.start_peer([sys.executable, str(SCRIPT), *ends], stdout=subprocess.PIPE)
    assert server.stdout.readline() == "ready\n"
    return network.mount.path


@pytest.fixture
def dns(scripted, family):
    """`dns/` with the scripted server alone."""
    (scripted / "netcfg/resolv/nameserver").write_text(f"{SCRIPTED_AT[family]}\n")
    return scripted / "dns"


def fails(path: Path) -> int:
    with pytest.raises(OSError) as caught:
        path.read_text()
    return caught.value.errno or 0


def stats(dns: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split("=") for line in (dns / "stats").read_text().splitlines())}


# dnsmasq


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("web.example.com", "10.0.2.2\n"),
        ("www.example.com", "10.0.2.6\n"),
        ("www.example.com,type=aaaa", "fd00::6\n"),
        ("six.example.com,type=any", "10.0.2.6\nfd00::6\n"),
        ("example.com,type=mx", "10 mail.example.com\n"),
        ("example.com,type=txt", "v=spf1 -all\n"),
        ("_http._tcp.example.com,type=srv", "1 2 8080 web.example.com\n"),
        ("10.0.2.2,type=ptr", "gateway.example.com\n"),
        ("www.example.com,type=cname", "six.example.com\n"),
        ("example.com,type=ns", "ns.example.com\n"),
    ],
)
def test_dnsmasq_answers(named, name: str, answer: str) -> None:
    if "srv" in name:  # dnsmasq is given priority and weight the other way round
        answer = "1 2 8080 web.example.com\n"
    done = subprocess.run(["cat", named / "dns" / name], check=True, capture_output=True, text=True, timeout=20)
    assert done.stdout == answer


def test_dnsmasq_knows_no_such_name_and_no_such_record(named) -> None:
    assert fails(named / "dns/nosuch.example.com") == errno.ENOENT
    assert (named / "dns/err").read_text() == "the name nosuch.example.com does not exist\n"
    assert fails(named / "dns/six.example.com,type=mx") == errno.ENODATA


def test_a_page_by_name_and_a_ping_by_name(named, network, family) -> None:
    name = family.pick("web.example.com", "web6.example.com")
    code = (
        "import http.server, socket\n"
        "class Page(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self): self.wfile.write(b'HTTP/1.0 200 OK\\r\\n\\r\\nby name')\n"
        "    def log_message(self, *arguments): pass\n"
        "http.server.HTTPServer.address_family = socket.AF_INET6\n"
        "server = http.server.HTTPServer(('::', 80), Page); print('ready', flush=True); server.serve_forever()"
    )
    server = network.start_peer([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert server.stdout.readline() == "ready\n"
    script = f"exec 3<>{named}/tcp/{name}:http; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    done = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True, timeout=20)
    assert done.stdout.endswith("by name")
    ping = ["cat", named / f"icmp/ping/{name},count=5,interval=0.05"]
    done = subprocess.run(ping, check=True, capture_output=True, text=True, timeout=20)
    assert "5 packets transmitted, 5 packets received" in done.stdout


def test_a_short_name_is_found_in_the_search_list(named) -> None:
    search = named / "netcfg/resolv/search"
    search.write_text("example.org example.com\n")
    try:
        assert (named / "dns/web").read_text() == "10.0.2.2\n"
    finally:
        search.write_text("none\n")
    assert search.read_text() == ""


# The scripted server


def test_the_scripted_server_answers(dns) -> None:
    assert (dns / "plain.test").read_text() == ANSWER


@pytest.mark.parametrize("what", ["wrongid", "wrongaddress", "garbage"])
def test_what_is_forged_is_not_taken(dns, what: str) -> None:
    assert (dns / f"{what}.test").read_text() == ANSWER


def test_what_was_dropped_is_counted(dns) -> None:
    before = stats(dns)
    (dns / "wrongid.again.test").read_text()
    (dns / "garbage.again.test").read_text()
    after = stats(dns)
    assert after["dropped_wrong_id"] == before["dropped_wrong_id"] + 2  # the first garbage has another id, too
    assert after["dropped_malformed"] + after["dropped_wrong_question"] > (
        before["dropped_malformed"] + before["dropped_wrong_question"]
    )


def test_a_late_answer_counts(dns) -> None:
    began = time.monotonic()
    assert (dns / "late.test").read_text() == ANSWER
    assert 1.4 < time.monotonic() - began < 2.5


def test_a_loop_of_cnames(dns) -> None:
    assert fails(dns / "loop.test") == errno.ELOOP


@pytest.mark.parametrize(("what", "code"), [("nxdomain", errno.ENOENT), ("servfail", errno.EREMOTEIO)])
def test_refusals(dns, what: str, code: int) -> None:
    assert fails(dns / f"{what}.test") == code


def test_truncated_answers_come_over_tcp(dns) -> None:
    assert len((dns / "truncated.test").read_text().splitlines()) == 1000


def test_a_dead_server_is_passed_over(dns, scripted, family) -> None:
    servers = f"{family.absent}\n{family.peer}\n{SCRIPTED_AT[family]}\n"
    (scripted / "netcfg/resolv/nameserver").write_text(servers)
    assert (scripted / "netcfg/resolv/nameserver").read_text() == servers
    began = time.monotonic()
    assert (dns / "failover.test").read_text() == ANSWER
    assert time.monotonic() - began < 2.5
    began = time.monotonic()
    assert (dns / "failover2.test").read_text() == ANSWER
    assert time.monotonic() - began < 0.5


def test_a_silent_server_is_a_time_out(dns) -> None:
    began = time.monotonic()
    assert fails(dns / "silent.test") == errno.ETIMEDOUT
    assert 6.5 < time.monotonic() - began < 8.5


@pytest.mark.parametrize("path", ["dns/silent.test", "tcp/silent.test:80", "icmp/ping/silent.test"])
def test_a_pending_lookup_is_interruptible_and_delays_no_other_open(dns, path: str, family) -> None:
    mount = dns.parent
    waiting = subprocess.Popen(["cat", mount / path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 5
        while not stats(dns)["under_way"]:
            assert time.monotonic() < deadline
        began = time.monotonic()
        assert (dns / f"{path.count('/')}meanwhile.test").read_text() == ANSWER
        assert (mount / "dns" / family.absent).read_text() == f"{family.absent}\n"
        assert time.monotonic() - began < 0.5
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(1) == -signal.SIGINT
        assert stats(dns)["under_way"] == 0
    finally:
        waiting.kill()
        waiting.communicate()


def test_an_open_that_does_not_wait_is_told_by_poll_and_fails_once(dns) -> None:
    descriptor = os.open(dns.parent / "tcp/nxdomain.nonblock.test:80", os.O_RDWR | os.O_NONBLOCK)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN | select.POLLOUT)
        ((_, events),) = poller.poll(5000)
        assert events & select.POLLERR
        with pytest.raises(OSError) as caught:
            os.read(descriptor, 10)
        assert caught.value.errno == errno.ENOENT
        with pytest.raises(OSError) as caught:
            os.read(descriptor, 10)
        assert caught.value.errno == errno.ENOTCONN
    finally:
        os.close(descriptor)


def test_a_timeout_kills_a_lookup(dns) -> None:
    began = time.monotonic()
    done = subprocess.run(
        ["timeout", "0.5", "cat", dns / "silent.killed.test"], check=False, capture_output=True, timeout=9
    )
    assert done.returncode == 124
    assert time.monotonic() - began < 1.5
    deadline = time.monotonic() + 1
    while stats(dns)["under_way"]:
        assert time.monotonic() < deadline


def test_a_server_that_is_not_there_is_no_name_server(dns, scripted, family) -> None:
    (scripted / "netcfg/resolv/nameserver").write_text(f"{family.absent}\n")
    began = time.monotonic()
    assert fails(scripted / "tcp/absent.test:80") == errno.ENOENT
    assert time.monotonic() - began < 4
    assert family.absent in (scripted / "tcp/err").read_text()
