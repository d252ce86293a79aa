"""`schemefs run -- CMD` over loopback: real programs, unchanged, on the sockets of a mount."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

RUN = (sys.executable, "-m", "schemefs", "run")
TIMEOUT = 30.0


def run(mount: SchemeMount, *command: str, **options) -> subprocess.CompletedProcess[str]:
    words = [*RUN, "--mount", str(mount.path), *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False, **options)


def python(mount: SchemeMount, code: str) -> str:
    done = run(mount, "--", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def web(module_scheme_mount: SchemeMount) -> Iterator[str]:
    """The port of an HTTP server on the files of the mount: two answers."""
    path = module_scheme_mount.path
    with open(path / "tcp/:0", "r+b", buffering=0) as listener:
        port = os.getxattr(listener.fileno(), "user.local").decode().rpartition(":")[2]

        def serve() -> None:
            while line := listener.read(256):
                with open(path / "tcp" / line.split()[0].decode() / "data", "r+b", buffering=0) as data:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += data.read(4096)
                    data.write(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
                    data.read(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield port
        with open(path / os.getxattr(listener.fileno(), "user.conversation").decode() / "ctl", "w") as ctl:
            ctl.write("close\n")
        thread.join()


@pytest.mark.needs("curl")
def test_curl_gets_a_page(module_scheme_mount: SchemeMount, web: str, family: Family) -> None:
    done = run(module_scheme_mount, "--", "curl", "-sS", f"http://{family.lo.at(web)}/test")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


@pytest.mark.needs("curl")
def test_verbose_has_a_line_for_each_call(module_scheme_mount: SchemeMount, web: str, family: Family) -> None:
    done = run(module_scheme_mount, "-v", "--", "curl", "-sS", f"http://{family.lo.at(web)}/test")
    assert f", {family.lo.at(web)}) = -1 EINPROGRESS" in done.stderr
    assert ", SOL_SOCKET:4: 0) = 0" in done.stderr


@pytest.mark.needs("curl")
def test_curl_is_refused_with_the_errno(module_scheme_mount: SchemeMount, family: Family) -> None:
    done = run(module_scheme_mount, "--", "curl", "-sS", f"http://{family.lo.at(9)}/")
    assert done.returncode == 7
    assert "Couldn't connect" in done.stderr or "Connection refused" in done.stderr


def test_a_program_talks_to_itself(module_scheme_mount: SchemeMount, family: Family) -> None:
    code = """
import socket
server = socket.socket(socket.SOCKET)
server.bind(("LO", 0))
server.listen()
client = socket.create_connection(server.getsockname()[:2])
accepted, peer = server.accept()
assert peer == client.getsockname(), (peer, client.getsockname())
assert accepted.getsockname() == client.getpeername() == server.getsockname()
client.sendall(b"x" * 100_000)
client.shutdown(socket.SHUT_WR)
octets = b""
while more := accepted.recv(65536):
    octets += more
print(len(octets))
"""
    assert python(module_scheme_mount, family.fill(code)) == "100000\n"


def test_splice_from_a_socket_is_refused_and_not_the_end_of_the_stream(
    module_scheme_mount: SchemeMount, family: Family
) -> None:
    code = """
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def splice(one, other):
    return libc.splice(one, None, other, None, 10, 0), ctypes.get_errno() == errno.EINVAL
server = socket.create_server(("LO", 0), family=socket.SOCKET)
client = socket.create_connection(server.getsockname()[:2])
accepted, _ = server.accept()
reader, writer = os.pipe()
os.write(writer, b"over")
print(splice(reader, client.fileno())[0], accepted.recv(10))
client.sendall(b"back")
print(splice(accepted.fileno(), writer), accepted.recv(10))
"""
    assert python(module_scheme_mount, family.fill(code)) == "4 b'over'\n(-1, True) b'back'\n"


def test_exit_status_is_the_programs(module_scheme_mount: SchemeMount) -> None:
    assert run(module_scheme_mount, "--", "sh", "-c", "exit 7").returncode == 7
    assert run(module_scheme_mount, "--", "sh", "-c", "kill -TERM $$").returncode == 128 + 15


def test_exit_status_without_standard_streams(module_scheme_mount: SchemeMount) -> None:
    words = [*RUN, "--mount", str(module_scheme_mount.path), "--", sys.executable, "-c", "import sys; sys.exit(7)"]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words], timeout=TIMEOUT, check=False)
    assert done.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_an_interrupt_for_run_alone_is_passed_on(module_scheme_mount: SchemeMount, number: signal.Signals) -> None:
    code = """
