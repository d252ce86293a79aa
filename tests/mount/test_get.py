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
from schemefs.tools.partial_file import strong_validator
from tests.support.escape_sequences import is_harmless
from tests.support.families import V4, V6, Family
from tests.support.tls_certificates import Authority

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
        ("http://[LO]/hello", b"hello [LO]"),
        ("localhost/hello", b"hello localhost"),
        ("http://localhost:80/redirect", b"hello localhost"),
        ("0.0.0.0/hello", b"hello 0.0.0.0"),  # as on Linux: this host
        ("localhost/chunked", b"hello world"),
        ("localhost/old", b"until the end"),
        ("localhost/big", BIG),
        ("localhost/utf8", b"/%C3%A4?%C3%B6=%41"),
        ("localhost/long", b"hello"),
        ("localhost/pieces", b"hello"),
    ],
)
def test_a_page_is_printed(get: Get, url: str, body: bytes, family: Family) -> None:
    done = get(family.fill(url))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == body.replace(b"[LO]", family.lo.host.encode())


@pytest.mark.parametrize(
    ("url", "status", "sentence"),
    [
        ("foo://localhost/", 1, "is not an http:// or https:// URL"),
        ("http://[::1/", 3, "is not an http:// or https:// URL"),
        ("http://a b/", 3, "'a b' is not a host name or an address"),
        ("localhost:99999/", 3, "has a port that is not a number from 0 to 65535"),
        ("localhost:x/", 3, "has a port that is not a number from 0 to 65535"),
        ("nobody.test/", 6, "no address is known for 'nobody.test'"),
        ("localhost:81/", 7, "Connection refused"),
        ("https://localhost:81/", 7, "Connection refused"),
        ("localhost/cut", 18, "the response is incomplete"),
        ("localhost/nosuch", 22, "404 Not Found"),
        ("localhost/loop", 47, "more than 10 times"),
        ("localhost/nothing", 52, "without an answer"),
        ("localhost/garbage", 1, "the answer has no head: it is no HTTP, or HTTP/0.9"),
        ("localhost/0.9", 1, "HTTP/0.9, which is not supported"),
        ("localhost/bad-head", 8, "the answer is malformed: illegal header line: 'no colon here'"),
        ("localhost/switched", 8, "the server changed to another protocol, which was not requested"),
        ("me:secret@localhost/", 3, "has a user name, which get does not send; schemefs run -- curl does"),
        ("localhost/bad-chunk", 56, "the answer is malformed: "),
        ("localhost/longer", 56, "the head of the answer has more than 307200 octets"),
        ("localhost/continue", 56, "the head of the answer has more than 307200 octets"),
    ],
)
def test_what_fails_has_a_sentence_and_a_status(get: Get, url: str, status: int, sentence: str) -> None:
    done = get(url)
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr.decode()
    assert done.stderr.startswith(b"schemefs: ")
    assert not re.search(rb"Traceback|bytearray|h11", done.stderr)


def test_silence_is_a_time_out(get: Get) -> None:
    assert get("--timeout", "0.3", "localhost/silent").returncode == 28


def test_all_of_it_has_a_time_limit(get: Get) -> None:
    done = get("-m", "1", "-o", "/dev/null", "localhost/endless")
    assert (done.returncode, done.stderr) == (28, b"schemefs: localhost/endless: it takes more than 1 s\n")


def test_header_fields_are_added_replaced_and_left_out(get: Get) -> None:
    shown = get("-H", "X-One: a: b", "-H", "accept:", "-H", "user-agent: mine", "localhost/fields").stdout.decode()
    assert shown == "[('connection', 'close'), ('host', 'localhost'), ('user-agent', 'mine'), ('x-one', 'a: b')]"
    for field in ("no colon", "a b: c", "X: a\nY: b", ": x"):
        assert get("-H", field, "localhost/fields").returncode == 3


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


def test_a_part_is_completed_only_if_the_resource_is_the_same(get: Get, tmp_path: Path) -> None:
    file = tmp_path / "page"
    for version, whole in (("one", b"helloworld"), ("two", b"HELLOWORLD")):
        file.unlink(missing_ok=True)
        assert get("-c", "-o", str(file), "localhost/versions/one").returncode == 18
        assert file.read_bytes() == b"hello"
        assert get("-c", "-o", str(file), f"localhost/versions/{version}").returncode == 0
        assert file.read_bytes() == whole
        assert not os.listxattr(file)


def test_another_range_than_requested_is_refused(get: Get, tmp_path: Path) -> None:
    file = tmp_path / "page"
    file.write_bytes(b"hell")
    assert get("-c", "-o", str(file), "localhost/other-range").returncode == 33
    assert file.read_bytes() == b"hell"


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


