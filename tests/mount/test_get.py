"""`schemefs get` against a server that `schemefs serve` runs on the same mount: what it prints, and its statuses."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from http_responder import BIG

from schemefs.testing.mount import SchemeMount
from schemefs.tools.http import parse_url, redirected
from tests.support.escape_sequences import is_harmless

pytestmark = pytest.mark.needs("fuse")

Get = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def get(module_scheme_mount: SchemeMount) -> Iterator[Get]:
    program = [sys.executable, "-m", "schemefs"]
    mount = ["--mount", str(module_scheme_mount.path)]
    responder = [sys.executable, str(Path(__file__).with_name("http_responder.py"))]
    server = subprocess.Popen([*program, "serve", *mount, ":80", "--", *responder], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline().startswith(b"listening on ")

    def run(
        *words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[bytes]:
        command = [*program, "get", *mount, *words]
        return subprocess.run(command, check=False, stdout=stdout, stderr=stderr, timeout=30)

    yield run
    server.terminate()
    server.communicate(timeout=10)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("http://127.0.0.1/hello", b"hello 127.0.0.1"),
        ("localhost/hello", b"hello localhost"),
        ("http://localhost:80/redirect", b"hello localhost"),
        ("localhost/chunked", b"hello world"),
        ("localhost/old", b"until the end"),
        ("localhost/big", BIG),
    ],
)
def test_a_page_is_printed(get: Get, url: str, body: bytes) -> None:
    done = get(url)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == body


@pytest.mark.parametrize(
    ("url", "status", "sentence"),
    [
        ("ftp://localhost/", 3, "is not an http:// or https:// URL"),
        ("http://a b/", 3, "'a b' is not a host name or an address"),
        ("localhost:99999/", 3, "ort"),
        ("nobody.test/", 6, "no address is known for 'nobody.test'"),
        ("localhost:81/", 7, "Connection refused"),
        ("localhost/cut", 18, "the response is incomplete"),
        ("localhost/nosuch", 22, "404 Not Found"),
        ("localhost/loop", 47, "more than 10 times"),
        ("localhost/nothing", 52, "without an answer"),
        ("localhost/garbage", 52, "localhost/garbage"),
    ],
)
def test_what_fails_has_a_sentence_and_a_status(get: Get, url: str, status: int, sentence: str) -> None:
    done = get(url)
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr.decode()
    assert done.stderr.startswith(b"schemefs: ")
    assert b"Traceback" not in done.stderr


def test_silence_is_a_time_out(get: Get) -> None:
    assert get("-m", "0.3", "localhost/silent").returncode == 28


def test_the_head_is_printed_on_request(get: Get) -> None:
    assert get("-i", "localhost/hello").stdout.startswith(b"HTTP/1.1 200 OK\nContent-Length: 15\n\nhello")


def test_words_of_a_server_reach_no_terminal_raw(get: Get) -> None:
    """Its reason and its header fields: a control sequence would be obeyed."""
    done = get("-i", "localhost/escapes")
    assert done.returncode == 22
    for octets in (done.stdout, done.stderr):
        assert all(is_harmless(line) for line in octets.decode().split("\n"))
    assert b"X-Title: \\x1b]0;owned\\x07\nX-C1: a\\x9bb\n" in done.stdout
    assert b"404 \\x1b[2Jno\\x07" in done.stderr


def test_a_file_is_written_and_completed(get: Get, tmp_path: Path) -> None:
    file = tmp_path / "big"
    assert get("-o", str(file), "localhost/big").returncode == 0
    assert file.read_bytes() == BIG
    file.write_bytes(BIG[:1_000_000])
    assert get("-c", "-o", str(file), "localhost/big").returncode == 0
    assert file.read_bytes() == BIG
    assert get("-c", "-o", str(file), "localhost/big").returncode == 0
    assert file.read_bytes() == BIG


def test_a_dash_is_standard_output(get: Get) -> None:
    assert get("-o", "-", "localhost/hello").stdout == b"hello localhost"
    assert get("-c", "-o", "-", "localhost/hello").returncode == 3


def test_who_has_a_terminal_sees_how_far_it_is(get: Get, tmp_path: Path) -> None:
    ours, terminal = os.openpty()
    assert get("-o", str(tmp_path / "big"), "localhost/big", stderr=terminal).returncode == 0
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
        while octets := os.read(ours, 65536):
            shown += octets
    os.close(ours)
    assert re.search(rb"big .*2\.1/2\.1 MB", re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", shown))


def test_a_server_without_ranges_gives_the_whole_again(get: Get, tmp_path: Path) -> None:
    file = tmp_path / "page"
    file.write_bytes(b"something else that is longer")
    assert get("-c", "-o", str(file), "localhost/chunked").returncode == 0
    assert file.read_bytes() == b"hello world"


def test_a_file_that_can_not_be_written(get: Get, tmp_path: Path) -> None:
    assert get("-o", str(tmp_path / "no/such"), "localhost/hello").returncode == 23


@pytest.mark.parametrize("page", ["hello", "big"])
@pytest.mark.parametrize("words", [("-o", "/dev/full"), ()])
def test_a_full_disk_is_named(get: Get, words: tuple[str, ...], page: str) -> None:
    with open("/dev/full", "wb") as full:
        done = get(*words, f"localhost/{page}", stdout=full.fileno())
    name = words[1] if words else "standard output"
    assert (done.returncode, done.stderr.decode()) == (23, f"schemefs: {name}: No space left on device\n")


@pytest.mark.parametrize(
    ("url", "path", "authority", "target"),
    [
        ("example.com", "tcp/example.com:80", "example.com", "/"),
        ("http://example.com:8080/a?b=c", "tcp/example.com:8080", "example.com:8080", "/a?b=c"),
        ("https://example.com/ä b", "tls/example.com:443", "example.com", "/%C3%A4%20b"),
        ("http://[fd00::1]/", "tcp/[fd00::1]:80", "[fd00::1]", "/"),
        ("http://Bücher.example/", "tcp/xn--bcher-kva.example:80", "xn--bcher-kva.example", "/"),
    ],
)
def test_urls(url: str, path: str, authority: str, target: str) -> None:
    parsed = parse_url(url)
    assert (parsed.path, parsed.authority, parsed.target) == (path, authority, target)


def test_where_redirections_lead() -> None:
    url = parse_url("http://example.com/a/b")
    assert redirected(url, "c").text == "http://example.com/a/c"
    assert redirected(url, "/c").text == "http://example.com/c"
    assert redirected(url, "https://example.org").text == "https://example.org/"
    with pytest.raises(ValueError, match="file:"):
        redirected(url, "file:///etc/passwd")
