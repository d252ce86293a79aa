"""netcfg/resolv: name servers, search list, hosts; a write replaces the whole text."""

from __future__ import annotations

import errno
import re

import pytest

from schemefs.errors import SchemeError
from tests.support.memory_layer import USER, Netcfg


def test_several_name_servers_are_one_text() -> None:
    netcfg = Netcfg()
    netcfg.echo("10.0.2.3\n10.0.2.4\n10.0.2.3\n", "resolv/nameserver")
    assert netcfg.cat("resolv/nameserver") == "10.0.2.3\n10.0.2.4\n"
    netcfg.echo("10.0.2.5", "resolv/nameserver")
    assert netcfg.cat("resolv/nameserver") == "10.0.2.5\n"


def test_a_bad_line_changes_nothing() -> None:
    netcfg = Netcfg()
    netcfg.echo("10.0.2.3", "resolv/nameserver")
    with pytest.raises(SchemeError) as caught:
        netcfg.echo("10.0.2.4\n224.0.0.1\n", "resolv/nameserver")
    assert caught.value.errno == errno.EINVAL
    assert netcfg.cat("resolv/nameserver") == "10.0.2.3\n"


def test_a_name_server_of_a_link_needs_its_interface() -> None:
    netcfg = Netcfg()
    before = netcfg.cat("resolv/nameserver")
    sentence = "fe80::1 means another host on each link: write fe80::1%INTERFACE, with one of "
    with pytest.raises(SchemeError, match=sentence) as caught:
        netcfg.echo("fe80::1", "resolv/nameserver")
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(SchemeError, match=sentence):
        netcfg.echo(netcfg.cat("config").replace("nameservers = []", 'nameservers = ["fe80::1"]'), "config")
    assert netcfg.cat("resolv/nameserver") == before


def test_a_name_server_may_be_in_240_8() -> None:
    netcfg = Netcfg()
    netcfg.echo("240.0.0.1", "resolv/nameserver")
    assert netcfg.cat("resolv/nameserver") == "240.0.0.1\n"


def test_the_search_list() -> None:
    netcfg = Netcfg()
    assert netcfg.cat("resolv/search") == ""
    netcfg.echo("Example.com. example.org", "resolv/search")
    assert netcfg.cat("resolv/search") == "example.com\nexample.org\n"
    for malformed in ("exa/mple", "a..b", ".a", "x" * 64 + ".org", "1.2"):
        with pytest.raises(SchemeError, match=re.escape(repr(malformed))) as caught:
            netcfg.echo(malformed, "resolv/search")
        assert caught.value.errno == errno.EINVAL
    with pytest.raises(SchemeError) as caught:
        netcfg.echo("example.net", "resolv/search", USER)
    assert caught.value.errno == errno.EACCES
    netcfg.echo("none", "resolv/search")
    assert netcfg.cat("resolv/search") == ""