@pytest.mark.parametrize("words", [("-c",), ("-C", "-")])
def test_a_server_without_ranges_can_not_continue_a_file(get: Get, tmp_path: Path, words: tuple[str, ...]) -> None:
    file = tmp_path / "page"
    file.write_bytes(b"something else")
    done = get(*words, "-o", str(file), "localhost/chunked")
    assert (done.returncode, b"can't be continued" in done.stderr) == (33, True)
    assert file.read_bytes() == b"something else"
    file.write_bytes(b"hello localhost")  # as long as the whole: it is there
    assert get(*words, "-o", str(file), "localhost/hello").returncode == 0
    assert file.read_bytes() == b"hello localhost"


def test_the_file_has_the_last_name_of_the_url(get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert get("-sSfLO", "localhost/hello").returncode == 0
    assert (tmp_path / "hello").read_bytes() == b"hello localhost"
    assert get("-O", "localhost/").returncode == 23


def test_a_host_is_asked_in_one_family_on_request(get: Get, module_scheme_mount: SchemeMount) -> None:
    (module_scheme_mount.path / "netcfg/resolv/hosts").write_text(f"{V4.lo} localhost four\n{V6.lo} localhost six\n")
    assert get("-4", "localhost/hello").stdout == get("-6", "localhost/hello").stdout == b"hello localhost"
    assert (get("-6", "six/hello").stdout, get("-4", "six/hello").returncode) == (b"hello six", 6)
    assert get("-4", "http://[::1]/hello").returncode == get("-6", "127.0.0.1/hello").returncode == 7  # as curl's


@pytest.mark.parametrize(
    "words", ["-X POST localhost/", "-u a:b localhost/", "-d x=1 localhost/", "-sSx proxy:1 localhost/", "--json {} h"]
)
def test_what_belongs_to_curl_is_refused_with_its_line(get: Get, module_scheme_mount: SchemeMount, words: str) -> None:
    done = get(*words.split())
    line = f"schemefs run --mount {module_scheme_mount.path} -- curl {words.replace('{}', chr(39) + '{}' + chr(39))}\n"
    assert done.returncode == 2
    assert done.stderr.decode().endswith(f" is an option of curl itself: {line}")


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
    assert redirected(url, b"c").text == "http://example.com/a/c"
    assert redirected(url, b"/c").text == "http://example.com/c"
    assert redirected(url, b"https://example.org").text == "https://example.org/"
    assert redirected(url, b"/\xe4 %41").text == "http://example.com/%E4%20%41"  # no UTF-8: quoted as it is
    with pytest.raises(ValueError, match="file:"):
        redirected(url, b"file:///etc/passwd")


@pytest.mark.parametrize(
    ("etag", "modified", "validator"),
    [
        ('"a"', "", '"a"'),
        ('W/"a"', "Tue, 01 Jan 2030 00:00:00 GMT", ""),
        ("", "Tue, 01 Jan 2030 00:00:00 GMT", "Tue, 01 Jan 2030 00:00:00 GMT"),
        ("", "Tue, 01 Jan 2030 00:59:01 GMT", ""),  # less than a minute before Date: another may have been written then
        ("", "yesterday", ""),
        ("", "", ""),
    ],
)
def test_what_identifies_a_version(etag: str, modified: str, validator: str) -> None:
    assert strong_validator(etag, modified, "Tue, 01 Jan 2030 01:00:00 GMT") == validator


@pytest.fixture(scope="module")
def https(module_scheme_mount: SchemeMount, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Serve `hello` on tls/:443, by a plain path of its certificate; the path of the CA's certificate."""
    authority = Authority(tmp_path_factory.mktemp("https"))
    authority.certificate("here", "localhost")
    program = [sys.executable, "-m", "schemefs", "serve", "--mount", str(module_scheme_mount.path)]
    responder = [sys.executable, str(Path(__file__).with_name("http_responder.py"))]
    address = f"tls/:443,cert={authority.folder / 'here.pem'}"
    server = subprocess.Popen([*program, address, "--", *responder], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"listening on *:443\n"
    yield authority.ca
    server.terminate()
    server.communicate(timeout=10)


def test_a_certificate_is_verified_by_the_given_cas(
    get: Get, https: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: Family
) -> None:
    page = "https://localhost/hello"
    refused = get(page)
    assert (refused.returncode, b"its certificate was refused" in refused.stderr) == (60, True)
    assert get("--cacert", str(https), page).stdout == get("--insecure", page).stdout == b"hello localhost"
    assert get("--cacert", str(https), "-4", page).stdout == b"hello localhost"  # verified by the name
    assert get("--cacert", str(https), f"https://{family.lo.host}/hello").returncode == 60
    assert get("--cacert", str(tmp_path / "none"), page).returncode == 77
    assert get("--cacert", __file__, page).returncode == 77  # a file without certificates
    monkeypatch.setenv("SSL_CERT_FILE", str(https))
    assert get(page).stdout == b"hello localhost"
