"""TLS with Linux's openssl and curl as peers: client certificates, alpn, many connections, bulk, time-outs."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time

import pytest

from tests.support.tls_certificates import Authority
from tests.support.tls_peer import NAME, certificates, named, python, quoted, s_server, shell

pytestmark = pytest.mark.needs("fuse", "tap", "root")

MEBIBYTES = 100
SINK_AND_SOURCE = """
import hashlib, random, socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(sys.argv[1])
listener = socket.create_server(("", 4434), family=socket.AF_INET6, dualstack_ipv6=True); print("ready", flush=True)
tls = context.wrap_socket(listener.accept()[0], server_side=True)
taken, given, block = hashlib.sha256(), hashlib.sha256(), random.Random(1).randbytes(1 << 20)
if sys.argv[2] == "sink":
    while data := tls.recv(1 << 16): taken.update(data)
else:
    for _ in range(int(sys.argv[3])):
        tls.sendall(block); given.update(block)
print((taken if sys.argv[2] == "sink" else given).hexdigest(), flush=True)
tls.unwrap()
"""
# Accepts connections and never sends.
SILENT = """
import socket, sys
listener = socket.create_server(("", 4435), family=socket.AF_INET6, dualstack_ipv6=True); print("ready", flush=True)
kept = []
while True: kept.append(listener.accept()); print("accepted", flush=True)
"""
HELLO = """
exec 4<>"tls/:8443,$1"; echo ready
while read -r n peer _ <&4; do
    {
        read -r request; sed -n 's/^alpn=//p; s/^peer_subject=//p' tls/$n/status; echo "$request"
    } <tls/$n/rx >tls/$n/tx &
done
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def network(tap_network, family):
    return named(tap_network, family)


@contextlib.contextmanager
def serving(network, options: str):
    """Run HELLO until the block ends."""
    command = ["bash", "-c", HELLO, "bash", options]
    with subprocess.Popen(command, cwd=network.mount.path, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.kill()


def s_client(network, family, authority, *options: str) -> subprocess.CompletedProcess[str]:
    """Send a request from the peer; return the result, with the response in stdout."""
    command = ["openssl", "s_client", "-connect", family.ours.at(8443), "-CAfile", str(authority.ca), "-quiet"]
    command += ["-verify_ip", family.ours, "-verify_return_error", *options]
    return network.run_peer(command, input="GET / HTTP/1.0\n", check=False)


def test_openssl_as_a_client_verifies_the_certificate(network, authority, family):
    with serving(network, f"cert={quoted(authority.folder / 'good.pem')},alpn=h2+http%2F1.1"):
        done = s_client(network, family, authority, "-alpn", "http/1.1", "-tls1_3")
        assert done.stdout == "http/1.1\n\nGET / HTTP/1.0\n", done.stderr
        assert s_client(network, family, authority, "-tls1_2").stdout.endswith("GET / HTTP/1.0\n")
        old = s_client(network, family, authority, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        assert old.returncode
        assert "alert" in old.stderr


def test_a_server_with_ca_requires_a_client_certificate(network, authority, family):
    good, client = authority.folder / "good.pem", authority.folder / "client.pem"
    with serving(network, f"cert={quoted(good)},ca={quoted(authority.ca)}"):
        known = s_client(network, family, authority, "-cert", str(client), "-key", str(client))
        assert "CN=client" in known.stdout
        assert "GET /" not in s_client(network, family, authority).stdout


def test_a_client_sends_its_certificate_on_request(network, authority):
    good, client = authority.folder / "good.pem", authority.folder / "client.pem"
    s_server(network, good, "-CAfile", str(authority.ca), "-Verify", "1", "-verify_return_error", "-www", "-tls1_2")
    path = f"tls/{NAME}:4433,ca={quoted(authority.ca)}"
    ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    shown = shell(network, f"exec 3<>{path},cert={quoted(client)}; {ask}").stdout
    body = client.read_text().split("-----BEGIN CERTIFICATE-----\n")[1].split("\n")[0]
    assert body in shown
    refused = shell(network, f"exec 3<>{path}; {ask}")
    assert "Protocol error" in refused.stderr


def test_alpn_is_agreed_on_with_openssl(network, authority):
    s_server(network, authority.folder / "good.pem", "-alpn", "h2", "-www")
    asked = shell(
        network,
        f"exec 3<>tls/{NAME}:4433,ca={quoted(authority.ca)},alpn=http%2F1.1+h2; cat $(schemefs which 3)/status",
    )
    assert "alpn=h2\n" in asked.stdout, asked.stderr


def test_many_clients_are_served_at_once(network, authority, family):
    with serving(network, f"cert={quoted(authority.folder / 'good.pem')}"):
        fetch = f"curl -gsS --http0.9 --noproxy '*' --cacert {authority.ca} https://{family.ours.at(8443)}/$i"
        done = network.run_peer(["bash", "-c", f"for i in $(seq 30); do {fetch} & done; wait"], timeout=60)
        got = sorted(int(line.split()[1][1:]) for line in done.stdout.splitlines() if line.startswith("GET"))
        assert got == list(range(1, 31)), done.stderr


@pytest.mark.parametrize("direction", ["sink", "source"])
def test_a_hundred_mebibytes_arrive_complete(network, authority, direction):
    server = python(network, SINK_AND_SOURCE, str(authority.folder / "good.pem"), direction, str(MEBIBYTES))
    path = f"tls/{NAME}:4434,ca={quoted(authority.ca)}"
    if direction == "source":
        moved = shell(network, f"cat {path} | sha256sum", timeout=60)
    else:
        moved = shell(network, f"head -c {MEBIBYTES}M /dev/urandom | tee >(sha256sum >&2) >{path}", timeout=60)
    assert server.stdout.readline().strip() == (moved.stdout + moved.stderr).split()[0]


def test_a_handshake_without_an_answer_is_interruptible_and_times_out(network):
    server = python(network, SILENT)
    mount = network.mount.path
    opening = subprocess.Popen(["cat", mount / f"tls/{NAME}:4435,verify=no"], stderr=subprocess.DEVNULL)
    assert server.stdout.readline() == "accepted\n"
    assert "HANDSHAKE" in (mount / "tls/0/status").read_text()
    began = time.monotonic()
    opening.send_signal(signal.SIGINT)
    assert opening.wait(5) == -signal.SIGINT
    assert time.monotonic() - began < 1
    assert not (mount / "tls/0").exists()
    with pytest.raises(OSError) as caught:
        os.open(mount / f"tls/{NAME}:4435,verify=no,timeout=0.3", os.O_RDWR)
    assert caught.value.errno == errno.ETIMEDOUT
    assert "no TLS handshake within the time-out" in (mount / "tls/err").read_text()