import signal, sys
signal.signal(int(sys.argv[1]), lambda *_: sys.exit(7))
print(1, flush=True)
signal.pause()
"""
    words = [*RUN, "--mount", str(module_scheme_mount.path), "--", sys.executable, "-c", code, str(int(number))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.send_signal(number)
        assert process.wait(TIMEOUT) == 7


def test_a_program_that_does_not_exist(module_scheme_mount: SchemeMount) -> None:
    done = run(module_scheme_mount, "--", "no-such-program")
    assert (done.returncode, done.stderr) == (2, "schemefs run: no-such-program: there is no such program\n")


def test_a_run_in_a_run_is_refused(module_scheme_mount: SchemeMount) -> None:
    inner = (*RUN, "--mount", str(module_scheme_mount.path), "--", "true")
    done = run(module_scheme_mount, "--", *inner)
    sentence = "schemefs run: a program under schemefs run can't be another one: a process has one such filter\n"
    assert (done.returncode, done.stderr) == (2, sentence)


def test_a_socket_that_is_passed_in_is_closed_and_a_file_is_not(module_scheme_mount: SchemeMount) -> None:
    code = """
import array, os, socket
local = socket.socket(fileno=int(os.environ["PASSED"]))
octets, control, flags, _ = local.recvmsg(100, socket.CMSG_SPACE(8), socket.MSG_CMSG_CLOEXEC)
numbers = array.array("i", control[0][2])
print(octets, len(control), [os.readlink(f"/proc/self/fd/{number}") for number in numbers])
print(bool(flags & socket.MSG_CTRUNC), os.get_inheritable(numbers[0]))
"""
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket() as inet, open("/etc/passwd") as file:
        socket.send_fds(ours, [b"take"], [inet.fileno(), file.fileno()])
        done = run(
            module_scheme_mount, "--", sys.executable, "-c", code,
            pass_fds=[theirs.fileno()], env=os.environ | {"PASSED": str(theirs.fileno())},
        )  # fmt: skip
    assert done.stdout == "b'take' 1 ['/etc/passwd']\nTrue False\n"
    assert done.stderr.startswith("schemefs run: python")
    assert done.stderr.endswith(
        "recvmsg: a descriptor that was passed is a socket of the host (AF_INET): closed, the program may not have it\n"
    )


def test_an_inherited_socket_is_closed(module_scheme_mount: SchemeMount) -> None:
    with socket.socket() as inet:
        number = inet.fileno()
        code = f"import os\ntry: os.fstat({number})\nexcept OSError as error: print(error.strerror)"
        done = run(module_scheme_mount, "--", sys.executable, "-c", code, pass_fds=[number])
        assert done.stdout == "Bad file descriptor\n"
        assert done.stderr == (
            f"schemefs run: descriptor {number} is a socket of the host (AF_INET): closed, the program may not "
            "inherit it\n"
        )
        done = run(module_scheme_mount, "--", "true", stdin=inet)
        assert done.returncode == 2
        assert done.stderr == (
            "schemefs run: standard input is a socket of the host (AF_INET), which the program may not inherit: "
            "redirect it\n"
        )


def test_a_mount_of_its_own_lives_as_long_as_the_program(family: Family) -> None:
    code = "import socket; print(socket.create_server(('LO', 0), family=socket.SOCKET).getsockname()[0])"
    words = [
        *RUN,
        "--driver",
        "loopback",
        "--impair",
        "delay 1ms seed 7",
        "--",
        sys.executable,
        "-c",
        family.fill(code),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{family.lo}\n", "")
    assert "schemefs-run-" not in Path("/proc/mounts").read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--driver", "loopback", "--impair", "los 5%"), "--impair on lo: "),
        (("--mount", "/", "--driver", "loopback"), "--mount and the options of a driver can't be given together"),
        (("--mount", "/"), "no schemefs is mounted on /\n"),
        (("--driver", "nothing"), "the mount failed: "),
        (("--nothing",), ""),
    ],
)
def test_what_is_wrong_with_run_itself_is_one_sentence(options: tuple[str, ...], sentence: str) -> None:
    done = subprocess.run([*RUN, *options, "--", "true"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"schemefs run: {sentence}" if sentence else "schemefs: ")
    assert len(done.stderr.splitlines()) == 1


def test_names_are_those_of_the_mount(module_scheme_mount: SchemeMount, family: Family) -> None:
    with open(module_scheme_mount.path / "netcfg/resolv/hosts", "a") as hosts:
        hosts.write(f"{family.absent} web{family.version}.test\n")
    code = """
