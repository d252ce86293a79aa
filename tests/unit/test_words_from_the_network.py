"""Every text that shows octets of others, given escape sequences: a terminal and a reader of lines see only text."""

from __future__ import annotations

import errno
import logging
from typing import Any

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from click.testing import CliRunner

from schemefs.command import cli, doctor
from schemefs.conversation.directory import lines
from schemefs.errors import SchemeError, printable, printable_lines
from schemefs.log import LogRing, LogRings
from schemefs.tools import exit_status
from schemes.dns.wire import _data
from schemes.netcfg import dhcp_options as option
from schemes.netcfg import dhcp_wire as wire
from schemes.tls.status import _name
from tests.support.escape_sequences import CORPUS, is_harmless
from tests.trace.ip.test_dhcp_client import PARAMETERS, ClientHost

LATIN = [text for text in CORPUS if all(ord(c) < 256 for c in text)]


def everything(ring: LogRing) -> str:
    return ring.read(ring.start, 1 << 20)[0].decode()


@pytest.fixture
def ring() -> Any:
    logs = LogRings(lambda: 0.0)
    yield logs.ring("schemefs.log", "schemefs")
    logs.close()


@pytest.mark.parametrize("text", CORPUS)
def test_what_is_not_printable_is_escaped(text: str) -> None:
    shown = printable(f"a {text} ö")
    assert is_harmless(shown)
    assert shown.startswith("a ") and shown.endswith(" ö")
    assert is_harmless(printable_lines(text).replace("\n", ""))


def test_what_is_printable_stays() -> None:
    for text in ("", "größe 10 µs", "日本語", "back\\slash", "'quoted'"):
        assert printable(text) is text


@pytest.mark.parametrize("text", CORPUS)
def test_a_line_of_a_log(ring: LogRing, text: str) -> None:
    logging.getLogger("schemefs.dhcp").warning("%s refused: %s", "10.0.2.2", text)
    assert everything(ring).count("\n") == 1
    assert is_harmless(everything(ring).removesuffix("\n"))


@pytest.mark.parametrize("text", CORPUS)
def test_the_traceback_in_a_log(ring: LogRing, text: str) -> None:
    """The message of an exception too; no line of it looks like one of the log."""
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("schemefs.tcp").exception("failed")
    first, *others = everything(ring).removesuffix("\n").split("\n")
    assert first.startswith("+")
    assert all(is_harmless(line) and line.startswith("  ") for line in others)


@pytest.mark.parametrize("text", LATIN)
def test_dhcp_s_reason_of_a_refusal(ring: LogRing, text: str) -> None:
    """Option 56 (RFC 2132 §9.9)."""
    host = ClientHost()
    host.client.start(0.0)
    host.receives(wire.OFFER, 0.0)
    host.receives(wire.NAK, 0.1, parameters={**PARAMETERS, option.MESSAGE: text.encode("latin-1")})
    shown = everything(ring)
    assert "refused: " in shown
    assert shown.count("\n") == 1
    assert is_harmless(shown.removesuffix("\n"))


@pytest.mark.parametrize("text", CORPUS)
def test_the_sentence_of_a_failure(text: str) -> None:
    """What `err` shows, and the log."""
    error = SchemeError(errno.EPROTO, f"10.0.2.2:443: {text}")
    assert is_harmless(error.sentence)
    assert is_harmless(str(error))


@pytest.mark.parametrize("text", CORPUS)
def test_rows_of_status(text: str) -> None:
    """As of a certificate's subject, which a peer without a verified one chooses freely."""
    subject = _name(((("commonName", text),), (("organizationName", text),)))
    shown = lines({"peer_subject": subject, "rtt": 0.5, "mss": 1460})
    assert shown.count("\n") == 3
    assert all(map(is_harmless, shown.splitlines()))


@pytest.mark.parametrize("text", LATIN)
@pytest.mark.parametrize("kind", ["TXT", "HINFO", "CAA", "PTR", "CNAME", "MX", "SRV", "NAPTR", "SOA"])
def test_data_of_dns_records(text: str, kind: str) -> None:
    octets = text.encode("latin-1")[:63]
    string = bytes((len(octets),)) + octets
    name = string + b"\0"
    data = {
        "TXT": string,
        "HINFO": string * 2,
        "CAA": b"\0\x05issue" + octets,
        "MX": b"\0\1" + name,
        "SRV": b"\0\1\0\1\0\1" + name,
        "NAPTR": b"\0\1\0\1" + string * 3 + name,
        "SOA": name * 2 + bytes(20),
    }.get(kind, name)
    rdata = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.from_text(kind), data, 0, len(data))
    assert is_harmless(_data(rdata))


@pytest.mark.parametrize("text", CORPUS)
def test_what_the_tools_print(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines stay lines; each is harmless."""
    exit_status.show(f"HTTP/1.1 200 {text}\nServer: {text}\n")
    with pytest.raises(SystemExit):
        exit_status.fail(22, f"http://10.0.2.2/: 404 {text}")
    shown = capsys.readouterr()
    assert all(map(is_harmless, shown.out.split("\n")))
    assert all(map(is_harmless, shown.err.removesuffix("\n").split("\n")))


@pytest.mark.parametrize("text", CORPUS)
def test_names_in_doctor(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user may name a mount, a device or a program as it likes."""
    finding = doctor.Finding(f"mount /tmp/{text}", f"is held by {text}", fix=f"umount /tmp/{text}", good=False)
    monkeypatch.setattr(doctor, "examine", lambda: [finding])
    done = CliRunner().invoke(cli.cli, ["doctor"])
    assert done.exit_code == 1
    assert len(done.output.removesuffix("\n").split("\n")) == 2
    assert all(map(is_harmless, done.output.removesuffix("\n").split("\n")))
