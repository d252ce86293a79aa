"""`schemefs tcpdump`: the frames of an interface or a conversation as lines, with the options of tcpdump(8).

It reads `network/<if>/capture.pcapng`, or with -r a file. Each line ends with what the stack did with the frame.

Status 0: success, also at Ctrl-C; 1: it failed; 2: the option is one of tcpdump itself.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from schemefs.capture_reader import CapturedInterface, CaptureError, CaptureReader
from schemefs.command import completion
from schemefs.net.capture_filter import Filter, parse_filter
from schemefs.tools.capture_source import capture_path, interface_names, open_capture
from schemefs.tools.exit_status import fail, fail_with, show
from schemefs.tools.find_mount import mount_option_unless
from schemefs.tools.frame_output import STANDARD, BlockOutput, Dump, LineOutput
from schemefs.tools.model_options import Model, ModelTool, options_of

EXAMPLES = """
\b
Examples:
  schemefs tcpdump                                  every frame of the first interface that is not lo
  schemefs tcpdump -i any tcp port 80
  schemefs tcpdump -i tcp/3                         those of one conversation, for its owner
  schemefs tcpdump -c 100 -w web.pcapng 'host 10.0.2.2 and not arp'
  schemefs tcpdump -r web.pcapng tcp
  schemefs tcpdump -w - | wireshark -k -i -
"""

_LINK_TYPES: Final = {1: "EN10MB (Ethernet)", 101: "RAW (Raw IP)"}
_BUFFER: Final = 1 << 18
_MODEL: Final = Model(
    options_of(
        "tcpdump",
        "-A -b -B -C -d -D -e -E -f -F -G -H -I -j -J -K -L -m -M -N -O -p -q -Q -T -u -v -V -W -x -X -y -z -Z",
    )
)


@click.command(cls=ModelTool, model=_MODEL, epilog=EXAMPLES)
@click.argument("words", metavar="[FILTER…]", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "-i", "interface", metavar="NAME", default="", help="An interface, any, or a conversation such as tcp/3.",
    shell_complete=completion.interfaces,
)  # fmt: skip
@click.option("-c", "count", type=click.IntRange(min=1), metavar="N", help="End after N packets.")
@click.option(
    "-w", "output", metavar="FILE", default="", help="Write pcapng instead of lines; -: to standard output.",
    shell_complete=completion.files,
)  # fmt: skip
@click.option(
    "-r", "file", metavar="FILE", default="", is_eager=True, help="Read pcapng or pcap; -: from standard input.",
    shell_complete=completion.files,
)  # fmt: skip
@click.option("-s", "snap", type=click.IntRange(64, 262_144), metavar="OCTETS", help="Keep the first of each frame.")
@click.option("--history", is_flag=True, help="First the frames that netcfg/ifaces/NAME/history has kept.")
@click.option("-S", "absolute", is_flag=True, help="Sequence numbers as they are.")
@click.option("-t", "times", count=True, help="No time; -tt: seconds since 1970; -tttt: with the date.")
@click.option("-n", "_numeric", count=True, help="Numbers instead of names; this is the default.")
@click.option("-l", "_by_line", is_flag=True, help="Each line at once; this is the default.")
@click.option("-U", "_by_packet", is_flag=True, help="Each packet at once; this is the default.")
@mount_option_unless("file")
def command(tree: Path | None, words: tuple[str, ...], file: str, output: str, times: int, **given: Any) -> None:
    """Print a line for each frame that FILTER keeps, and what the stack did with it.

    FILTER has words of pcap-filter(7): host, net, port, portrange, src, dst, tcp, udp, icmp, icmp6, arp, ip, ip6, and,
    or, not. Ctrl-C ends it with the number of packets.
    """
    text = " ".join(words)
    kept = _filter(text)
    if times not in (0, 1, 2, 4):
        fail(1, f"-{'t' * times} is not one of -t, -tt and -tttt")
    if output == STANDARD and sys.stdout.isatty():
        fail(1, "standard output is a terminal, and -w writes octets: give it a file or a pipe")
    if tree is None:
        if given["interface"] or given["snap"]:
            fail(1, f"-{'i' if given['interface'] else 's'} and -r can't be given together")
        source, name = _opened_file(file), "standard input" if file == STANDARD else file
    else:
        path = capture_path(given["interface"] or _first_interface(tree), given["snap"], has_history=given["history"])
        source = os.fdopen(open_capture(tree, path, text), "rb", buffering=_BUFFER)
        name = path.partition(",")[0]
    with source:
        reader = CaptureReader(source)
        reader.on_interface = lambda one: show(_beginning(one, file), error=True)
        lines = None if output else LineOutput(reader, times, absolute=given["absolute"])
        sink = lines or BlockOutput(output)
        dump = Dump(reader, sink, kept if text else None, given["count"])
        _run(dump, reader, name, is_live=not file)


def _run(dump: Dump, reader: CaptureReader, name: str, *, is_live: bool) -> None:
    """Run until the end, Ctrl-C, or what can't be read; then say how many packets there were."""
    if is_live:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell has it for a command in the background
                signal.signal(number, dump.stop)
    failure = ""
    try:
        dump.run()
    except KeyboardInterrupt:
        pass
    except CaptureError as error:
        failure = f"{name}: {error}"
    if is_live:
        show(f"{dump.packets} packets captured\n{reader.dropped} packets dropped by the capture", error=True)
    if failure:
        fail(1, failure)


def _beginning(interface: CapturedInterface, file: str) -> str:
    """Return tcpdump's first line on standard error."""
    link_type = _LINK_TYPES.get(interface.link_type, str(interface.link_type))
    what = f"reading from file {file}" if file else f"listening on {interface.name}"
    return f"{what}, link-type {link_type}, snapshot length {interface.snap}"


def _first_interface(tree: Path) -> str:
    """Return the first interface that is not lo."""
    try:
        names = interface_names(tree)
    except OSError as error:
        fail_with(1, tree, "network", error)
    return next((name for name in names if name != "lo"), "lo")


def _opened_file(path: str) -> BinaryIO:
    try:
        return sys.stdin.buffer if path == STANDARD else open(path, "rb")
    except OSError as error:
        fail(1, f"{path}: {error.strerror}")


def _filter(text: str) -> Filter:
    try:
        return parse_filter(text)
    except ValueError as error:
        fail(1, str(error))
