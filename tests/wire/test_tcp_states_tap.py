"""tcp against the Linux stack in every state: a RST in each, both opens at once, ports out of TIME-WAIT, windows that
shrink, close, and open again unheard.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from puppet import Puppet

from schemefs.testing.network import TapNetwork
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("root", "tap", "fuse")

FIN, SYN, RST, ACK = 1, 2, 4, 16


class Ours:
    """One conversation of ours with the peer, its directions on two descriptors."""

    def __init__(self, network: TapNetwork, address: str) -> None:
        self.tcp = network.mount.path / "tcp"
        self.data = os.open(self.tcp / address, os.O_RDWR)
        name = os.getxattr(self.data, "user.conversation").decode()
        self.path = network.mount.path / name
        self.rx = os.open(self.path / "rx", os.O_RDONLY)
        self.tx = os.open(self.path / "tx", os.O_WRONLY | os.O_NONBLOCK)
        os.close(self.data)

    def finish(self) -> None:
        """FIN, and keep reading."""
        os.close(self.tx)
        self.tx = -1

    def status(self) -> dict[str, str]:
        """Return what `status` says; `state=GONE` when there is no conversation any more."""
        try:
            text = (self.path / "status").read_text()
        except FileNotFoundError:
            text = "state=GONE"
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def reaches(self, *states: str) -> None:
        wait_until(lambda: self.status().get("state") in states, lambda: f"{self.status()} instead of {states}")

    def close(self) -> None:
        for descriptor in (self.rx, self.tx):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def peer(module_tap_network: TapNetwork, family: Family) -> Puppet:
    return Puppet(module_tap_network, family)


@contextmanager
def connected(network: TapNetwork, peer: Puppet, port: int) -> Iterator[Ours]:
    """Connect to `c` of the peer."""
    peer(f"s = listen({port})")
    ours = Ours(network, peer.family.peer.at(port))
    peer("c = s.accept()[0]")
    try:
        yield ours
    finally:
        impair(network, "none")
        ours.close()


def impair(network: TapNetwork, line: str) -> None:
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text(f"{line}\n")


def fails(number: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:
        call()
    assert caught.value.errno == number


# A RST in every state


def test_reset_in_syn_sent(module_tap_network: TapNetwork, family: Family) -> None:
    fails(errno.ECONNREFUSED, lambda: Ours(module_tap_network, family.peer.at(7899)))


def test_reset_in_syn_received(module_tap_network: TapNetwork, peer: Puppet) -> None:
    """The peer's kernel knows nothing of the SYN that is injected, so it resets our SYN-ACK; then others are served."""
    tcp = module_tap_network.mount.path / "tcp"
    listener = os.open(tcp / ":7801", os.O_RDWR)
    peer("watch()")
    peer(f"inject(7000, 7801, {SYN}, 1000)")
    seen: list[tuple[bool, int, int, int, int, int, int]] = []
    wait_until(lambda: seen.extend(peer("segments()")) or any(one[3] & RST for one in seen), lambda: str(seen))
    assert [(one[0], one[3]) for one in seen] == [(False, SYN), (True, SYN | ACK), (False, RST)]
    name = os.getxattr(listener, "user.conversation").decode()
    wait_until(lambda: "opening=0" in (module_tap_network.mount.path / name / "status").read_text())
    peer("c = socket.create_connection((US, 7801))")
    assert os.read(listener, 100).split()[1].startswith(f"{peer.family.peer.host}:".encode())
    os.close(listener)


def test_reset_in_established(module_tap_network: TapNetwork, peer: Puppet) -> None:
    with connected(module_tap_network, peer, 7802) as ours:
        ours.reaches("ESTABLISHED")
        peer("reset(c)")
        fails(errno.ECONNRESET, lambda: os.read(ours.rx, 1))


def test_reset_in_fin_wait_1(module_tap_network: TapNetwork, peer: Puppet) -> None:
    """The FIN waits behind octets that the peer doesn't read."""
    with connected(module_tap_network, peer, 7803) as ours:
        fill(ours.tx)
        ours.finish()
        ours.reaches("FIN_WAIT_1")
        peer("reset(c)")
        fails(errno.ECONNRESET, lambda: os.read(ours.rx, 1))


def test_reset_in_fin_wait_2(module_tap_network: TapNetwork, peer: Puppet) -> None:
    with connected(module_tap_network, peer, 7804) as ours:
        ours.finish()
        ours.reaches("FIN_WAIT_2")
        peer("reset(c)")
        fails(errno.ECONNRESET, lambda: os.read(ours.rx, 1))


