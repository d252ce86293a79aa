"""Whatever is written into paths, options, verbs and values of a real mount: an errno of docs/errors.md or success.

Never a hang (each step has an timers), never a failure of the daemon's own (`unexpected` stays 0), and no
conversation that was not there before when all is closed.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "root")

STEP = 10  # seconds that a file operation may take before it counts as a hang
TABLE = Path(__file__).parents[2] / "docs" / "errors.md"
SCHEMES = ("tcp", "udp", "icmp", "ip")
KERNEL = {errno.ENAMETOOLONG}  # what the kernel says before anybody asks us


def allowed_errnos() -> dict[str, set[int]]:
    """Return scheme -> errnos that its rows, and those of all schemes, name; tcp's of ctl and settings are for all."""
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (E\w+) \|", TABLE.read_text(), re.MULTILINE)
    named: defaultdict[str, set[int]] = defaultdict(set)
    for scheme, operation, name in rows:
        named["all" if operation in ("ctl", "settings") else scheme].add(getattr(errno, name))
    return {scheme: named["all"] | named[scheme] | KERNEL for scheme in (*SCHEMES, "netcfg", "event")}


ALLOWED = allowed_errnos()

hosts = st.sampled_from(
    "127.0.0.1 127.9.9.9 localhost 0.0.0.0 * 10.9.9.9 300.1.1.1 1.2.3 nobody.invalid 255.255.255.255 224.0.0.1"
    " [::1] ::1 [::] [2001:db8::1] [::ffff:127.0.0.1] [fe80::1%lo] [fe80::1] [ff02::1] fe80::%eth9 [::1"
    " 127.0.0.1. - ü [".split()
).flatmap(lambda host: st.sampled_from([host, host, host, "", "127.0.0.1 ", "a" * 254]))
ports = st.one_of(
    st.sampled_from(["0", "7", "7400", "65535", "65536", "-1", "http", "nothing", "", "00080", "1e3", "٣", "+7"]),
    st.integers(0, 70000).map(str),
)
values = st.one_of(
    st.sampled_from(
        [
            "",
            "0",
            "1",
            "-1",
            "2.5",
            "1e9",
            "nan",
            "inf",
            "x",
            "127.0.0.1:0",
            "[::1]:0",
            "224.0.0.5",
            "ff02::5",
            "cubic",
            "4096",
            "²",
        ]
    ),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.text(max_size=8),
)
names = st.sampled_from(
    "accept backlog bytes checksum congestion count events family from headers hop_limit hops interval join keepalive "
    "linger listen nodelay read_timeout reuse size timeout to tries ttl user_timeout write_timeout colour".split()
)
option_texts = st.one_of(names, st.builds("{}={}".format, names, values), st.text(max_size=6))
separators = st.sampled_from([":", ":", ":", "!", "", "::", "/"])
addresses = st.builds(
    lambda host, separator, port, options: ",".join([f"{host}{separator}{port}", *options]),
    hosts,
    separators,
    ports,
    st.lists(option_texts, max_size=3),
)
protocols = st.builds(
    lambda name, options: ",".join([name, *options]),
    st.sampled_from(["icmp", "udp", "fd", "00", "1", "ff", "UDP", "g", "256", ""]),
    st.lists(option_texts, max_size=2),
)
pings = st.builds(
    lambda kind, host, options: f"{kind}/{','.join([host, *options])}",
    st.sampled_from(["echo", "ping", "trace", "udp", "errors", "0", "clone"]),
    st.one_of(hosts, ports),
    st.lists(option_texts, max_size=3),
)
paths = st.one_of(
    addresses.map(lambda text: f"tcp/{text}"),
    addresses.map(lambda text: f"udp/{text}"),
    pings.map(lambda text: f"icmp/{text}"),
    protocols.map(lambda text: f"ip/{text}"),
    st.builds(lambda scheme, text: f"{scheme}/{text}", st.sampled_from(SCHEMES), st.text(min_size=1, max_size=40)),
    st.builds(
        lambda scheme, number, file: f"{scheme}/{number}/{file}",
        st.sampled_from(SCHEMES),
        st.sampled_from(["0", "1", "007", "99", "-1", "1.0"]),
        st.sampled_from(["ctl", "data", "listen", "status", "settings/hop_limit", "settings/x", "x"]),
    ),
).filter(
    lambda path: "\0" not in path and path.isprintable() and not path.endswith(("/..", "/.")) and "/../" not in path
)
modes = st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR])
verbs = st.builds(
    "{} {}".format,
    st.one_of(
        st.sampled_from(
            "connect announce bind shutdown hangup close join leave nodelay hop_limit read_timeout mss groups x".split()
        ),
        st.text(max_size=5),
    ),
    st.one_of(addresses, values, st.sampled_from(["read", "write", "both", "neither", "127.0.0.1", "[::1]", "udp"])),
)
MANY = 70_000  # octets: no datagram carries them; as a number, so that a report stays short
octets = st.one_of(
    st.binary(max_size=40), st.sampled_from([MANY, b"127.0.0.1:9\nx", b"[::1]:9\nx", b":\n", b"\n", b"x:1:2\n"])
)


