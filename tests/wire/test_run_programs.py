"""`schemefs run`: clients and servers, unchanged, as an ordinary user, with a Linux peer on a TAP.

Each runs in a network namespace of its own. Its counters stay 0: no octet goes through the kernel's sockets.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

from schemefs.testing.network import TapNetwork
from schemefs.testing.observing import wait_until
from tests.support.families import FAMILIES, Family
from tests.support.open_to_all import open_to_all
from tests.support.ordinary_user import USER
from tests.support.run_as_user import Done, ended, run_as_user, started_as_user
from tests.support.tls_certificates import Authority

pytestmark = pytest.mark.needs("root", "userns", "tap", "fuse")

BIG = os.urandom(1 << 20)
HTTPS = """
import http.server, socket, ssl, sys
http.server.ThreadingHTTPServer.address_family = socket.AF_INET6  # of both
server = http.server.ThreadingHTTPServer(("::", 443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
# On the peer: a name server that knows one name for each of its addresses, as many as there are families.
NAMES = """
import ipaddress, socket, sys
known = {}
for words in sys.argv[1:]:
    name, address = words.split("=")
    octets = ipaddress.ip_address(address).packed
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    known[labels + b"\\0\\0" + bytes([1 if len(octets) == 4 else 28])] = octets
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", 53))
while True:
    query, client = server.recvfrom(512)
    end = query.index(0, 12) + 5
    octets = known.get(query[12:end - 2], b"")
    answer = b"\\xc0\\x0c" + query[end - 4:end] + b"\\0\\0\\0\\x3c\\0" + bytes([len(octets)]) + octets
    head = query[:2] + b"\\x81\\x80\\0\\1\\0" + bytes([bool(octets)]) + bytes(4)
    server.sendto(head + query[12:end] + answer * bool(octets), client)
"""


def name_of(family: Family) -> str:
    """Return the name that has an address of this family alone."""
    return f"peer.v{family.version}.test"


def where_there_is(program: str) -> pytest.MarkDecorator:
    """Skip elsewhere, also where REQUIRE has programs: a package that starts a server is not installed for a test."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"this machine: no {program}")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder that the user may write, with what the servers show."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        (folder / "www").mkdir()
        (folder / "www/test").write_text("hello\n")
        (folder / "www/big").write_bytes(BIG)
        os.chown(folder, USER, USER)
        yield folder


@pytest.fixture(scope="module")
def network(module_tap_network: TapNetwork, folder: Path) -> Iterator[TapNetwork]:
    """The peer with its servers; each waits for its own port."""
    network = module_tap_network
    with open_to_all(network.mount.path.parent):
        web = [sys.executable, "-m", "http.server", "-b", "::", "-d", str(folder / "www"), "80"]
        names = {name_of(family): family.peer for family in FAMILIES}
        certificate = str(Authority(folder).certificate("peer", *names, *names.values()))
        for command in (
            web,
            [sys.executable, "-c", HTTPS, certificate],
            [sys.executable, "-c", NAMES, *map("=".join, names.items())],
        ):
            network.start_peer(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder / "www")
        for port in (80, 443):
            wait_for_port(network, port)
        yield network


def wait_for_port(network: TapNetwork, port: int) -> None:
    wait_until(lambda: f":{port} " in network.run_peer(["ss", "-Hltn"]).stdout)


Run = Callable[..., Done]


@pytest.fixture
def run(network: TapNetwork, family: Family, folder: Path) -> Run:
    (network.mount.path / "netcfg/resolv/nameserver").write_text(f"{family.peer}\n")

    def run(*command: str, verbose: bool = False, given: str = "") -> Done:
        words = ["--mount", str(network.mount.path), *(["-v"] if verbose else [])]
        return run_as_user(folder, words, list(command), given)

    return run


def succeeds(done: Done, output: str | None = None) -> None:
    assert (done.status, done.errors) == (0, "")
    assert output is None or done.output == output
    assert done.counters == {}


@pytest.mark.needs("curl")
def test_curl(run: Run, family: Family, folder: Path) -> None:
    succeeds(run("curl", "-gsS", f"http://{family.peer.host}/test"), "hello\n")
    succeeds(run("curl", "-gsS", "--cacert", f"{folder}/ca.pem", f"https://{family.peer.host}/test"), "hello\n")
    succeeds(run("curl", "-gsS", "-o", "fetched", f"http://{family.peer.host}/big"))
    assert (folder / "fetched").read_bytes() == BIG


@pytest.mark.needs("curl")
def test_a_name_is_resolved_by_the_mount(run: Run, family: Family, folder: Path) -> None:
    succeeds(run("curl", "-gsS", f"http://{name_of(family)}/test"), "hello\n")
    succeeds(run("curl", "-gsS", "--cacert", f"{folder}/ca.pem", f"https://{name_of(family)}/test"), "hello\n")
    refused = run("curl", "-gsS", "http://nothing.invalid/")
    assert (refused.status, refused.counters) == (6, {})


@pytest.mark.needs("curl")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_at_70_ms_each_way_as_in_the_notes(
    network: TapNetwork, run: Run, family: Family, folder: Path, scheme: str, request: pytest.FixtureRequest
) -> None:
    impair = network.mount.path / "netcfg/ifaces/eth0/impair"
    impair.write_text("delay 70ms\n")
    request.addfinalizer(lambda: impair.write_text("none\n"))
    with EventsOfTheNext(network.mount.path / "tcp") as events:
        words = ["-sS", "--cacert", f"{folder}/ca.pem", "-w", "%{http_code}", f"{scheme}://{family.peer.host}/test"]
        done = run("curl", *words, verbose=True)
    assert (done.status, done.output, done.counters) == (0, "hello\n200", {})
    assert re.search(r"connect\(.*\) = -1 EINPROGRESS", done.errors)
    assert_it_goes_as_the_notes_wanted(events.text)


class EventsOfTheNext(threading.Thread):
    """Reads `events` of the first conversation that appears, from its start to its end."""

    def __init__(self, tcp: Path) -> None:
        super().__init__()
        self.tcp = tcp
        self.before = {path.name for path in tcp.iterdir()}
        self.text = ""

    def run(self) -> None:
        while not (new := [path for path in self.tcp.iterdir() if path.name not in self.before]):
            pass
        self.text = (new[0] / "events,follow").read_text()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.join(30)


def assert_it_goes_as_the_notes_wanted(text: str) -> None:
    """There: ten polls, each with another wrong answer, and the client had given up when the SYN-ACK came."""
    lines = text.splitlines()

    def first(pattern: str, after: int = 0) -> int:
        found = (number for number, line in enumerate(lines) if number >= after and re.search(pattern, line))
        return next(found, len(lines) - 1)

    syn = first(" SYN out to ")
    syn_ack = first(" SYN-ACK in from ", syn)
    assert 0.14 <= seconds(lines[syn_ack]) - seconds(lines[syn]) < 1
    before = [line for line in lines[syn:syn_ack] if " poll pid " in line]
    assert {line.partition(" -> ")[2] for line in before} <= {"none", "none, parked"}  # and none changes anything
    assert before[-1].endswith("-> none, parked")
    assert lines[syn_ack + 1].endswith(" SYN_SENT -> ESTABLISHED")
    assert lines[syn_ack + 2].endswith(" fevent OUT -> 1 waker")
    assert lines[first(" poll pid ", syn_ack)].endswith("-> OUT")
    write = first(" write of ", syn_ack)
    assert write < first(" in from .* [1-9][0-9]* octets", write) < first(" read of [0-9]+: [1-9]", write)
    assert "CLOSED" in lines[-1]


def seconds(line: str) -> float:
    return float(line.split(maxsplit=1)[0])


@pytest.mark.needs("wget")
def test_wget(run: Run, family: Family) -> None:
    succeeds(run("wget", "-qO-", f"http://{family.peer.host}/test"), "hello\n")


@pytest.mark.needs("git")
def test_git_clone(network: TapNetwork, run: Run, family: Family, folder: Path) -> None:
    made = {"cwd": folder, "check": True, "capture_output": True}
    name = f"repo{family.version}"
    subprocess.run(["git", "init", "-q", name], **made)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", name, *author, "commit", "-q", "--allow-empty", "-m", "one"], **made)
    subprocess.run(["git", "clone", "-q", "--bare", name, f"www/{name}.git"], **made)
    subprocess.run(["git", "-C", f"www/{name}.git", "update-server-info"], **made)
    daemon = ["git", "-c", "safe.directory=*", "daemon", "--export-all", f"--base-path={folder}/www"]
    network.start_peer([*daemon, f"--listen={family.any}"], stderr=subprocess.DEVNULL)
    wait_for_port(network, 9418)
    for protocol in ("http", "git"):
        clone = f"{name}.{protocol}"
        succeeds(run("git", "clone", "-q", f"{protocol}://{family.peer.host}/{name}.git", clone))
        assert (folder / clone / ".git/HEAD").exists()


@pytest.mark.needs("ssh")
@where_there_is("sshd")
def test_ssh(network: TapNetwork, run: Run, family: Family, folder: Path) -> None:
    host_key, user_key = (folder / f"{name}{family.version}" for name in ("host", "user"))
    for key in (host_key, user_key):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    os.chown(user_key, USER, USER)
    Path("/run/sshd").mkdir(exist_ok=True)
    options = {
        "AuthorizedKeysFile": f"{user_key}.pub", "StrictModes": "no", "PidFile": "none", "UsePAM": "no",
        "PermitRootLogin": "yes", "ListenAddress": family.any,
    }  # fmt: skip
    words = [f"-o{name}={value}" for name, value in options.items()]
    sshd = [shutil.which("sshd") or "", "-D", "-f", "/dev/null", "-h", str(host_key), *words]
    network.start_peer(sshd, stderr=subprocess.DEVNULL)
    wait_for_port(network, 22)
    client = ["ssh", "-F", "none", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR"]
    succeeds(run(*client, "-i", str(user_key), f"root@{family.peer}", "echo $((6 * 7))"), "42\n")


CLIENTS = """
import asyncio, http.client, sys, urllib.request
peer, host, name = sys.argv[1:]
connection = http.client.HTTPConnection(peer, 80)
for _ in range(2):
    connection.request("GET", "/test")
    print(connection.getresponse().read())
print(urllib.request.urlopen(f"http://{name}/test").read())
try:
    import requests
except ImportError:
    pass
else:
    assert requests.get(f"http://{host}/test").text == "hello\\n"
async def main():
    reader, writer = await asyncio.open_connection(peer, 80)
    writer.write(b"GET /test HTTP/1.0\\r\\n\\r\\n")
    print((await reader.read()).rpartition(b"\\r\\n")[2])
    writer.close()
    await writer.wait_closed()
    many = [asyncio.open_connection(peer, 80) for _ in range(20)]
    streams = await asyncio.gather(*many)
    for _, writer in streams:
        writer.write(b"GET /test HTTP/1.0\\r\\n\\r\\n")
    print({(await reader.read())[-6:] for reader, _ in streams})
    try:
        await asyncio.open_connection(peer, 9)
    except OSError as error:
        print(error.strerror)
asyncio.run(main())
"""


def test_http_client_urllib_requests_and_asyncio(run: Run, family: Family) -> None:
    endpoint = (family.peer, 9) if family.version == 4 else (family.peer, 9, 0, 0)
    output = "b'hello\\n'\n" * 4 + f"{{b'hello\\n'}}\nConnect call failed {endpoint}\n"
    succeeds(run(sys.executable, "-c", CLIENTS, family.peer, family.peer.host, name_of(family)), output)


@where_there_is("redis-server")
def test_redis_cli(network: TapNetwork, run: Run, family: Family, folder: Path) -> None:
    server = ["redis-server", "--save", "", "--protected-mode", "no", "--bind", family.any, "--dir", str(folder)]
    network.start_peer(server, stdout=subprocess.DEVNULL)
    wait_for_port(network, 6379)
    succeeds(run("redis-cli", "-h", family.peer, given="set a 1\nincrby a 41\n"), "OK\n42\n")


@pytest.mark.full
@where_there_is("iperf3")
def test_iperf3(network: TapNetwork, run: Run, family: Family) -> None:
    network.start_peer(["iperf3", "-s"], stdout=subprocess.DEVNULL)
    wait_for_port(network, 5201)
    for options in ((), ("-R",), ("-u", "-b", "10M"), ("-P", "4")):
        done = run("iperf3", "-c", family.peer, "-t", "1", *options)
        assert (done.status, done.counters) == (0, {}), done.errors


GO = """
package main
import ("fmt"; "io"; "net"; "net/http"; "os")
func main() {
    response, err := http.Get("http://" + os.Args[2] + "/test")
    if err != nil { panic(err) }
    octets, _ := io.ReadAll(response.Body)
    fmt.Print(string(octets))
    _, err = net.Dial("tcp", os.Args[1])
    fmt.Println(err)
}
"""


@pytest.mark.full
@where_there_is("go")
def test_a_static_client_of_go(run: Run, family: Family, folder: Path) -> None:
    (folder / "client.go").write_text(GO)
    env = os.environ | {"CGO_ENABLED": "0", "GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=mod", "HOME": "/root"}
    subprocess.run(["go", "build", "-o", "client", "client.go"], cwd=folder, check=True, env=env, timeout=300)
    closed = family.peer.at(9)
    succeeds(run("./client", closed, name_of(family)), f"hello\ndial tcp {closed}: connect: connection refused\n")


# Servers


@contextmanager
def serving(network: TapNetwork, folder: Path, port: int, *command: str) -> Iterator[dict[str, str]]:
    """Run a server until the block ends; give the status of its listener."""
    until_closed = 'exec 3<&0; "$@" <&- 3<&- & read -r line <&3; kill $!; wait'
    words = ["sh", "-c", until_closed, "sh", *command]
    program = started_as_user(folder, ["--mount", str(network.mount.path)], words)
    try:
        yield listener(network, program, port)
    finally:
        done = ended(program, folder)
    assert done.counters == {}, done.errors


def listener(network: TapNetwork, program: subprocess.Popen[str], port: int) -> dict[str, str]:
    while program.poll() is None:
        for path in (network.mount.path / "tcp").glob("[0-9]*/status"):
            with suppress(FileNotFoundError):
                status = dict(line.split("=", 1) for line in path.read_text().splitlines())
                if status["state"] == "LISTEN" and status["local"].endswith(f":{port}"):
                    return status
    raise AssertionError(program.communicate())


def get(network: TapNetwork, family: Family, port: int) -> str:
    return network.run_peer(["curl", "-gsS", f"http://{family.ours.at(port)}/test"]).stdout


@pytest.mark.needs("curl")
def test_http_server_of_python(network: TapNetwork, family: Family, folder: Path) -> None:
    server = (sys.executable, "-m", "http.server", "-b", family.any, "-d", "www", "8000")
    with serving(network, folder, 8000, *server) as status:
        assert [get(network, family, 8000) for _ in range(3)] == ["hello\n"] * 3
        assert status["owner"] == str(USER)
        assert "http.server" in Path(f"/proc/{status['pid']}/cmdline").read_text().split("\0")
        assert Path(f"/proc/{status['pid']}/comm").read_text().strip() == status["program"]
        shown = subprocess.run(
            [sys.executable, "-m", "schemefs", "ss", "--mount", network.mount.path, "-l"], check=True,
            capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert re.search(rf"LISTEN .* \S*:8000 .* {USER} +{status['pid']} +{status['program']}\n", shown)


NGINX = """
daemon off; pid nginx.pid; error_log stderr; worker_processes 2;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    server {{ listen {address}; root {folder}/www; }}
}}
"""


@pytest.mark.needs("curl")
@where_there_is("nginx")
def test_nginx_with_two_workers(network: TapNetwork, family: Family, folder: Path) -> None:
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, address=family.any.at(8001)))
    with serving(network, folder, 8001, "nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"):
        assert [get(network, family, 8001) for _ in range(3)] == ["hello\n"] * 3
        network.run_peer(["curl", "-gsS", "-o", f"{folder}/fetched", f"http://{family.ours.at(8001)}/big"])
    assert (folder / "fetched").read_bytes() == BIG


@where_there_is("redis-server")
def test_redis_server(network: TapNetwork, family: Family, folder: Path) -> None:
    server = ["redis-server", "--save", "", "--protected-mode", "no", "--bind", family.any, "--port", "8002"]
    with serving(network, folder, 8002, *server):
        asked = network.run_peer(["redis-cli", "-h", family.ours, "-p", "8002"], input="set a 1\nincrby a 41\n")
        assert asked.stdout == "OK\n42\n"
