"""docs/errors.md, row by row: each operation fails in a process of its own, which prints its errno."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import V4, Family

pytestmark = pytest.mark.needs("root", "fuse")

PAGE = Path(__file__).parents[2] / "docs/errors.md"
NOBODY = 65534

SETUP = """
import errno, os, select, signal, socket, struct, sys
RW, RO, WO, NB = os.O_RDWR, os.O_RDONLY, os.O_WRONLY, os.O_NONBLOCK
def listener(options=''):
    global held
    held = file = os.open('tcp/:0' + options, RW)
    return file, int(text(name(file) + '/local').rpartition(':')[2])
def name(file): return os.getxattr(file, 'user.conversation').decode()
def text(path): return open(path).read().strip()
def pair():
    file, port = listener()
    client = os.open(f'tcp/[LO]:{port}', RW)
    return client, os.open('tcp/' + os.read(file, 100).split()[0].decode() + '/data', RW)
def address(verb): line('netcfg/ifaces/lo/addr/' + verb, 'ABSENT/BITS')
def from_lost(path):
    address('add')
    file = os.open(path, RW)
    address('rm')
    return file
def pair_on_lost():
    _, port = listener()
    return from_lost(f'tcp/[ABSENT]:{port}'), None
def ctl(file, command): write(name(file) + '/ctl', command)
def write(path, data, flags=WO):
    file = os.open(path, flags)
    data = data.encode() if isinstance(data, str) else data
    assert os.write(file, data) == len(data)
def line(path, text): write(path, text + chr(10))
def full():
    file, port = listener(',backlog=1')
    global first
    first = os.open(f'tcp/[LO]:{port}', RW)
    return port
def sentence(scheme):
    if scheme != 'all': print(text(scheme + '/err'))
def timers(): signal.signal(signal.SIGALRM, handle); signal.setitimer(signal.ITIMER_REAL, 0.1)
def handle(*_): raise InterruptedError(errno.EINTR, 'by the test')
def unconnected():
    global clone
    clone = os.open('tcp/clone', RW)
    return name(clone)
def happens(file):
    poller = select.poll(); poller.register(file, select.POLLIN); assert poller.poll(10_000); return file
def call_soon(call, file):
    while True:
        try: return call()
        except BlockingIOError: happens(file)
def reset():
    a, b = pair(); ctl(b, 'hangup'); return happens(a)
def fill(file):
    os.set_blocking(file, False)
    while True: os.write(file, bytes(1 << 16))
def tls(talk, options=''):
    file, port = listener()
    client = os.open(f'tls/[LO]:{port},verify=no{options}', RW | NB)
    peer = os.open('tcp/' + os.read(file, 100).split()[0].decode() + '/data', RW)
    if talk: os.write(peer, talk)
    globals()['peers'] = peer
    return client, peer
def tls_open(talk, options='', hang_up=False):
    import threading
    file, port = listener()
    def serve():
        peer = os.open('tcp/' + os.read(file, 100).split()[0].decode() + '/data', RW)
        if talk: os.write(peer, talk)
        os.read(peer, 4096)
        if hang_up: os.close(peer)
        else: threading.Event().wait()
    threading.Thread(target=serve, daemon=True).start()
    os.open(f'tls/[LO]:{port},verify=no{options}', RW)
def connecting(file, port):
    try: os.write(file, f'connect [LO]:{port}'.encode())
    except BlockingIOError: pass
def big():
    import tempfile
    globals()['kept'] = file = tempfile.NamedTemporaryFile()
    file.truncate(1 << 30)
    return file.name.replace('/', '%2F')
def raw(host):
    octets = socket.inet_pton(socket.SOCKET, host)
    four, six = struct.pack('>BBHHHBBH', 0x45, 0, 20, 0, 0, 64, 0xfd, 0), struct.pack('>IHBB', 6 << 28, 0, 0xfd, 64)
    return (four if len(octets) == 4 else six) + bytes(len(octets)) + octets
def closed_udp():
    file = os.open('udp/[LO]:9', RW | NB); os.write(file, b'x'); return happens(file)
