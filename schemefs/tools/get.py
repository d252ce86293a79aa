"""`schemefs get URL`: fetches a page over the mounted files, with the exit statuses of curl(1).

0 fetched   1 HTTP/0.9, or no HTTP, also of the URL   3 not a URL   6 unknown host   7 no connection   8 malformed head
18 body incomplete   22 status of 400 or more   23 can't write   28 time-out   33 other range than requested   35 no TLS
47 too many redirections   52 no answer   56 receiving failed   60 bad certificate   77 no CA file

Status 33 is also that of a server without ranges, which cannot continue a download; the file stays as it is. Status 2:
the option is one of curl itself.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final
from urllib.parse import quote

import click

from schemefs.command.completion import files
from schemefs.net.addresses import packed
from schemefs.tools.address_family import addresses, family_options
from schemefs.tools.exit_status import OUTPUT, discard_output, fail, fail_with, show
from schemefs.tools.find_mount import failure, mount_option
from schemefs.tools.http import HttpError, HttpExchange, NotHttpError, Url, merged, parse_url, redirected
from schemefs.tools.model_options import Model, ModelTool, options_of
from schemefs.tools.partial_file import PartialFile
from schemefs.tools.seconds import seconds

REDIRECTIONS: Final = 10
STDOUT: Final = "-"
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 §5.6.2
_TLS_STATUSES: Final = {  # what the sentence of tls has -> status
    "its certificate was refused": 60,
    "has no usable certificates": 77,
    "the system's certificates can't be read": 77,
    "TLS failed: ": 35,
    "during the TLS handshake": 35,
}
_REDIRECTED: Final = (301, 302, 303, 307, 308)
_STATUSES: Final = {
    errno.ENOENT: 6,
    errno.ENODATA: 6,
    errno.ELOOP: 6,
    errno.EREMOTEIO: 6,
    errno.ETIMEDOUT: 28,
    errno.ECONNRESET: 56,
}

EXAMPLES = """
\b
Examples:
  schemefs get http://10.0.2.2/
  schemefs get -o page.html example.com/index.html
  schemefs get -c -o large.iso http://10.0.2.2/large.iso     continue a partial download
  schemefs get -H 'Accept: application/json' example.com/api
  schemefs get --cacert ca.pem https://host.example/