class Hang(BaseException):
    """A file operation took longer than `STEP`."""


@pytest.fixture(autouse=True)
def _timers() -> Iterator[None]:
    def hang(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, hang)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


class Tree:
    """The mount, and what may be said of every operation in it."""

    def __init__(self, mount: SchemeMount) -> None:
        self.path = mount.path

    def conversations(self) -> set[str]:
        found = {f"{s}/{n}" for s in ("tcp", "udp", "icmp") for n in os.listdir(self.path / s) if n.isdecimal()}
        return found | {f"ip/{n}" for n in os.listdir(self.path / "ip/conversations") if n.isdecimal()}

    @contextmanager
    def told(self, scheme: str) -> Iterator[None]:
        """Do something to *scheme* that may fail, in time, with an errno of the table."""
        signal.alarm(STEP)
        try:
            yield
        except OSError as error:
            assert error.errno in ALLOWED[scheme], (
                f"{scheme}: {errno.errorcode.get(error.errno or 0)} is not in the table"
            )
        finally:
            signal.alarm(0)

    @contextmanager
    def nothing_left(self) -> Iterator[None]:
        before = self.conversations()
        yield
        end = (
            time.monotonic() + STEP
        )  # release(2) comes a moment after close(2), a handshake with ourselves in its time
        while left := self.conversations() - before:
            assert time.monotonic() < end, f"left: {left}"

    def unexpected(self) -> str:
        return next(line for line in (self.path / "stats").read_text().splitlines() if line.startswith("unexpected"))


@pytest.fixture
def tree(module_scheme_mount: SchemeMount) -> Iterator[Tree]:
    made = Tree(module_scheme_mount)
    yield made
    assert made.unexpected() == "unexpected=0"