"""

# "scheme operation errno": code that fails with it, by each family; `nobody:` in front: run as user nobody.
# Of IPv4 alone: the broadcast address, and the address of the responder.
CASES: dict[str, list[str]] = {
    "tls open EPROTO": ["tls_open(b'HTTP/1.0 400 Bad Request\\r\\n\\r\\n')"],
    "tls open ECONNRESET": ["tls_open(b'', hang_up=True)"],
    "tls open ETIMEDOUT": ["tls_open(b'', ',timeout=0.3')"],
    "tls open EINVAL": [
        "os.open('tls/:0', RW)",
        "os.open('tls/[LO]:1,ca=%2Fetc%2Fpasswd', RW)",
        "os.open('tls/:0,cert=%2Fdev%2Fnull', RW)",
    ],
    "tls open ENOENT": ["os.open('tls/[LO]:1,ca=%2Fnothing%2Fhere', RW)"],
    "tls open EFBIG": ["os.open('tls/[LO]:1,ca=' + big(), RW)"],
    "tls open EACCES": ["nobody: os.open('tls/[LO]:1,ca=%2Fetc%2Fshadow', RW)"],
    "tls read EPROTO": ["client, _ = tls(b'no TLS at all'); call_soon(lambda: os.read(client, 1), client)"],
    "tls read ECONNRESET": [
        "client, peer = tls(b''); os.read(peer, 4096); os.close(peer); call_soon(lambda: os.read(client, 1), client)",
    ],
    "tls read ECONNABORTED": ["client, _ = tls(b''); ctl(client, 'hangup'); os.read(client, 1)"],
    "all open ENOTCONN": ["a, b = pair(); ctl(a, 'hangup'); os.open(f'/dev/fd/{a}', RW)"],
    "all lookup ENOENT": ["os.stat('tcp/nothing')", "os.stat('tcp/99999')", "os.stat('nothing')"],
    "all lookup EINVAL": [
        "os.stat('tcp/[LO]:70000')", "os.stat('udp/[LO]:80,frobnicate')", "os.stat('tcp/:80,backlog=x')",
        "os.stat('tcp/:8080,timeout=3')", "os.stat('udp/[LO]:9,listen,bind')", "os.stat('udp/:0,bytes=1')",
    ],
    "all lookup ENOTDIR": ["os.stat('README/x')"],
    "all open EACCES": [
        "os.open(name(pair()[0]) + '/rx', WO)", "os.open(name(pair()[0]) + '/tx', RO)", "os.open('README', WO)",
        "nobody: os.open('tcp/0/data', RW)",
    ],
    "all open ENOENT": ["os.open('tcp/new', WO | os.O_CREAT)", "os.open('new', WO | os.O_CREAT)"],
    "all open EISDIR": ["os.open('tcp', RW)"],
    "all open EINTR": ["timers(); os.open('tcp/:0,accept', RW)"],
    "all read EISDIR": ["os.read(os.open('tcp', RO), 10)"],
    "all read EAGAIN": [
        "os.read(os.open('udp/:0', RW | NB), 10)", "os.read(os.open('udp/:0,read_timeout=0.05', RW), 10)",
        "os.read(os.open('tcp/:0', RW | NB), 10)", "os.read(os.open('icmp/echo/LO', RW | NB), 10)",
        "os.read(os.open('event/queue', RW | NB), 10)",
    ],
    "all read EINTR": ["timers(); os.read(os.open('udp/:0', RW), 10)"],
    "all write EAGAIN": ["fill(pair()[0])"],
    "all write EINTR": ["a, b = pair(); timers()\nwhile True: os.write(a, bytes(1 << 20))"],
    "all write EACCES": ["write(name(pair()[0]) + '/status', 'x')", "write('stats', 'x')"],
    "all seek ESPIPE": ["os.lseek(os.open('udp/:0', RW), 1, 0)", "os.lseek(os.open('event/queue', RW), 1, 0)"],
    "all make EPERM": [
        "os.mkdir('x')", "os.unlink('README')", "os.rename('README', 'x')", "os.symlink('a', 'tcp/b')",
        "os.setxattr('README', 'user.x', b'')",
    ],
    "all chmod EPERM": ["os.chmod('README', 0o777)", "os.chown('README', 1, 1)"],
    "all getxattr ENODATA": ["os.getxattr('README', 'user.conversation')", "os.getxattr('tcp', 'user.x')"],
    "all getxattr EAGAIN": ["os.getxattr(pair()[0], 'user.peek')"],
    "all getxattr ENOTCONN": ["os.getxattr(os.open(unconnected() + '/data', RW), 'user.peek')"],
    "all getxattr EACCES": ["os.getxattr(os.open(name(pair()[0]) + '/tx', WO), 'user.peek')"],
    "tcp open ECONNREFUSED": ["os.open('tcp/[LO]:9', RW)"],
    "tcp open ETIMEDOUT": ["os.open(f'tcp/[LO]:{full()},timeout=0.1', RW)"],
    "tcp open ENETUNREACH": ["os.open('tcp/[UNROUTED]:80', RW)"],
    "tcp open ENOENT": ["os.open('tcp/no-such-host.test:80', RW)"],
    "tcp open EADDRINUSE": ["os.open(f'tcp/:{listener()[1]}', RW)"],
    "tcp open EADDRNOTAVAIL": [
        "os.open('tcp/[LO]:0', RW)", "os.open('tcp/[LO]:9,from=[UNROUTED]:0', RW)",
        "os.open('tcp/[UNROUTED]:80,listen', RW)", "os.open('tcp/no-such-host.test:80,listen', RW)",
    ],
    "tcp open EACCES": ["nobody: os.open('tcp/:80', RW)", "nobody: os.open('tcp/[LO]:9,from=:80', RW)"],
    "tcp open EINVAL": ["os.open(unconnected() + '/listen', RW)"],
    "tcp open EAGAIN": [
        "os.open('tcp/:0,accept', RW | NB)", "os.open('tcp/:0,accept,read_timeout=0.1', RW)",
        "os.open(name(listener()[0]) + '/listen', RW | NB)"],
    "tcp read ECONNREFUSED": ["file = os.open('tcp/[LO]:9', RW | NB); call_soon(lambda: os.read(file, 1), file)"],
    "tcp read ECONNRESET": ["os.read(reset(), 1)"],
    "tcp read ECONNABORTED": [
        "file = os.open(f'tcp/[LO]:{full()}', RW | NB); ctl(file, 'hangup'); os.read(file, 1)",
        "a, b = pair(); os.write(b, b'unread'); happens(a); ctl(a, 'hangup'); os.read(a, 1)",
        "a, b = pair(); ctl(a, 'hangup')\ntry: os.read(a, 1)\nexcept ConnectionAbortedError: os.read(a, 1)",
    ],
    "tcp read ENOTCONN": ["os.read(os.open(unconnected() + '/data', RW), 1)"],
    "tcp write EPIPE": [
        "a, b = pair(); ctl(a, 'shutdown write'); os.write(a, b'x')",
        "file = reset()\ntry: os.read(file, 1)\nexcept ConnectionResetError: os.write(file, b'x')",
    ],
    "tcp write ECONNRESET": ["os.write(reset(), b'x')"],
    "tcp write ECONNABORTED": ["a, b = pair(); ctl(a, 'hangup'); os.write(a, b'x')"],
    "tcp write ENETUNREACH": ["a, b = pair_on_lost(); os.write(a, b'x')"],
    "tcp write ENOTCONN": ["os.write(os.open(unconnected() + '/data', RW), b'x')"],
    "tcp ctl EINVAL": [
        "write('tcp/clone', 'frobnicate')", "write('tcp/clone', 'connect')", "ctl(pair()[0], 'nodelay maybe')",
    ],
    "tcp ctl EISCONN": ["ctl(pair()[0], 'connect [LO]:9')"],
    "tcp ctl EALREADY": [
        "file = os.open('tcp/clone', WO | NB); connecting(file, full()); os.write(file, b'connect [LO]:9')",
    ],
    "tcp ctl ENOTCONN": ["write('tcp/clone', 'shutdown write')"],
    "tcp ctl ECONNREFUSED": ["write('tcp/clone', 'connect [LO]:9')"],
    "tcp ctl EINPROGRESS": ["write('tcp/clone', f'connect [LO]:{full()}', WO | NB)"],
    "tcp ctl EACCES": ["ctl(pair()[0], 'mss 500')"],
    "tcp settings EINVAL": ["write(name(pair()[0]) + '/settings/hop_limit', '999')"],
    "tcp settings EISCONN": ["write(name(pair()[0]) + '/settings/ecn', '1')"],
    "tcp settings ENOTCONN": [
        "client, other = pair(); ctl(other, 'hangup'); happens(client); write(name(client) + '/settings/linger', '1')",
    ],
    "udp open ENETUNREACH": ["os.open('udp/[UNROUTED]:53', RW)"],
    "udp open ENOENT": ["os.open('udp/no-such-host.test:53', RW)"],
    "udp open EADDRINUSE": ["first = os.open('udp/:5353', RW); os.open('udp/:5353', RW)"],
    "udp open EADDRNOTAVAIL": [
        "os.open('udp/[LO]:53,from=[UNROUTED]:0', RW)", "os.open('udp/[UNROUTED]:53,bind', RW)",
        "os.open('udp/[UNROUTED]:53,listen', RW)",
    ],
    "udp open EACCES": ["nobody: os.open('udp/:53', RW)"],
    "udp open EINVAL": ["os.open('udp/[LO]:0', RW)"],
    "udp read ECONNREFUSED": ["os.read(closed_udp(), 1)"],
    "udp read ECONNABORTED": ["file = os.open('udp/:0', RW); ctl(file, 'hangup'); os.read(file, 1)"],
    "udp write ECONNREFUSED": ["os.write(closed_udp(), b'x')"],
    "udp write EDESTADDRREQ": ["write('udp/:0', 'x', RW)", "write('udp/:0,headers', 'x', RW)"],
    "udp write EMSGSIZE": ["write('udp/[LO]:9', bytes(65508), RW)"],
    "udp write EINVAL": ["write('udp/:0,headers', 'not an address\\nx', RW)"],
    "udp write EISCONN": ["write('udp/[LO]:9,headers', '[LO]:10\\nx', RW)"],
    "udp write ENETUNREACH": ["file = from_lost('udp/[ABSENT]:9'); os.write(file, b'x')"],
    "udp write EPIPE": ["file = os.open('udp/[LO]:9', RW); ctl(file, 'shutdown write'); os.write(file, b'x')"],
    "icmp open ENOENT": ["os.open('icmp/echo/no-such-host.test', RW)"],
    "icmp open ENETUNREACH": ["os.open('icmp/echo/UNROUTED', RW)"],
    "icmp open EACCES": ["os.open('icmp/echo/255.255.255.255', RW)"],
    "icmp open ENODEV": ["os.open('icmp/ping/LO,interface=eth7', RW)"],
    "icmp open EADDRNOTAVAIL": ["os.open('icmp/ping/LO,from=UNROUTED', RW)"],
    "icmp write EINVAL": ["write('icmp/echo/LO', 'x', RW)"],
    "icmp write ENETUNREACH": ["file = from_lost('icmp/echo/ABSENT'); os.write(file, b'xx')"],
    "icmp write EMSGSIZE": ["write('icmp/echo/LO', bytes(65530), RW)"],
    "ip lookup ENOENT": ["os.stat('ip/nothing')"],
    "ip lookup EINVAL": ["os.stat('ip/fd,from=nowhere')"],
    "ip open EACCES": ["nobody: os.open('ip/fd', RW)"],
    "ip write EINVAL": ["write('ip/fd', 'x', RW)"],
    "ip write EMSGSIZE": ["write('ip/fd', bytes(65536), RW)"],
    "ip write ENETUNREACH": ["write('ip/fd', raw('UNROUTED'), RW)"],
    "netcfg lookup ENOENT": ["os.stat('netcfg/ifaces/eth7')"],
    "netcfg write EACCES": ["nobody: line('netcfg/route/add', 'default via LO')"],
    "netcfg write EINVAL": ["line('netcfg/route/add', 'nonsense')", "line('netcfg/iface/lo/addr', 'x')",
        "os.pwrite(os.open('netcfg/resolv/hosts', WO), b'LO x\\n', 5)"],
    "netcfg write EFBIG": [
        "file = os.open('netcfg/config', WO)\nfor _ in range(5): os.write(file, bytes(1 << 20))",
    ],
    "netcfg close EINVAL": [
        "file = os.open('netcfg/resolv/nameserver', WO); os.write(file, b'10.0.2.'); os.close(file)",
        "file = os.open('netcfg/config', WO); os.write(file, b'forward'); os.fsync(file)",
    ],
    "netcfg write ENOENT": ["line('netcfg/route/rm', 'UNROUTED/BITS')"],
    "netcfg write EEXIST": ["line('netcfg/ifaces/lo/addr/add', 'LO/BITS')"],
    "netcfg write ENODEV": ["line('netcfg/route/add', 'UNROUTED/BITS dev eth7')"],
    "netcfg write ENETUNREACH": ["line('netcfg/route/add', 'default via UNROUTED')"],
    "netcfg write EADDRNOTAVAIL": ["line('netcfg/ifaces/lo/addr/rm', 'UNROUTED/BITS')"],
    "netcfg write EBUSY": ["line('netcfg/ifaces/rm', 'lo')"],
    "netcfg write ENOTSUP": ["line('netcfg/iface/lo/mac', '02:00:00:00:00:01')"],
    "netcfg write ENOTCONN": ["line('netcfg/ifaces/lo/dhcp', 'renew')"],
    "network open EACCES": ["nobody: os.open('network/lo/frames', RW)"],
    "network write EINVAL": ["write('network/lo/frames', 'x', RW)"],
    "network write EMSGSIZE": ["write('network/lo/frames', bytes(100_000), RW)"],
    "event write EINVAL": ["write('event/queue', 'nonsense', RW)", "write('event/queue', 'tcp read', RW)"],
    "event write ENOENT": ["write('event/queue', 'tcp/99999 read', RW)", "write('event/queue', 'tcp/0 none', RW)"],
    "event write EACCES": ["nobody: write('event/queue', 'tcp/0 read', RW)"],
    "event write EBADF": ["write('event/raw', struct.pack('=QQQ', 1, 1, 0), RW)"],
    "event read EINVAL": ["os.read(os.open('event/raw', RW), 23)"],
    "dns lookup EINVAL": ["os.stat('dns/example.com,type=nothing')"],
    "dns open EADDRINUSE": ["first = os.open('udp/127.0.0.53:53,bind', RW); os.open('dns/responder', RO)"],
    "dns open ENOENT": ["os.open('dns/no-such-host.test', RO)"],
    "dns write EINVAL": ["write('dns/cache', 'all\\n', RW)"],
    "logging lookup ENOENT": ["os.stat('logging/net/nothing.log')"],
}  # fmt: skip


def rows() -> dict[str, tuple[str, str]]:
    """Return the rows of the page: "scheme operation errno" -> its cause and the sentence (`…` is any text)."""
    found = re.findall(r"^\| (\w+) \| (\w+) \| (E\w+) \| (.*?)(?: \| (?:`(.*)`)?)? \|$", PAGE.read_text(), re.MULTILINE)
    return {f"{scheme} {operation} {name}": (when, sentence) for scheme, operation, name, when, sentence in found}


ROWS = rows()


def test_every_row_is_tried() -> None:
    assert {row for row, (when, _) in ROWS.items() if not when.endswith("†")} - set(CASES) == set()
    assert set(CASES) - set(ROWS) == set()


# Errnos that no caller gets: soft errors in `err` only, errors between schemes, errors that become another errno.
INSIDE = {
    "dns": {"EMSGSIZE", "EPROTO"},  # what is no query ends a connection to the responder
    "icmp": {"ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "ENONET", "ENOPROTOOPT", "ENOTSUP", "EPROTO"},  # udp's, tcp's
    "ip": {"EADDRNOTAVAIL", "EEXIST", "ENODEV", "ENOTSUP", "ESRCH"},  # netcfg's
    "netcfg": {"ESRCH"},  # ENOENT
    "tcp": {"EMSGSIZE"},  # the path MTU
}


@pytest.mark.source
@pytest.mark.parametrize("scheme", sorted({row.split()[0] for row in ROWS} - {"all"}))
def test_every_errno_in_a_schemes_source_has_a_row(scheme: str) -> None:
    source = "".join(path.read_text() for path in (PAGE.parents[1] / "schemes" / scheme).rglob("*.py"))
    named = {errno.errorcode[getattr(errno, name)] for name in re.findall(r"\berrno\.(E[A-Z]+)", source)}
    listed = {row.split()[2] for row in ROWS if row.split()[0] in (scheme, "all", "tcp" if scheme == "tls" else scheme)}
    assert named - listed - INSIDE.get(scheme, set()) == set()


def test_every_row_is_in_a_table() -> None:
    """A row after a blank line would be a paragraph, not a row."""
    assert re.findall(r"\n\n(\|.*)\n(?!\|---)", PAGE.read_text()) == []


def test_every_row_of_a_scheme_has_its_sentence() -> None:
    without = [row for row, (_, sentence) in ROWS.items() if not (sentence or row.startswith("all "))]
    assert without == ["event read EINVAL"]


@pytest.fixture(scope="module")
def held(module_scheme_mount: SchemeMount) -> Iterator[None]:
    """Keep tcp/0 open: a conversation of root."""
    with open(module_scheme_mount.path / "tcp/:8000", "r+b", buffering=0):
        yield


@pytest.mark.parametrize(("row", "code"), [(row, code) for row, codes in CASES.items() for code in codes])
def test_it_fails_with(module_scheme_mount: SchemeMount, held: None, row: str, code: str, family: Family) -> None:
    rest = code.removeprefix("nobody: ")
    drop = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n" if rest != code else ""
    body = "\n".join(f"    {line}" for line in rest.split("\n"))
    scheme, _, name = row.split()
    told = f"except OSError as error: print(errno.errorcode[error.errno]); sentence({scheme!r})"
    told += "\nelse: print('none')"
    program = family.fill(f"{SETUP}\n{drop}try:\n{body}\n{told}")
    # The handler raises InterruptedError, because Python itself repeats a call after EINTR.
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=module_scheme_mount.path, check=True, capture_output=True, text=True,
        timeout=20,
    )  # fmt: skip
    said, _, sentence = done.stdout.strip().partition("\n")
    assert said == name, done.stderr
    if ROWS[row][1] and code == CASES[row][0]:  # the page has one sentence per row, that of the first case
        expected = by_family(ROWS[row][1], family)
        assert re.fullmatch(".*".join(map(re.escape, expected.split("…"))), sentence), sentence


def by_family(sentence: str, family: Family) -> str:
    """Return what *sentence*, which the page has for IPv4, is for *family*."""
    for name in ("lo", "absent", "unrouted"):
        ours = getattr(family, name)
        sentence = sentence.replace(f"{getattr(V4, name)}:", f"{ours.host}:").replace(getattr(V4, name), ours)
    error = "Destination unreachable: Port unreachable"  # RFC 4443 §3.1
    return sentence.replace("/32", f"/{family.bits}").replace(
        "Destination Port Unreachable", family.pick("Destination Port Unreachable", error)
    )


def test_a_name_that_is_not_there_is_explained_but_not_what_tools_look_for(module_scheme_mount: SchemeMount) -> None:
    # Regression: after `cat tcp/10.0.2.2`, without a port, `err` had the sentence of an older failure.
    tcp = module_scheme_mount.path / "tcp"
    for missing in ("10.0.2.2", ".git"):
        with pytest.raises(FileNotFoundError):
            open(tcp / missing, "rb")
        assert (tcp / "err").read_text() == "there is no '10.0.2.2'; an address is HOST:PORT or :PORT\n"