import socket
print({found[4][:2] for found in socket.getaddrinfo("webVERSION.test", 80, type=socket.SOCK_STREAM)})
try:
    socket.getaddrinfo("nothing.test", 80)
except socket.gaierror as error:
    print(error.errno < 0)
"""
    code = code.replace("VERSION", str(family.version))
    assert python(module_scheme_mount, code) == f"{{('{family.absent}', 80)}}\nTrue\n"


def test_a_socket_without_a_peer_is_answered_by_the_server_that_it_asked(module_scheme_mount: SchemeMount) -> None:
    """As musl asks: it drops what comes from another address. The responder has an address of IPv4 alone."""
    code = """
import socket
lines = [line.split() for line in open("/etc/resolv.conf")]
server = next((words[1] for words in lines if words[:1] == ["nameserver"] and ":" not in words[1]), "127.0.0.1")
query = b"\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0\\tlocalhost\\0\\0\\1\\0\\1"
with socket.socket(type=socket.SOCK_DGRAM) as asking:
    asking.settimeout(10)
    asking.sendto(query, (server, 53))
    answer, source = asking.recvfrom(512)
    print(answer[:2] == query[:2], source == (server, 53))
"""
    assert python(module_scheme_mount, code) == "True True\n"


def test_ss_shows_the_program(module_scheme_mount: SchemeMount, family: Family) -> None:
    code = f"""
import os, pathlib, socket
listener = socket.create_server(("{family.lo}", 0), family=socket.{family.socket})
with listener, socket.create_connection(listener.getsockname()[:2]) as client:
    accepted, _ = listener.accept()
    for one, other in ((client, accepted), (accepted, client)):
        one.send(b"x")
        other.recv(1)
    for file in (listener, client, accepted):
        number = os.getxattr(file.fileno(), "user.conversation").decode()
        status = (pathlib.Path({str(module_scheme_mount.path)!r}) / number / "status").read_text()
        print(f"pid={{os.getpid()}}\\n" in status, "program=python" in status)
"""
    assert python(module_scheme_mount, code) == "True True\n" * 3


GROUPS = """
import socket, struct
def joins(family, level, option, request, sender, group):
    with socket.socket(family, socket.SOCK_DGRAM) as member, socket.socket(sender, socket.SOCK_DGRAM) as other:
        member.settimeout(10)
        member.bind(("", 0))
        member.setsockopt(level, option, request)
        other.sendto(b"to all", (group[0], member.getsockname()[1], *group[1:]))
        octets, source = member.recvfrom(100)
        member.setsockopt(level, option + 1, request)
        print(octets, source[0])
V4, V6 = socket.AF_INET, socket.AF_INET6
of_ipv4 = (socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.1.1.1") + bytes(4), V4, ("239.1.1.1",))
joins(V4, *of_ipv4)
joins(V6, *of_ipv4)
for text, index in (("ff02::1234", 1), ("ff02::1234", 0), ("ff05::1234", 0)):
    request = socket.inet_pton(V6, text) + struct.pack("I", index)
    joins(V6, socket.IPPROTO_IPV6, 20, request, V6, (text, 0, index))  # IPV6_ADD_MEMBERSHIP
try:
    joins(V6, socket.IPPROTO_IPV6, 20, socket.inet_pton(V6, "ff02::1") + struct.pack("I", 9), V6, ())
except OSError as error:
    print(error.strerror)
"""


def test_sockets_of_both_families_join_groups(module_scheme_mount: SchemeMount) -> None:
    """A group of a link is one of each link: without an interface it is the first one, as on Linux."""
    route = module_scheme_mount.path / "netcfg/route"
    lines = "239.0.0.0/8 dev lo\nff05::/16 dev lo\n"
    (route / "add").write_text(lines)
    assert python(module_scheme_mount, GROUPS).splitlines() == [
        "b'to all' 127.0.0.1",
        "b'to all' ::ffff:127.0.0.1",
        *["b'to all' ::1"] * 3,
        "No such device",
    ]
    (route / "rm").write_text(lines.replace(" dev lo", ""))
