"""`schemefs ladder` and `schemefs plot` on a mount and on a capture of it: what the notes' curl waited for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

HANDSHAKE = re.compile(r"── (SYN.*?) ─")  # on lo either end can be the local one of a capture


def ladder(*arguments: object, status: int = 0, tool: str = "ladder", **options: object) -> str:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", "schemefs", tool, *map(str, arguments)],
        check=False, capture_output=True, text=True, timeout=30, env=environment, **options,  # type: ignore[call-overload]
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if not status else done.stderr


def test_a_conversation_and_its_capture(module_scheme_mount: SchemeMount, tmp_path: Path, family: Family) -> None:
    tree = module_scheme_mount.path
    capture = os.open(tree / "network/lo/capture.pcapng,filter=tcp port 7070", os.O_RDONLY | os.O_NONBLOCK)
    listener = os.open(tree / "tcp/:7070", os.O_RDWR)
    (tree / "netcfg/ifaces/lo/impair").write_text("hold synack 1 70ms\n")
    stream = os.open(tree / f"tcp/{family.lo.at(7070)},events", os.O_RDWR)
    os.write(stream, b"GET / HTTP/1.0\r\n\r\n")
    (tree / "netcfg/ifaces/lo/impair").write_text("none\n")
    name = os.getxattr(stream, "user.conversation").decode()

    drawn = ladder("--fd", stream, "--mount", tree, "--width", 100, pass_fds=[stream])
    assert re.search(r"^0\.000000 +│── SYN seq 0 win \d+ ─+▶│$", drawn, re.MULTILINE)
    assert re.search(r"^0\.(0[7-9]|[1-9]\d)\d+ +│◀── SYN, ACK seq 0 ack 1 win \d+ ─+│$", drawn, re.MULTILINE)
    assert re.search(r"^0\.\d+ +SYN_SENT -> ESTABLISHED +│ +│$", drawn, re.MULTILINE)
    assert "write of 18: 18" in drawn
    assert ladder(tree / name, "--width", 100) == drawn
    assert ladder(name, "--mount", tree, "--width", 100) == drawn
    assert ladder(name, "--mount", tree, "--svg", tmp_path / "ladder.svg") == ""
    assert (tmp_path / "ladder.svg").read_text().startswith("<svg ")

    assert ladder(name, "--mount", tree, "-o", tmp_path / "graph.svg", "--what", "sequence", tool="plot") == ""
    assert "sequence numbers, sent" in (tmp_path / "graph.svg").read_text()

    with suppress(BlockingIOError), (tmp_path / "c.pcapng").open("wb") as file:
        while octets := os.read(capture, 1 << 20):
            file.write(octets)
    captured = ladder(tmp_path / "c.pcapng", "--width", 100)
    assert HANDSHAKE.findall(captured) == HANDSHAKE.findall(drawn)
    assert len(HANDSHAKE.findall(drawn)) == 2
    for descriptor in (stream, listener, capture):
        os.close(descriptor)


def test_a_target_that_can_not_be_read_gets_a_sentence(module_scheme_mount: SchemeMount, tmp_path: Path) -> None:
    tree = module_scheme_mount.path
    (tmp_path / "text").write_text("no capture\n")
    for arguments, status, sentence in (
        ((), 2, "name one target: tcp/N, --fd FD or a capture"),
        (("tcp/1", "--fd", 1), 2, "name one target: tcp/N, --fd FD or a capture"),
        (("tcp/999", "--mount", tree), 1, f"there is no conversation tcp/999 in {tree}"),
        (("--fd", 0, "--mount", tree), 1, "descriptor 0 is not a conversation of a schemefs"),
        (("--fd", 9**20, "--mount", tree), 1, f"descriptor {9**20} is not a conversation of a schemefs"),
        ((tmp_path / "text",), 1, f"{tmp_path}/text: it is no capture: it begins with 6e6f2063, not as pcapng or pcap"),
        ((tmp_path / "none",), 1, f"{tmp_path}/none: No such file or directory"),
    ):
        assert ladder(*arguments, status=status, stdin=subprocess.DEVNULL) == f"schemefs: {sentence}\n"


def test_a_report(module_scheme_mount: SchemeMount, tmp_path: Path, family: Family) -> None:
    tree = module_scheme_mount.path
    (tree / "netcfg/ifaces/lo/impair").write_text("delay 1ms seed 7\n")
    streams = [os.open(tree / name, os.O_RDWR) for name in ("tcp/:7071", f"tcp/{family.lo.at(7071)},events")]
    streams.append(os.open(tree / f"tcp/{family.lo.at(7071)}", os.O_RDWR))
    os.write(streams[1], b"<script>")
    assert ladder("--mount", tree, "-o", tmp_path / "r.html", tool="report") == ""
    page = (tmp_path / "r.html").read_text()
    (tree / "netcfg/ifaces/lo/impair").write_text("none\n")
    assert "delay 1ms seed 7" in page
    assert "SYN seq 0 win" in page
    assert "Where the time went" in page
    assert page.count("Its events were not recorded") >= 1
    assert not (tree / os.getxattr(streams[2], "user.conversation").decode() / "events").stat().st_size
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    for descriptor in streams:
        os.close(descriptor)


def test_a_plot_that_can_not_be_drawn_gets_a_sentence(tmp_path: Path) -> None:
    for arguments, status, sentence in (
        (("x", "-o", "graph.gif"), 2, "graph.gif is neither .svg nor .png"),
        (
            ("x", "-o", "graph.svg", "--what", "rtt,speed"),
            2,
            "'speed' is no graph; there are sequence, window, rtt, th",
        ),
        ((tmp_path / "none", "-o", "graph.svg"), 1, f"{tmp_path}/none: No such file or directory"),
    ):
        assert ladder(*arguments, status=status, tool="plot", cwd=tmp_path).startswith(f"schemefs: {sentence}")
