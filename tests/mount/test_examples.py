"""The examples and the demo, run as they are shipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemefs.testing.daemon_starter import end_with_parent
from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SHELLS = ["dash", "bash"]


def command(scheme: Path, shell: str, name: str, *arguments: str) -> list[str]:
    return ["env", f"SCHEME={scheme}", shell, str(EXAMPLES / name), *arguments]


def run(scheme: Path, shell: str, name: str, *arguments: str) -> str:
    done = subprocess.run(
        command(scheme, shell, name, *arguments), check=True, capture_output=True, text=True, timeout=20
    )
    return done.stdout


@contextmanager
def server(scheme: Path, shell: str, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command(scheme, shell, name, *arguments), stdout=subprocess.PIPE, text=True, preexec_fn=end_with_parent
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "listening\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["ping", "get", "httpd", "udp-echo", "watch-connection"])
def test_each_is_a_posix_script_that_stops_at_errors(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    assert text.startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in text
    assert os.access(EXAMPLES / name, os.X_OK)


@pytest.mark.parametrize("shell", SHELLS)
def test_ping(module_scheme_mount: SchemeMount, shell: str, family: Family) -> None:
    assert "2 packets transmitted, 2 packets received" in run(module_scheme_mount.path, shell, "ping", family.lo, "2")


@pytest.mark.parametrize("shell", SHELLS)
def test_httpd_and_get(module_scheme_mount: SchemeMount, shell: str, family: Family) -> None:
    scheme = module_scheme_mount.path
    with server(scheme, shell, "httpd", "8080"):
        for path in ("/first", "/second"):
            answer = run(scheme, shell, "get", family.lo.at(8080), path)
            hello = rf"hello {re.escape(family.lo.host)}:\d+, you asked: GET {path} HTTP/1.0"
            assert re.fullmatch(rf"HTTP/1.0 200 OK\n.*\n\n{hello}\n", answer)


@pytest.mark.parametrize("shell", SHELLS)
def test_udp_echo(module_scheme_mount: SchemeMount, shell: str, family: Family) -> None:
    scheme = module_scheme_mount.path
    path = scheme / "udp" / family.lo.at(7007)
    with server(scheme, shell, "udp-echo", "7007"), path.open("r+b", buffering=0) as client:
        for payload in (b"one", b"two\nlines\n", bytes(range(256)) * 20):
            client.write(payload)
            assert client.read(65536) == payload


@pytest.mark.parametrize("shell", SHELLS)
def test_watch_connection_ends_with_the_connection(
    module_scheme_mount: SchemeMount, shell: str, family: Family
) -> None:
    tcp = module_scheme_mount.path / "tcp"
    with (tcp / ":8090").open("r+b", buffering=0) as listener:
        with (tcp / family.lo.at(8090)).open("r+b", buffering=0):
            number = listener.read(100).split()[0].decode()
            with subprocess.Popen(
                command(module_scheme_mount.path, shell, "watch-connection", number, "0.05"),
                stdout=subprocess.PIPE, text=True, preexec_fn=end_with_parent,
            ) as watch:  # fmt: skip
                assert watch.stdout is not None
                assert watch.stdout.readline().startswith("state=ESTABLISHED ")
                (tcp / number / "ctl").write_text("hangup\n")
                watch.communicate(timeout=10)
                assert watch.returncode == 0


def test_the_users_tests(tmp_path: Path) -> None:
    for name in ("test_my_server.py", "httpd"):
        shutil.copy(EXAMPLES / name, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_server.py"],
        check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout


@pytest.mark.needs("tap", "root")
def test_get_from_and_httpd_for_the_peer(tap_network: TapNetwork, tmp_path: Path, family: Family) -> None:
    scheme = tap_network.mount.path
    (tmp_path / "page").write_text("from the peer\n")
    http = tap_network.start_peer(
        [sys.executable, "-u", "-m", "http.server", "80", "-b", family.peer, "-d", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert http.stdout is not None
    assert "Serving" in http.stdout.readline()
    assert run(scheme, "dash", "get", family.peer.host, "/page").endswith("\n\nfrom the peer\n")
    with server(scheme, "dash", "httpd"):
        page = tap_network.run_peer(["curl", "-sS", f"http://{family.ours.at(8080)}/x"]).stdout
    assert re.fullmatch(rf"hello {re.escape(family.peer.host)}:\d+, you asked: GET /x HTTP/1.1\n", page)


@pytest.mark.needs("tap", "root")
def test_the_demo() -> None:
    before = set(Path("/").iterdir())
    done = demo()
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith(" s\n")
    assert "0 steps failed" in done.stdout
    if all(map(shutil.which, ("nft", "dnsmasq"))):
        assert done.stdout.count("hello 192.0.2.1") == 4, done.stdout
        if Path("/proc/sys/net/ipv6").exists():
            assert done.stdout.count("hello 2001:db8:9::1\n") == 1, done.stdout
    assert set(Path("/").iterdir()) == before


@pytest.mark.full
@pytest.mark.needs("tap", "root", "nft", "dnsmasq")
def test_the_demo_plays_the_faults_of_the_notes() -> None:
    """Each row of docs/field-notes.md: switched on, seen, switched off."""
    done = demo(str(EXAMPLES / "demo.py"), "--notes")
    assert "0 steps failed" in done.stdout, done.stdout
    assert done.returncode == 0


def test_the_loopback_half_of_the_demo() -> None:
    """As where there is no TAP."""
    program = "import sys, demo; demo.what_is_missing = lambda: 'it is a test'; sys.exit(demo.main([]))"
    done = demo("-c", f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); {program}")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("Only the steps on loopback: it is a test.\n")
    assert "0 steps failed" in done.stdout


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # as ./dev has it
    return subprocess.run(
        [sys.executable, *(arguments or [str(EXAMPLES / "demo.py")])],
        check=False, capture_output=True, text=True, timeout=150, env=os.environ | {"PATH": path}, cwd="/",
    )  # fmt: skip
