"""`dns/responder`: a name server on an address of lo, for programs whose libc asks by DNS; off unless it is open."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("root", "fuse")  # the name server of the tests has port 53

RECORDS = {
    ("www.example.com.", "A"): ["10.9.9.9", "10.9.9.10"],
    ("www.example.com.", "AAAA"): ["2001:db8::9"],
    ("example.com.", "MX"): ["10 mail.example.com."],
    ("example.com.", "TXT"): ['"one" "two words"'],
    ("_http._tcp.example.com.", "SRV"): ["0 5 80 www.example.com."],
    ("9.9.9.10.in-addr.arpa.", "PTR"): ["www.example.com."],
    ("example.com.", "HTTPS"): ['1 . alpn="h2"'],
    ("long.example.com.", "TXT"): [f'"{"x" * 200} {number}"' for number in range(5)],
}


def serve(file: int, asked: list[str]) -> None:
    """Answer what a file of udp,bind,headers reads, from RECORDS, until the file is closed."""
    while octets := os.read(file, 5000):
        line, _, octets = octets.partition(b"\n")
        query = dns.message.from_wire(octets)
        name, type_ = query.question[0].name.to_text(), dns.rdatatype.to_text(query.question[0].rdtype)
        asked.append(f"{name} {type_}")
        answer = dns.message.make_response(query)
        if name == "refused.example.com.":
            answer.set_rcode(dns.rcode.REFUSED)
        elif (name, type_) in RECORDS:
            answer.answer.append(dns.rrset.from_text(name, 300, "IN", type_, *RECORDS[name, type_]))
        elif not any(known == name for known, _ in RECORDS):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        os.write(file, line.partition(b" ")[0] + b"\n" + answer.to_wire())


@pytest.fixture(scope="module")
def asked(module_scheme_mount: SchemeMount, module_family: Family) -> Iterator[list[str]]:
    root = module_scheme_mount.path
    (root / "netcfg/resolv/nameserver").write_text(f"{module_family.lo}\n")
    (root / "netcfg/resolv/hosts").write_text("10.7.7.7 here.example\n")
    file = os.open(root / f"udp/{module_family.lo.at(53)},bind,headers", os.O_RDWR)
    asked: list[str] = []
    server = threading.Thread(target=serve, args=(file, asked))
    server.start()
    yield asked
    Path(root / os.getxattr(file, "user.conversation").decode() / "ctl").write_text("shutdown read")
    server.join()
    os.close(file)


@pytest.fixture
def root(module_scheme_mount: SchemeMount) -> Path:
    return module_scheme_mount.path


@contextmanager
def opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR if path.parent.name != "dns" else os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)


def ask(root: Path, name: str, type_: str, *, edns: int = -1) -> dns.message.Message:
    query = dns.message.make_query(name, type_, use_edns=0 if edns > 0 else -1, payload=max(edns, 0))
    with opened(root / "udp/127.0.0.53:53,read_timeout=10") as file:
        os.write(file, query.to_wire())
        answer = dns.message.from_wire(os.read(file, 65_535))
    assert query.is_response(answer)
    return answer


def texts(answer: dns.message.Message) -> list[str]:
    return sorted(rdata.to_text() for rrset in answer.answer for rdata in rrset)


def test_it_is_off_unless_it_is_open(root: Path, asked: list[str]) -> None:
    with opened(root / "udp/127.0.0.53:53") as file, pytest.raises(ConnectionRefusedError):
        os.write(file, dns.message.make_query("here.example", "A").to_wire())
        assert select.select([file], [], [], 10)[0]
        os.read(file, 100)
    with pytest.raises(ConnectionRefusedError), opened(root / "tcp/127.0.0.53:53"):
        pass
    with opened(root / "dns/responder") as one, opened(root / "dns/responder") as two:
        assert os.read(one, 100) == b"127.0.0.53:53\n"
        assert os.read(one, 100) == b""
        os.close(two)
        assert texts(ask(root, "here.example", "A")) == ["10.7.7.7"]
        os.dup2(one, two)
    with pytest.raises(ConnectionRefusedError), opened(root / "tcp/127.0.0.53:53"):
        pass
    assert "127.0.0.53" not in (root / "tcp/README").read_text()


@pytest.mark.parametrize(
    ("name", "type_", "records"),
    [
        *((name, type_, sorted(records)) for (name, type_), records in RECORDS.items() if "long" not in name),
        ("here.example", "A", ["10.7.7.7"]),
        ("here.example", "AAAA", []),  # its name is in the hosts file, with no such address
        ("7.7.7.10.in-addr.arpa", "PTR", ["here.example."]),
        ("localhost", "A", ["127.0.0.1"]),
        ("localhost", "AAAA", ["::1"]),
    ],
)
def test_records_of_every_kind(root: Path, asked: list[str], name: str, type_: str, records: list[str]) -> None:
    with opened(root / "dns/responder"):
        answer = ask(root, name, type_)
    assert (dns.rcode.to_text(answer.rcode()), answer.flags & dns.flags.RA) == ("NOERROR", dns.flags.RA)
    assert texts(answer) == (records if type_ != "TXT" else ['"onetwo words"'])


def test_an_answer_comes_from_the_cache_the_second_time_with_its_remaining_ttl(root: Path, asked: list[str]) -> None:
    with opened(root / "dns/responder"):
        ask(root, "WWW.example.com", "A")
        before = len(asked)
        answer = ask(root, "www.Example.com", "A")
    assert len(asked) == before
    assert 0 < answer.answer[0].ttl <= 300
    assert "www.example.com A" in (root / "dns/cache").read_text()


@pytest.mark.parametrize(
    ("name", "type_", "rcode"),
    [
        ("nothing.example.com", "A", "NXDOMAIN"),
        ("www.example.com", "MX", "NOERROR"),
        ("refused.example.com", "A", "SERVFAIL"),
        ("some.invalid", "A", "NXDOMAIN"),
        ("example.com", "ANY", "NOTIMP"),
    ],
)
def test_what_is_not_there(root: Path, asked: list[str], name: str, type_: str, rcode: str) -> None:
    with opened(root / "dns/responder"):
        answer = ask(root, name, type_)
    assert (dns.rcode.to_text(answer.rcode()), answer.answer) == (rcode, [])


def test_a_long_answer_is_truncated_and_whole_over_tcp(root: Path, asked: list[str]) -> None:
    with opened(root / "dns/responder"):
        assert ask(root, "long.example.com", "TXT").flags & dns.flags.TC
        assert len(texts(ask(root, "long.example.com", "TXT", edns=4096))) == 5
        queries = [dns.message.make_query(name, "TXT").to_wire() for name in ("long.example.com", "example.com")]
        with opened(root / "tcp/127.0.0.53:53") as file:
            octets = b"".join(len(query).to_bytes(2, "big") + query for query in queries)
            os.write(file, octets[:5])
            os.write(file, octets[5:])
            counts = sorted(len(texts(dns.message.from_wire(read_message(file)))) for _ in queries)
        assert counts == [1, 5]


def read_message(file: int) -> bytes:
    octets = b""
    while len(octets) < 2 or len(octets) < 2 + int.from_bytes(octets[:2], "big"):
        octets += os.read(
            file, 2 - len(octets) if len(octets) < 2 else 2 + int.from_bytes(octets[:2], "big") - len(octets)
        )
    return octets[2:]


def test_octets_that_are_no_query_get_no_answer_and_end_a_connection(root: Path, asked: list[str]) -> None:
    with opened(root / "dns/responder"), opened(root / "udp/127.0.0.53:53,read_timeout=10") as file:
        for octets in (b"", b"x", bytes(12), os.urandom(40), dns.message.make_query("a.b", "A").to_wire()[:-3]):
            os.write(file, octets or b"y")
        query = dns.message.make_query("here.example", "A")
        os.write(file, query.to_wire())
        assert query.is_response(dns.message.from_wire(os.read(file, 1000)))
        with opened(root / "tcp/127.0.0.53:53") as stream, pytest.raises(ConnectionResetError):
            os.write(stream, b"\0\1x")
            os.read(stream, 1)


def test_an_ordinary_user_may_open_it(root: Path, asked: list[str]) -> None:
    child = os.fork()
    if not child:
        status = 1
        try:
            os.chdir(root)
            os.setuid(65534)
            with opened(Path("dns/responder")):
                status = 0 if texts(ask(Path(), "here.example", "A")) == ["10.7.7.7"] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
