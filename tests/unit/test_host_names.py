"""Host and service names from files: what they map to, and the sentences about what they do not know."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.names import Names


@pytest.mark.parametrize(
    ("text", "port"), [("80", 80), ("0", 0), ("65535", 65535), ("http", 80), ("HTTP", 80), ("web", 8080), ("www", 8080)]
)
def test_a_port_is_a_number_or_a_service(text: str, port: int) -> None:
    assert Names(services="web 8080/tcp www # ours\n").port(text, "tcp") == port


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("70000", "port: '70000' is not a number from 0 to 65535"), ("gopher", "there is no tcp service 'gopher'")],
)
def test_an_unknown_port(text: str, sentence: str) -> None:
    with pytest.raises(SchemeError) as raised:
        Names().port(text, "tcp")
    assert (raised.value.errno, raised.value.sentence) == (errno.EINVAL, sentence)


def test_an_unknown_host() -> None:
    with pytest.raises(SchemeError) as raised:
        Names("10.0.2.2 peer\n").addresses("other")
    sentence = "no address is known for 'other'; netcfg/resolv/hosts does not list it"
    assert (raised.value.errno, raised.value.sentence) == (errno.ENOENT, sentence)


def test_a_nul_is_in_no_name() -> None:
    with pytest.raises(ValueError, match=r"not '10\.0\.2\.3 a\\x00b'$"):
        Names("").set_hosts("10.0.2.3 a\0b\n")


def test_a_bad_line_is_quoted_and_replaces_nothing() -> None:
    names = Names("10.0.2.2 peer\n")
    with pytest.raises(ValueError, match=r"^a line of the hosts file is ADDRESS NAME…, not 'peer 10\.0\.2\.3'$"):
        names.set_hosts("10.0.2.3 other\npeer 10.0.2.3\n")
    assert names.addresses("peer") == (bytes((10, 0, 2, 2)),)
    assert names.hosts == "10.0.2.2 peer\n"
