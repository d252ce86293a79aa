"""`tls/HOST:PORT,keys`: its capture has the handshake and the secrets, and tshark reads the text."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.capture_reader import CaptureReader
from schemefs.testing.network import TapNetwork
from schemes.network.pcapng import SecretsBlock
from tests.support.families import FAMILIES, Family
from tests.support.tls_certificates import Authority

pytestmark = pytest.mark.needs("fuse", "tap", "root", "tshark")

SECRETS = 10
SERVER = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
if sys.argv[3:]:
    context.maximum_version = getattr(ssl.TLSVersion, sys.argv[3])
listener = socket.create_server(("", int(sys.argv[2])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    try:
        with context.wrap_socket(listener.accept()[0], server_side=True) as peer:
            peer.recv(100)
            peer.sendall(b"HTTP/1.0 200 OK\\r\\nX-Secret: of-the-server\\r\\nContent-Length: 0\\r\\n\\r\\n")
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def network(module_tap_network: TapNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TapNetwork]:
    folder = tmp_path_factory.mktemp("tls")
    certificate = str(Authority(folder).certificate("peer", *(family.peer for family in FAMILIES)))
    for words in (("7443",), ("7444", "TLSv1_2")):
        command = [sys.executable, "-c", SERVER, certificate, *words]
        peer = module_tap_network.start_peer(command, stdout=subprocess.PIPE)
        assert peer.stdout is not None
        assert peer.stdout.readline() == "ready\n"
    return module_tap_network


def exchange(network: TapNetwork, endpoint: str, path: Path, *, opens_early: bool = False) -> None:
    """Ask the server, and keep the capture of the conversation in *path*."""
    flags = os.O_RDWR | (os.O_NONBLOCK if opens_early else 0)
    descriptor = os.open(network.mount.path / f"tls/{endpoint},verify=no", flags)
    capture = Path(os.getxattr(descriptor, "user.conversation").decode(), "capture.pcapng")
    source = os.open(network.mount.path / capture, os.O_RDONLY)
    os.set_blocking(descriptor, True)
    os.write(descriptor, b"GET /of-the-client HTTP/1.0\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += os.read(descriptor, 1000)
    os.set_blocking(source, False)
    octets = os.read(source, 1 << 20)
    os.close(descriptor)
    os.close(source)
    path.write_bytes(octets)


def decrypted(path: Path) -> str:
    """Return what tshark reads of HTTP."""
    ports = [f"-d{what}" for port in (7443, 7444) for what in (f"tcp.port=={port},tls", f"tls.port=={port},http")]
    fields = ["-Tfields", "-ehttp.request.uri", "-ehttp.response.line"]
    command = ["tshark", "-r", str(path), "-Y", "http", *fields, *ports]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("port", "opens_early"), [("7443", True), pytest.param("7443", False, marks=pytest.mark.full), ("7444", False)]
)
def test_tshark_reads_the_text(
    network: TapNetwork, family: Family, tmp_path: Path, port: str, opens_early: bool
) -> None:
    path = tmp_path / "keys.pcapng"
    exchange(network, f"{family.peer.at(port)},keys", path, opens_early=opens_early)
    text = decrypted(path)
    assert "/of-the-client" in text
    assert "X-Secret: of-the-server" in text
    with path.open("rb") as file:
        kinds = {block.kind: block for block in CaptureReader(file).blocks()}
    assert b"CLIENT_" in SecretsBlock(kinds[SECRETS].octets).secrets


def test_without_the_option_there_are_no_secrets(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    path = tmp_path / "none.pcapng"
    exchange(network, family.peer.at(7443), path)
    with path.open("rb") as file:
        assert SECRETS not in {block.kind for block in CaptureReader(file).blocks()}
    assert decrypted(path) == ""


def test_the_option_is_for_connecting(network: TapNetwork, family: Family) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        os.open(network.mount.path / "tls/:7445,keys,cert=%2Fx", os.O_RDWR)
    assert "keys" in (network.mount.path / "tls/err").read_text()
    with pytest.raises(OSError, match="Connection refused"):
        os.open(network.mount.path / f"tls/{family.peer.at(7446)},keys,verify=no", os.O_RDWR)