def test_reset_in_close_wait(module_tap_network: TapNetwork, peer: Puppet) -> None:
    """EPIPE, as on Linux, for who has read the end and still writes."""
    with connected(module_tap_network, peer, 7805) as ours:
        peer("c.shutdown(socket.SHUT_WR)")
        assert os.read(ours.rx, 1) == b""
        ours.reaches("CLOSE_WAIT")
        peer("reset(c)")
        wait_until(lambda: ours.status()["state"] == "CLOSED")
        fails(errno.EPIPE, lambda: os.write(ours.tx, b"x"))


def test_reset_in_closing(module_tap_network: TapNetwork, peer: Puppet) -> None:
    """Both FINs have crossed; what we send is lost, so ours stays unacknowledged."""
    with connected(module_tap_network, peer, 7806) as ours:
        impair(module_tap_network, "loss 100% direction out")
        ours.finish()
        ours.reaches("FIN_WAIT_1")
        peer("c.shutdown(socket.SHUT_WR)")
        ours.reaches("CLOSING")
        peer("reset(c)")
        ours.reaches("CLOSED", "GONE")
        assert os.read(ours.rx, 1) == b""


def test_reset_in_last_ack(module_tap_network: TapNetwork, peer: Puppet) -> None:
    with connected(module_tap_network, peer, 7807) as ours:
        peer("c.shutdown(socket.SHUT_WR)")
        ours.reaches("CLOSE_WAIT")
        impair(module_tap_network, "loss 100% direction out")
        ours.finish()
        ours.reaches("LAST_ACK")
        peer("reset(c)")
        ours.reaches("CLOSED", "GONE")
        assert os.read(ours.rx, 1) == b""


def test_reset_in_time_wait(module_tap_network: TapNetwork, peer: Puppet) -> None:
    """Linux sends none there, so it is made by hand: RCV.NXT is what our last ACK said."""
    with connected(module_tap_network, peer, 7808) as ours:
        peer("watch()")
        ours.finish()
        ours.reaches("FIN_WAIT_2")
        peer("c.close()")
        ours.reaches("TIME_WAIT")
        *_, (_, local, remote, _, _, ack, _) = [one for one in peer("segments()") if one[0]]
        peer(f"inject({remote}, {local}, {RST}, {ack})")
        ours.reaches("CLOSED", "GONE")


def test_linux_has_nothing_to_reset_when_we_were_slow_to_acknowledge_its_fin(
    module_tap_network: TapNetwork, peer: Puppet
) -> None:
    """It has sent the FIN again meanwhile. One ACK for all copies: the second would come for a socket that is gone."""
    with connected(module_tap_network, peer, 7809) as ours:
        ours.finish()
        ours.reaches("FIN_WAIT_2")
        peer("watch()")
        seen: list[tuple[bool, int, int, int, int, int, int]] = []
        os.kill(module_tap_network.mount.pid, signal.SIGSTOP)
        try:
            peer("c.close()")
            wait_until(lambda: seen.extend(peer("segments()")) or len(seen) >= 3, lambda: str(seen))
        finally:
            os.kill(module_tap_network.mount.pid, signal.SIGCONT)
        assert os.read(ours.rx, 1) == b""
        module_tap_network.run_peer(["ping", "-c", "1", "-W", "5", peer.family.ours])
        seen += peer("segments()")
        assert [(from_us, flags) for from_us, _, _, flags, *_ in seen] == [(False, FIN | ACK)] * 3 + [(True, ACK)]


def fill(descriptor: int) -> int:
    """Write until nothing more is taken; return how much was."""
    taken = 0
    while True:
        try:
            taken += os.write(descriptor, bytes(1 << 16))
        except BlockingIOError:
            return taken


# Opens


def test_simultaneous_open(module_tap_network: TapNetwork, family: Family, peer: Puppet) -> None:
    """Both SYNs are under way before either arrives (RFC 9293 §3.5, figure 8)."""
    peer("watch()")
    peer("c = socket.socket(FAMILY); c.bind((PEER, 7820)); c.settimeout(10)")
    impair(module_tap_network, "delay 150ms")
    try:
        peer.begin("c.connect((US, 7821))")
        ours = Ours(module_tap_network, f"{family.peer.at(7820)},from={family.ours.at(7821)}")
        peer.outcome()
    finally:
        impair(module_tap_network, "none")
    os.write(ours.tx, b"from us")
    assert peer("c.recv(100)") == b"from us"
    peer("c.sendall(b'from Linux'); c.close()")
    assert os.read(ours.rx, 100) == b"from Linux"
    assert os.read(ours.rx, 100) == b""
    ours.close()
    syns = [one[0] for one in peer("segments()") if one[3] & (SYN | ACK) == SYN]
    assert sorted(syns) == [False, True]


