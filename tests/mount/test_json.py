"""`--json`: the output of each tool has the fields and types of docs/json.md, and jq reads it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemefs.command import doctor
from schemefs.testing.mount import SchemeMount
from schemefs.tools import ping_lines, trace_lines
from schemefs.tools.json_output import kind_of
from tests.support import json_page
from tests.support.families import Family
from tests.support.tools_in_process import call

CLASSES = {made.__name__: made for _, _, classes in json_page.TABLES for made in classes}
PING = next(classes for title, _, classes in json_page.TABLES if title.startswith("ping"))
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None), "object": dict}


def check(value: Any, kind: str) -> None:
    """Check that *value* is of *kind*, a type of the page."""
    if kind in CLASSES:
        fields = {field.name: json_page.kind_of_type(str(field.type)) for field in dataclasses.fields(CLASSES[kind])}
        assert list(value) == list(fields)
        for name, one in value.items():
            check(one, fields[name])
    elif kind.startswith("array of "):
        assert isinstance(value, list)
        for one in value:
            check(one, kind.removeprefix("array of "))
    elif " or " in kind:
        parts = kind.split(" or ")
        if value is not None or "null" not in parts:
            check(value, next(part for part in parts if part != "null"))
    else:
        assert isinstance(value, TYPES[kind]), (value, kind)
        assert kind == "boolean" or not isinstance(value, bool)


def jq(program: str, text: str) -> str:
    """Return what jq prints."""
    done = subprocess.run(["jq", "-rc", program], input=text, check=True, capture_output=True, text=True, timeout=20)
    return done.stdout.strip()


def test_the_page_has_the_fields_of_the_classes() -> None:
    """`python -m tests.support.json_page` writes it."""
    assert json_page.PAGE.read_text() == json_page.written()


@pytest.fixture(scope="module")
def tree(module_scheme_mount: SchemeMount) -> Iterator[Path]:
    yield module_scheme_mount.path


pytestmark = pytest.mark.needs("fuse", "jq")


def test_ifconfig_route_and_dns(tree: Path, family: Family) -> None:
    text = call(tree, "ifconfig", "--json")
    check(json.loads(text), "array of InterfaceState")
    program = f'.[] | select(.name == "lo") | .state, (.addresses[].address | select(. == "{family.lo}"))'
    assert jq(program, text) == f"up\n{family.lo}"
    text = call(tree, "route", "--json")
    check(json.loads(text), "array of RouteState")
    assert jq(".[0] | .destination, .gateway, .metric", text) == "127.0.0.0/8\nnull\n0"  # ::1 needs no route
    text = call(tree, "route", "get", family.lo, "--json")
    check(json.loads(text), "RouteLookup")
    assert jq(".local", text) == "true"
    text = call(tree, "dns", "localhost", family.pick("A", "AAAA"), "--json")
    check(json.loads(text), "DnsAnswer")
    assert jq(".records[]", text) == family.lo
    text = call(tree, "arp", "--json")
    assert jq("length", text) == "0"
    text = call(tree, "ip", "-j", "a")
    assert family.lo in jq(".[0].addr_info[].local", text).splitlines()


def test_ping_and_traceroute_are_lines(tree: Path, family: Family) -> None:
    text = call(tree, "ping", "--json", "-c", "2", "-i", "0.01", family.lo)
    lines = [json.loads(line) for line in text.splitlines()]
    kinds = [line.pop("kind") for line in lines]
    assert kinds == ["begin", "reply", "reply", "totals", "round_trips"]
    names = {kind_of(made): made.__name__ for made in PING}
    assert set(lines[0]) == {field.name for field in dataclasses.fields(ping_lines.Begin)}
    for kind, line in zip(kinds[1:], lines[1:], strict=True):
        check(line, names[kind])
    assert jq('select(.kind == "totals") | .received', text) == "2"
    text = call(tree, "traceroute", "--json", "-q", "1", family.lo)
    begin, hop = (json.loads(line) for line in text.splitlines())
    assert (begin.pop("kind"), hop.pop("kind")) == ("begin", "hop")
    assert set(begin) == {field.name for field in dataclasses.fields(trace_lines.Begin)}
    assert set(hop) == {field.name for field in dataclasses.fields(trace_lines.Hop)}
    check(hop["probes"], "array of Answer or null")
    assert jq('select(.kind == "hop") | .probes[0].address', text) == family.lo


def test_nc_says_which_ports_accept(tree: Path, family: Family) -> None:
    listener = os.open(tree / f"tcp/{family.lo.at(7312)},listen", os.O_RDWR)
    text = call(tree, "nc", "-z", "--json", family.lo, "7311-7312", "http")
    os.close(listener)
    for line in text.splitlines():
        probe = json.loads(line)
        assert probe.pop("kind") == "probe"
        check(probe, "Probe")
    assert jq("select(.accepts) | .port, .address", text) == f"7312\n{family.lo}"
    assert f"RST from {family.lo.at(80)}" in jq("select(.port == 80) | .reason", text)


def test_ss_counts(tree: Path) -> None:
    text = call(tree, "ss", "-s", "--json")
    check(json.loads(text), "Summary")
    assert jq(".total, .transports[0].transport", text) == "0\nRAW"


def test_serve_and_socks_print_connections(tree: Path, tmp_path: Path, family: Family) -> None:
    program = [sys.executable, "-m", "schemefs"]
    streams = {"stdout": subprocess.PIPE, "env": os.environ | {"SCHEME": str(tree)}, "text": True}
    socket_path = str(tmp_path / "socket")
    commands = (["serve", "--json", ":7313", "--", "true"], ["socks", "--json", socket_path])
    serve, socks = (subprocess.Popen([*program, *words], **streams) for words in commands)  # type: ignore[call-overload]
    with serve, socks:
        try:
            lines = [json.loads(each.stdout.readline()) for each in (serve, socks)]
            assert lines == [{"kind": "listening", "address": address} for address in ("*:7313", socket_path)]
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(socket_path)
                address = family.pick(b"\1", b"\4") + socket.inet_pton(getattr(socket, family.socket), family.lo)
                client.sendall(b"\5\1\0" + b"\5\1\0" + address + (7313).to_bytes(2, "big"))
                lines = [json.loads(each.stdout.readline()) for each in (serve, serve, socks)]
        finally:
            serve.terminate()
            socks.terminate()
    assert [line.pop("kind") for line in lines] == ["connection", "end", "connection"]
    for line, kind in zip(lines, ("Connection", "End", "Connection"), strict=True):
        check(line, kind)
    assert (lines[0]["local"], lines[1]["status"]) == (family.lo.at(7313), 0)
    assert (lines[2]["remote"], lines[2]["pid"], lines[2]["local"]) == (family.lo.at(7313), None, lines[0]["remote"])


def test_ss_has_every_field_of_a_conversation(tree: Path, family: Family) -> None:
    listener = os.open(tree / f"tcp/{family.lo.at(7311)},listen", os.O_RDWR | os.O_NONBLOCK)
    client = os.open(tree / f"tcp/{family.lo.at(7311)}", os.O_RDWR)
    try:
        text = call(tree, "ss", "--json", "dport", "=", ":7311")
        program = '.[] | select(.state == "ESTABLISHED") | .remote, .owner, .pid'
        assert jq(program, text) == f"{family.lo.at(7311)}\n{os.getuid()}\n{os.getpid()}"
        number = os.getxattr(client, "user.conversation").decode()
        status = json.loads((tree / number / "status.json").read_text())
        assert set(json.loads(text)[0]) == {"conversation", *status}
    finally:
        os.close(client)
        os.close(listener)


def test_failures_are_sentences_all_the_same(tree: Path, family: Family) -> None:
    assert "no address is known" in call(tree, "dns", "no-such-host.test", "--json", status=1)
    assert "can't be given together" in call(tree, "traceroute", "--live", "--json", family.lo, status=2)


def test_doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "_plugins", lambda: iter(()))
    is_failure = doctor.print_json()
    found = json.loads(capsys.readouterr().out)
    check(found, "array of Diagnosis")
    assert {one["state"] for one in found} <= {"ok", "no", "FAIL"}
    assert is_failure == any(one["state"] == "FAIL" for one in found)


@pytest.mark.full
@pytest.mark.parametrize("command", re.findall(r"^    (schemefs .*)$", json_page.PAGE.read_text(), re.MULTILINE))
def test_the_commands_of_the_page_run(tree: Path, command: str, family: Family) -> None:
    command = command.replace("10.0.2.2", family.lo).replace("-c 3", "-c 1").replace("jq -e", "jq")
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", command], env={**os.environ, "PATH": path, "SCHEME": str(tree)}, check=True, timeout=30)
