"""The filter expressions of `schemefs ss`."""

from __future__ import annotations

import socket

import pytest

from schemefs.tools.ss_filter import parse_filter, state_of

LISTENER = {"state": "LISTEN", "local": "*:80"}
CLIENT = {"state": "ESTABLISHED", "local": "10.0.2.15:50000", "remote": "10.0.2.2:443"}
SIX = {"state": "TIME_WAIT", "local": "[fe80::1%eth0]:50001", "remote": "[fd00::9]:22"}
ALL = {"listener": LISTENER, "client": CLIENT, "six": SIX}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("", "listener client six"),
        ("state established", "client"),
        ("state time-wait", "six"),
        ("state listening", "listener"),
        ("exclude listening", "client six"),
        ("state connected", "client six"),
        ("dport = :443", "client"),
        ("dport 22", "six"),
        ("sport >= 50000", "client six"),
        ("sport gt :50000", "six"),
        ("not sport = :80", "client six"),
        ("dst 10.0.2.0/24", "client"),
        ("dst = 10.0.2.2:443", "client"),
        ("dst 10.0.2.2:80", ""),
        ("dst fd00::9", "six"),
        ("dst [fd00::9]:22", "six"),
        ("src fe80::/10", "six"),
        ("src *:80", "listener"),
        ("src 0.0.0.0", ""),
        ("dport = :443 or dport = :22", "client six"),
        ("state established and dport = :22", ""),
        ("state established dport = :443", "client"),
        ("(sport = :80 or dst 10.0.2.2) and exclude listening", "client"),
        ("! ( sport = :80 )", "client six"),
    ],
)
def test_which_conversations_pass(words: str, names: str) -> None:
    passes = parse_filter(words.split())
    assert [name for name, status in ALL.items() if passes(status)] == names.split()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("state", "the filter ends where a state is expected"),
        ("sport =", "the filter ends where a port is expected"),
        ("port = 80", "'port' is no condition of a filter"),
        ("dst 300.1.1.1", "'300.1.1.1' is not an address or a network"),
        ("sport = http", "'http' is neither a port nor a service of /etc/services"),
        ("sport = :8o", "'8o' is neither a port nor a service of /etc/services"),
        ("state nosuch", "'nosuch' is not a state: established, "),
        ("sport = :65536", "65536"),
        ("( sport = :80", "has no"),
        ("sport = :80 )", "has no condition before it"),
        ("dst 10.0.2.2 or", "the filter ends where a condition is expected"),
    ],
)
def test_a_malformed_filter_has_a_sentence(words: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getservbyname", lambda _name: (_ for _ in ()).throw(OSError()))
    with pytest.raises(ValueError, match=sentence):
        parse_filter(words.split())


def test_ports_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getservbyname", {"https": 443, "ssh-alt2": 22}.__getitem__)
    assert parse_filter(["dport", "=", ":https"])(CLIENT)
    assert parse_filter(["dport", "=", ":ssh-alt2"])(SIX)
    assert not parse_filter(["dport", "neq", ":https"])(CLIENT)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ({"state": "SYN_RECEIVED", "remote": "10.0.2.2:1"}, "syn-recv"),
        ({"state": "CONNECTED", "remote": "10.0.2.2:1"}, "established"),
        ({"state": "BOUND", "remote": ""}, "unconnected"),
        ({"state": "CONNECTING", "remote": "10.0.2.2:1"}, "syn-sent"),
        ({"state": "HANDSHAKE", "remote": "10.0.2.2:1"}, "established"),
        ({"state": "FIN_WAIT_2"}, "fin-wait-2"),
    ],
)
def test_states_have_the_names_of_ss(status: dict[str, str], name: str) -> None:
    assert state_of(status) == name
    assert parse_filter(["state", name])(status)