def test_linux_comes_again_from_a_port_that_is_in_time_wait_here(module_tap_network: TapNetwork, peer: Puppet) -> None:
    """RFC 9293 MAY-2, RFC 6191: the SYN is newer than anything of the old connection."""
    tcp = module_tap_network.mount.path / "tcp"
    listener = os.open(tcp / ":7830", os.O_RDWR)
    for number in range(3):
        peer("c = socket.socket(FAMILY); c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); c.settimeout(10)")
        peer("c.bind((PEER, 7831)); c.connect((US, 7830))")
        name = os.read(listener, 100).split()[0].decode()
        ours = os.open(tcp / name / "data", os.O_RDWR)
        os.write(ours, b"%d" % number)
        os.close(ours)
        assert peer("c.recv(100), c.recv(100), c.close()") == (b"%d" % number, b"", None)
        wait_until(lambda name=name: not (tcp / name).exists())  # in TIME-WAIT
    os.close(listener)


def test_we_come_again_from_a_port_that_is_in_time_wait_there(
    module_tap_network: TapNetwork, family: Family, peer: Puppet
) -> None:
    peer("s = listen(7832)")
    for _ in range(3):
        ours = Ours(module_tap_network, f"{family.peer.at(7832)},from={family.ours.at(7833)},timeout=10")
        peer("c = s.accept()[0]; c.sendall(b'hello'); c.close()")
        assert os.read(ours.rx, 100) == b"hello"
        assert os.read(ours.rx, 100) == b""
        ours.close()
        ours.reaches("GONE")


# Windows


def test_a_window_that_shrinks(module_tap_network: TapNetwork, peer: Puppet) -> None:
    """With tcp_shrink_window Linux takes back what it has offered; what it drops for that comes again."""
    network = module_tap_network
    network.run_peer(["sysctl", "-qw", "net.ipv4.tcp_shrink_window=1"])
    octets = os.urandom(3 << 20)
    with connected(network, peer, 7840) as ours:
        peer("watch()")
        peer("c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)")
        sent = offered(ours.tx, octets[:100_000])
        wait_until(lambda: ours.status()["in_flight"] == "0", lambda: str(ours.status()))
        peer("c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)")
        sent += offered(ours.tx, octets[sent : 1 << 20])
        wait_until(lambda: ours.status()["snd_wnd"] == "0", lambda: str(ours.status()))
        scale = int(ours.status()["snd_scale"])
        edges = [ack + (window << scale) for from_us, *_, ack, window in peer("segments()") if not from_us]
        assert any(later < edge for edge, later in pairwise(edges)), edges
        os.set_blocking(ours.tx, True)
        peer.begin("data = b''.join(iter(lambda: c.recv(1 << 16), b''))")
        while sent < len(octets):
            sent += os.write(ours.tx, octets[sent : sent + (1 << 18)])
        ours.finish()
        peer.outcome()
        assert peer("__import__('hashlib').sha256(data).hexdigest()") == hashlib.sha256(octets).hexdigest()


def offered(descriptor: int, octets: bytes) -> int:
    taken = 0
    while taken < len(octets):
        try:
            taken += os.write(descriptor, octets[taken:])
        except BlockingIOError:
            break
    return taken


@pytest.mark.parametrize("seconds", [0.5, pytest.param(5.0, marks=pytest.mark.full)])
def test_a_window_that_was_closed_and_whose_update_is_lost(
    module_tap_network: TapNetwork, peer: Puppet, seconds: float
) -> None:
    """Our probes go on for as long as it takes, and find it open."""
    network = module_tap_network
    with connected(network, peer, 7850 + int(seconds)) as ours:
        sent = fill(ours.tx)
        wait_until(lambda: ours.status()["snd_wnd"] == "0", lambda: str(ours.status()))
        time.sleep(seconds)  # that the window stays closed for so long is what is tested
        impair(network, "loss 100% direction in")
        peer(f"got = 0; c.setblocking(False)\nwhile got < {sent} and readable(c): got += len(c.recv(1 << 20))")
        assert 0 < peer("got") < sent
        impair(network, "none")
        peer(f"c.setblocking(True)\nwhile got < {sent}: got += len(c.recv(1 << 20))")
        assert peer("got") == sent