def times(request: pytest.FixtureRequest, count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return settings for *count* examples, ten times as many in --full."""
    full = request.config.getoption("--full")
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(
        max_examples=count * (10 if full else 1),
        deadline=None,
        suppress_health_check=checks,
        database=None,
        phases=(Phase.explicit, Phase.generate),  # shrinking what leaves something would wait `STEP` for every try
    )


def test_any_path_with_any_octets(tree: Tree, request: pytest.FixtureRequest) -> None:
    @times(request, 500)
    @given(paths, modes, st.lists(octets, max_size=2))
    @example("tcp/127.0.0.1:9,read_timeout=1", os.O_RDWR, [b"x"])
    @example("udp/:0,headers", os.O_RDWR, [b"127.0.0.1:9\nx"])
    @example("udp/:0,headers", os.O_RDWR, [b"[::1]:9\nx"])
    @example("icmp/README", os.O_RDONLY, [])
    @example("udp/[::1]:1,accept", os.O_RDONLY, [])
    def run(path: str, mode: int, written: list[bytes | int]) -> None:
        scheme = path.partition("/")[0]
        with tree.nothing_left(), tree.told(scheme):
            file = os.open(tree.path / path, mode | os.O_NONBLOCK)
            try:
                for data in written if mode != os.O_RDONLY else ():
                    os.write(file, bytes(data))
                if mode != os.O_WRONLY:
                    os.read(file, 100)
            finally:
                os.close(file)

    run()


def test_any_verb(tree: Tree, request: pytest.FixtureRequest) -> None:
    @times(request, 300)
    @given(st.sampled_from(SCHEMES), st.lists(verbs, min_size=1, max_size=3))
    @example("ip", ["connect udp", "connect udp", "shutdown read", "hangup ", "close "])
    @example("icmp", ["announce 127.0.0.1"])
    @example("tcp", ["announce :0", "close ", "announce :0"])
    def run(scheme: str, lines: list[str]) -> None:
        with tree.nothing_left():
            file = os.open(tree.path / scheme / "clone", os.O_RDWR | os.O_NONBLOCK)
            directory = tree.path / os.getxattr(file, "user.conversation").decode()
            try:
                for line in lines:
                    with tree.told(scheme):
                        os.write(file, line.encode(errors="replace"))
                    # With O_NONBLOCK a connect goes on by itself, so the sentence may be the next step's.
                    with suppress(FileNotFoundError):
                        assert (directory / "status").read_text().startswith("state=")
            finally:
                with suppress(OSError):  # connected, and never opened: it would wait for who opens it, `accept_wait`
                    os.write(file, b"hangup")
                os.close(file)

    run()


def test_any_value_of_any_setting(tree: Tree, request: pytest.FixtureRequest, family: Family) -> None:
    opens = ["tcp/:0", f"udp/{family.lo.at(9)}", f"icmp/echo/{family.lo}", "ip/fd"]
    files = [os.open(tree.path / path, os.O_RDWR) for path in opens]
    nodes = [
        (path.partition("/")[0], node)
        for path, file in zip(opens, files, strict=True)
        for node in sorted((tree.path / os.getxattr(file, "user.conversation").decode() / "settings").iterdir())
    ]
    configuration = [
        ("netcfg", tree.path / "netcfg" / name)
        for name in (
            "route/add",
            "route/rm",
            "iface/lo/mtu",
            "iface/lo/addr",
            "ifaces/lo/neighbors/add",
            "resolv/search",
        )
    ]
    texts = st.one_of(values, addresses, st.text(max_size=20)).map(lambda text: text.encode(errors="replace"))

    @times(request, 200)
    @given(st.sampled_from(nodes + configuration), st.one_of(texts, st.binary(min_size=1, max_size=20)))
    def run(node: tuple[str, Path], value: bytes) -> None:
        scheme, path = node
        with tree.told(scheme):
            file = os.open(path, os.O_WRONLY)
            try:
                os.write(file, value)
            finally:
                os.close(file)
        with tree.told(scheme):
            path.read_bytes()

    run()
    for file in files:
        os.close(file)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("tcp/[LO]:80,colour=red", "there is no option 'colour'; there are: accept, "),
        ("udp/:0,ttl=0", "'0' is not a number from 1 to 255"),
        ("icmp/ping/LO,colour=red", "there is no option 'colour'; there are: count, interval"),
        ("icmp/echo/LO,colour=red", "there is no option 'colour'; there are: "),
        ("ip/udp,colour=red", "there is no option 'colour'; there are: checksum, events, family, from, "),
        ("tcp/[UNROUTED]:80", "no route to UNROUTED"),
        ("tcp/:8080,timeout=3", "'timeout' applies only to connecting addresses; listening addresses take: accept, "),
        ("tcp/[LO]:80,backlog=3", "'backlog' applies only to listening addresses; connecting addresses take: "),
        (
            "udp/[LO]:80,listen,bind",
            "'bind' applies only to bound addresses; listening addresses take: accept, backlog, ",
        ),
        ("udp/:0,backlog=3", "'backlog' needs 'listen' or 'accept'"),
        ("udp/:0,bytes=yes", "bytes: the option takes no value, not 'yes'"),
        ("tls/:8443,sni=me", "'sni' applies only to connecting addresses; listening addresses take: accept, "),
        ("icmp/ping/LO,ttl=0", "ttl: '0' is not a number from 1 to 255"),
        ("icmp/trace/LO,timeout=soon", "timeout: 'soon' is not a number of seconds"),
    ],
)
def test_the_sentence_names_what_would_have_been_right(tree: Tree, path: str, words: str, family: Family) -> None:
    with pytest.raises(OSError):
        os.open(tree.path / family.fill(path), os.O_RDWR | os.O_NONBLOCK)
    assert family.fill(words) in (tree.path / path.partition("/")[0] / "err").read_text()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_bad_verb_is_answered_with_the_good_ones(tree: Tree, scheme: str) -> None:
    with open(tree.path / scheme / "clone", "r+b", buffering=0) as ctl:
        directory = tree.path / os.getxattr(ctl.fileno(), "user.conversation").decode()
        with pytest.raises(OSError, match="Invalid argument"):
            ctl.write(b"dance")
        for text in ((directory / "err").read_text(), (tree.path / scheme / "err").read_text()):
            verbs = (
                "connect ADDRESS, announce ADDRESS, bind" if scheme in ("tcp", "udp") else "connect ADDRESS, shutdown"
            )
            assert f"there is no verb or setting 'dance'; there are: {verbs}" in text
            assert "read_timeout" in text
