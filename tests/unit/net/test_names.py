"""Host and service names."""

from __future__ import annotations

import errno
import logging

import pytest

from schemefs.errors import SchemeError
from schemefs.names import Names

HOSTS = "127.0.0.1 localhost\n10.0.2.2  Gateway gw.example.  # the peer\n\n# nothing\n::1 localhost\n"


def test_addresses_of_names_and_numbers() -> None:
    names = Names(HOSTS)
    assert names.addresses("10.1.2.3") == (bytes((10, 1, 2, 3)),)
    assert names.addresses("GATEWAY") == (bytes((10, 0, 2, 2)),)
    assert names.addresses("gw.example.") == (bytes((10, 0, 2, 2)),)
    assert names.addresses("localhost") == (bytes((127, 0, 0, 1)), bytes(15) + b"\1")


def test_localhost_is_known_without_a_hosts_file() -> None:
    for name in ("localhost", "LocalHost.", "any.localhost"):
        assert Names().addresses(name) == (bytes((127, 0, 0, 1)),)


def test_unknown_name_is_enoent_with_a_sentence() -> None:
    with pytest.raises(SchemeError, match="nowhere") as caught:
        Names(HOSTS).addresses("nowhere")
    assert caught.value.errno == errno.ENOENT


def test_bad_line_changes_nothing_and_is_quoted() -> None:
    names = Names(HOSTS)
    with pytest.raises(ValueError, match="10.0.0.1"):
        names.set_hosts("10.9.9.9 other\n10.0.0.1\n")
    assert names.hosts == HOSTS
    assert names.addresses("gateway")


def test_bad_line_in_the_machines_file_does_not_stop_the_start(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "schemefs.names"):
        names = Names("10.0.0.1\nnonsense here\n10.0.2.2 peer\n")
    assert names.addresses("peer") == (bytes((10, 0, 2, 2)),)
    assert names.hosts == "10.0.2.2 peer\n"
    assert "nonsense here" in caplog.text


def test_ports_by_number_and_name() -> None:
    names = Names("", "http 8080/tcp www # not the usual\nbroken\nodd x/tcp\n")
    assert names.port("80", "tcp") == 80
    assert names.port("HTTP", "tcp") == 8080
    assert names.port("www", "tcp") == 8080
    assert names.port("http", "udp") == 80
    assert names.port("domain", "udp") == 53


@pytest.mark.parametrize("text", ["nosuch", "", "65536", "99999999999999", "٣"])
def test_unknown_port_is_einval(text: str) -> None:
    with pytest.raises(SchemeError) as caught:
        Names().port(text, "tcp")
    assert caught.value.errno == errno.EINVAL
