"""TLS against Linux programs: openssl s_server, s_client and curl on the other end of the TAP."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import subprocess

import pytest

from tests.support.tls_certificates import Authority
from tests.support.tls_peer import NAME, certificates, named, python, quoted, s_server, shell

pytestmark = pytest.mark.needs("fuse", "tap", "root")

CLOSING = """
import os, ssl, sys
sys.path.insert(0, "")
import socket
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(sys.argv[1])
listener = socket.create_server(("", 4433), family=socket.AF_INET6, dualstack_ipv6=True); print("ready", flush=True)
while True:
    raw, _ = listener.accept()
    tls = context.wrap_socket(raw, server_side=True)
    tls.sendall(b"some of it\\n")
    if sys.argv[2] == "close_notify":
        tls.unwrap().close()
    else:
        raw = tls.detach(); os.close(raw)
"""
ECHO = """
import hashlib, socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(sys.argv[1])
listener = socket.create_server(("", 4434), family=socket.AF_INET6, dualstack_ipv6=True); print("ready", flush=True)
tls = context.wrap_socket(listener.accept()[0], server_side=True)
digest = hashlib.sha256()
while data := tls.recv(1 << 16):
    digest.update(data); tls.sendall(data)
print(digest.hexdigest(), flush=True)
tls.unwrap()
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def network(tap_network, family):
    return named(tap_network, family)


def test_a_page_over_https_from_a_shell(network, authority):
    s_server(network, authority.folder / "good.pem")
    fetched = shell(
        network,
        f"exec 3<>tls/{NAME}:4433,ca={quoted(authority.ca)} || exit 1\n"
        "n=$(schemefs which 3); printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3\n"
        'cat "$n/status" >&2; cat <&3',
    )
    assert "TLSv1.3" in fetched.stdout, fetched.stderr
    assert "version=TLSv1.3" in fetched.stderr
    assert re.search("^peer_subject=.*, CN=good$", fetched.stderr, re.MULTILINE)
    assert fetched.returncode == 0


@pytest.mark.parametrize(
    ("certificate", "sentence"),
    [("expired", "expired"), ("other", f"not valid for '{NAME}'"), (NAME, "self-signed")],
)
def test_a_bad_certificate_is_an_error_of_open(network, authority, certificate, sentence):
    s_server(network, authority.folder / f"{certificate}.pem")
    ca = quoted(authority.ca)
    with pytest.raises(OSError) as caught:
        os.open(network.mount.path / f"tls/{NAME}:4433,ca={ca}", os.O_RDWR)
    assert caught.value.errno == errno.EPROTO
    assert sentence in (network.mount.path / "tls/err").read_text()
    os.close(os.open(network.mount.path / f"tls/{NAME}:4433,verify=no", os.O_RDWR))


def test_the_system_does_not_trust_the_tests_authority(network, authority):
    s_server(network, authority.folder / "good.pem")
    with pytest.raises(OSError) as caught:
        os.open(network.mount.path / f"tls/{NAME}:4433", os.O_RDWR)
    assert caught.value.errno == errno.EPROTO


@pytest.mark.parametrize("ending", ["close_notify", "fin_only"])
def test_close_notify_is_end_of_file_and_truncation_is_a_reset(network, authority, ending):
    python(network, CLOSING, str(authority.folder / "good.pem"), ending)
    read = shell(network, f"cat tls/{NAME}:4433,ca={quoted(authority.ca)}")
    assert read.stdout == "some of it\n"
    assert (read.returncode == 0) == (ending == "close_notify")
    assert ("Connection reset by peer" in read.stderr) == (ending == "fin_only")


def test_ten_mebibytes_there_and_back(network, authority, tmp_path):
    server = python(network, ECHO, str(authority.folder / "good.pem"))
    octets = os.urandom(10 << 20)
    (tmp_path / "in").write_bytes(octets)
    ca = quoted(authority.ca)
    moved = shell(
        network,
        f'exec 3<>tls/clone; read -r n <&3; echo "connect {NAME}:4434,ca={ca}" >&3 || exit 1\n'
        f"cat {tmp_path}/in >tls/$n/tx & cat tls/$n/rx >{tmp_path}/out",
    )
    assert moved.returncode == 0, moved.stderr
    digest = hashlib.sha256(octets).hexdigest()
    assert server.stdout.readline() == f"{digest}\n"
    assert hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest() == digest


SERVER = """
exec 4<>tls/clone; read -r l <&4; echo "announce :8443,cert=$1" >&4 || exit 1
echo ready
exec 5<>tls/$l/listen; read -r n <&5
{ read -r request; printf 'HTTP/1.0 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nhello\\n'; } <tls/$n/rx >tls/$n/tx
"""
LOOP = """
exec 4<>"tls/:8443,cert=$1"; echo ready
while read -r n peer _ <&4; do
    { read -r request; printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhello %s\\n' "$peer"; } <tls/$n/rx >tls/$n/tx &
done
"""


@pytest.mark.parametrize(("program", "slash"), [(SERVER, "/"), (LOOP, "%2F")])
def test_a_shell_serves_curl_over_https(network, authority, program, slash, family):
    certificate = str(authority.folder / "good.pem").replace("/", slash)
    with subprocess.Popen(
        ["bash", "-c", program, "bash", certificate], cwd=network.mount.path, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout.readline() == "ready\n"
            got = network.run_peer(
                ["curl", "-gsS", "--noproxy", "*", "--cacert", str(authority.ca), f"https://{family.ours.at(8443)}/"]
            )
            assert got.stdout.startswith("hello")
        finally:
            server.kill()


def test_poll_reports_in_while_octets_of_a_record_are_unread(network, authority):
    import select

    python(network, CLOSING, str(authority.folder / "good.pem"), "close_notify")
    descriptor = os.open(network.mount.path / f"tls/{NAME}:4433,ca={quoted(authority.ca)}", os.O_RDWR)
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        for octet in b"some of it\n":
            assert waiting.poll(5000)[0][1] & select.POLLIN
            assert os.read(descriptor, 1) == bytes([octet])
        assert os.read(descriptor, 1) == b""
    finally:
        os.close(descriptor)