"""


_CURL: Final = Model(
    options_of(
        "curl",
        "-A -D -E -F -G -I -J -K -N -T -U -V -X -Y -Z -a -b -d -e -g -h -j -l -n -p -q -r -t -u -v -w -x -y -z -# "
        "--anyauth --basic --cert --compressed --config --connect-timeout --connect-to --cookie --cookie-jar "
        "--create-dirs --data --data-ascii --data-binary --data-raw --data-urlencode --digest --doh-url --dump-header "
        "--fail-with-body --form --form-string --get --globoff --head --http0.9 --http1.0 --http1.1 --http2 "
        "--http2-prior-knowledge --http3 --interface --json --key --limit-rate --local-port --max-filesize "
        "--max-redirs --negotiate --netrc --next --noproxy --ntlm --oauth2-bearer --parallel --pinnedpubkey --post301 "
        "--post302 --preproxy --progress-bar --proxy --proxy-user --range --raw --referer --remote-header-name "
        "--remote-time --request --request-target --resolve --retry --retry-delay --socks4 --socks5 "
        "--socks5-hostname --speed-limit --speed-time --stderr --tlsv1.2 --tlsv1.3 --trace --trace-ascii "
        "--unix-socket --upload-file --url --url-query --user --user-agent --verbose --write-out",
    )
)
"""What concerns HTTP and proxies, not the tree."""


@click.command(cls=ModelTool, model=_CURL, epilog=EXAMPLES)
@click.argument("url")
@click.option("-o", "--output", metavar="FILE", help="Write to FILE; -: standard output.", shell_complete=files)
@click.option("-O", "--remote-name", is_flag=True, help="Write to a file with the last name in URL.")
@click.option("-c", "--continue", "resume", is_flag=True, help="With -o: fetch only the part that FILE lacks.")
@click.option("-C", "--continue-at", "offset", type=click.Choice(["-"]), help="-: as -c, in curl's words.")
@click.option("-i", "--include", is_flag=True, help="Print the response's head as well.")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="NAME:VALUE", help="Send this field; NAME: alone: no such."
)
@click.option(
    "-m", "--max-time", type=seconds(), metavar="SECONDS", default=0.0, help="The time for all of it; 0: no limit."
)
@click.option(
    "--timeout",
    type=seconds(),
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="The time without data; 0: no limit.",
)
@click.option(
    "--cacert",
    metavar="FILE",
    envvar="SSL_CERT_FILE",
    help="PEM file of the CAs to trust instead of the system's.  [default: $SSL_CERT_FILE]",
    shell_complete=files,
)
@click.option("-k", "--insecure", is_flag=True, help="Accept any certificate.")
@click.option(
    *("-L", "--location", "-f", "--fail", "-s", "--silent", "-S", "--show-error", "as_always"),
    is_flag=True,
    help="Curl's words for what is done in any case.",
)
@family_options
@mount_option
def command(
    tree: Path,
    url: str,
    output: str | None,
    offset: str | None,
    headers: tuple[str, ...],
    max_time: float,
    timeout: float,
    cacert: str | None,
    family: int | None,
    *,
    remote_name: bool,
    resume: bool,
    include: bool,
    insecure: bool,
    as_always: bool,
) -> None:
    """Fetch URL and print it. Redirections are followed."""
    del as_always
    resume |= offset is not None
    output = _last_name(url) if remote_name else None if output == STDOUT else output
    if resume and not output:
        fail(3, "-c needs a file to continue: give -o FILE")
    _end_after(max_time, url)
    partial = PartialFile(output) if resume and output else None
    fields = merged(partial.request_fields() if partial else {}, dict(map(_field, headers)))
    options = f",timeout={timeout:.6f},read_timeout={timeout:.6f}" if timeout else ""
    request = _Request(tree, fields, options, _tls_options(cacert, is_insecure=insecure), family)
    with request.fetch(url) as exchange:
        if include:
            show(_head(exchange))
        have = partial.octets if partial else 0
        if partial and have and exchange.status == 416 and exchange.field("Content-Range") == f"bytes */{have}":
            partial.complete()
            return
        if exchange.status >= 400:
            reason = exchange.head.reason.decode("latin-1")
            fail(22, f"{url}: {exchange.status} {reason}")
        if partial and have and exchange.status != 206 and not partial.is_of_another_version(exchange):
            if exchange.field("Content-Length") != str(have):  # else the whole is there
                fail(33, f"{url}: the server sends no part of a resource, so {output} can't be continued")
            partial.complete()
            return
        is_rest = have > 0 and exchange.status == 206
        if is_rest and not exchange.field("Content-Range").startswith(f"bytes {have}-"):
            fail(
                33, f"{url}: octets from {have} on were requested; the server sends {exchange.field('Content-Range')!r}"
            )
        _save(exchange, url, output, have if is_rest else 0)


def _end_after(limit: float, url: str) -> None:
    def end(_signal: int, _frame: FrameType | None) -> None:
        fail(28, f"{url}: it takes more than {limit:g} s")

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, limit)


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not _FIELD_NAME.fullmatch(name) or not value.isprintable():
        fail(3, f"{text!r} is not a header field; a field is NAME: VALUE")
    return name, value.strip()


def _tls_options(cacert: str | None, *, is_insecure: bool) -> str:
    """Return the options of tls: which certificates to trust."""
    if is_insecure:
        return ",verify=no"
    if not cacert:
        return ""
    if not os.access(cacert, os.R_OK):
        fail(77, f"{cacert}: this file of CA certificates can't be read")
    return f",ca={quote(os.path.abspath(cacert), safe='')}"


def _last_name(url: str) -> str:
    try:
        name = os.path.basename(parse_url(url).target.partition("?")[0])
    except ValueError as error:
        fail(_status(error), str(error))
    return name or fail(23, f"{url} has no name of a file at its end; give -o FILE")


def _status(error: ValueError) -> int:
    return 1 if isinstance(error, NotHttpError) else 3


@dataclass(frozen=True, slots=True)
class _Request:
    """What is sent to each host on the way."""

    tree: Path
    fields: dict[str, str]
    options: str  # of each connection
    tls_options: str
    family: int | None

    def fetch(self, text: str) -> HttpExchange:
        """Return the response at the end of all redirections."""
        try:
            url = parse_url(text)
            for _ in range(REDIRECTIONS + 1):
                exchange = self._exchange(url)
                location = exchange.octets_of_field("Location")
                if exchange.status not in _REDIRECTED or not location:
                    return exchange
                with exchange:
                    url = redirected(url, location)
        except ValueError as error:
            fail(_status(error), str(error))
        return fail(47, f"{text} is redirected more than {REDIRECTIONS} times")

    def _exchange(self, url: Url) -> HttpExchange:
        if url.scheme == "https" and not (self.tree / "tls").exists():
            fail(35, f"{url.text}: {self.tree} has no scheme tls")
        address = addresses(self.tree, url.host, self.family, status=6, mismatch=7)[0]
        options = self.options
        if url.scheme == "https":
            options += self.tls_options + (f",sni={url.host}" if address != url.host and not packed(url.host) else "")
        try:
            return HttpExchange(self.tree, url, self.fields, options, address)
        except BlockingIOError:
            fail(28, f"{url.text}: no answer within the time-out")
        except OSError as error:
            why = str(failure(self.tree, url.path_to(address), error))
            statuses = (status for words, status in _TLS_STATUSES.items() if url.scheme == "https" and words in why)
            fail(next(statuses, _STATUSES.get(error.errno or 0, 7)), why)
        except HttpError as error:
            fail(error.status, f"{url.text}: {error.sentence}")


def _head(exchange: HttpExchange) -> str:
    lines = [f"HTTP/{exchange.head.http_version.decode()} {exchange.status} {exchange.head.reason.decode('latin-1')}"]
    lines += [
        f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in exchange.head.headers.raw_items()
    ]
    return "\n".join(lines) + "\n"


def _save(exchange: HttpExchange, url: str, output: str | None, have: int) -> None:
    """Write the body. The part that has arrived stays when the rest fails."""
    try:
        with ExitStack() as undo:
            file = undo.enter_context(open(output, "ab" if have else "wb")) if output else sys.stdout.buffer
            partial = PartialFile(output) if output else None
            if partial is not None:
                partial.begin(exchange)
            length = exchange.field("Content-Length")
            total = have + int(length) if length.isdecimal() else 0
            advance = _progress(output, total, have, undo) if output and total and sys.stderr.isatty() else None
            body = exchange.body()
            while octets := _next(exchange, body, url):
                file.write(octets)
                if advance is not None:
                    advance(len(octets))
            file.flush()
            if partial is not None:
                partial.complete()
    except OSError as error:  # of write, flush or close
        if output is None:
            discard_output()
        fail(23, f"{output or OUTPUT}: {error.strerror}")


def _progress(output: str, total: int, have: int, undo: ExitStack) -> Callable[[int], None]:
    """Show a progress bar on standard error; return the function to call with each number of octets received."""
    from rich import progress as bars  # noqa: PLC0415 - a slow import that only a terminal needs
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    shown = undo.enter_context(bars.Progress(*columns, console=Console(stderr=True)))
    task = shown.add_task(os.path.basename(output), total=total, completed=have)
    return lambda octets: shown.advance(task, octets)


def _next(exchange: HttpExchange, body: Iterator[bytes], url: str) -> bytes:
    """Return the next octets of the body; none at its end."""
    try:
        return next(body, b"")
    except BlockingIOError:
        fail(28, f"{url}: no further data within the time-out")
    except OSError as error:
        fail_with(56, exchange.tree, exchange.path, error)
    except HttpError as error:
        fail(error.status, f"{url}: {error.sentence}")
