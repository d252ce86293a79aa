"""`schemefs extcap`: the interfaces and conversations of all mounts, as capture interfaces of Wireshark and tshark.

    schemefs extcap --install           a program in Wireshark's folder: it calls this command with extcap's options
    --extcap-interfaces                 a line for each interface and conversation that this user may capture
    --extcap-dlts, --extcap-config      the link type of one, and what may be chosen in its dialogue
    --capture --fifo PATH               copy its `capture.pcapng` into PATH until it ends, or its reader does

Status 0: success; 1: it failed.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

import click

from schemefs import __version__
from schemefs.command import completion
from schemefs.errors import printable
from schemefs.net.capture_filter import parse_filter
from schemefs.tools.capture_source import ANY, capture_path, interface_names, is_conversation, open_capture
from schemefs.tools.exit_status import Tool, fail, show
from schemefs.tools.find_mount import usable
from schemefs.tools.ss import conversations

EXAMPLES = """
\b
Examples:
  schemefs extcap                     where its program is, or goes
  schemefs extcap --install
  tshark -D                           then has lines such as schemefs:/scheme:eth0
  tshark -i schemefs:/scheme:eth0 -f 'tcp port 80'
"""

_PREFIX: Final = "schemefs"
_NAME: Final = "schemefs"  # of the program
_CHUNK: Final = 1 << 20
_CONFIG: Final = """\
arg {number=0}{call=--history}{display=Of an interface: first the frames that were kept}{type=boolflag}{default=false}
arg {number=1}{call=--snap}{display=Of an interface: octets of each frame}{type=unsigned}{range=64,262144}
"""
# Wireshark asks for the options of each interface by a process of its own, before it shows any.
_PROGRAM: Final = """\
#!/bin/sh
case " $* " in *" --extcap-config "*) cat <<'OPTIONS'
%sOPTIONS
exit ;; esac
exec %s -m schemefs extcap "$@"
"""


class Place(NamedTuple):
    """What can be captured: `eth0`, `any` or `tcp/3` of a mount."""

    tree: Path
    name: str

    @property
    def value(self) -> str:
        """The name for tshark -i."""
        return f"{_PREFIX}:{quote(str(self.tree))}:{self.name}"


@click.command(cls=Tool, epilog=EXAMPLES)
@click.option("--install", is_flag=True, help="Put the program into Wireshark's folder for those of this user.")
@click.option("--remove", is_flag=True, help="Remove it from there.")
@click.option("--extcap-interfaces", "lists", is_flag=True, help="List the interfaces and conversations.")
@click.option("--extcap-interface", "interface", metavar="NAME", help="One of them.")
@click.option("--extcap-dlts", "dlts", is_flag=True, help="Print its link type.")
@click.option("--extcap-config", "config", is_flag=True, help="Print its options.")
@click.option("--capture", is_flag=True, help="Capture it.")
@click.option("--fifo", metavar="PATH", help="Where the capture goes.", shell_complete=completion.files)
@click.option("--extcap-capture-filter", "filter_text", metavar="FILTER", default="", help="A filter; see captures.md.")
@click.option("--extcap-version", "_version", metavar="VERSION", help="That of Wireshark; not used.")
@click.option("--history", is_flag=True, help="First the frames that were kept.")
@click.option("--snap", type=click.IntRange(64, 262_144), metavar="OCTETS", help="Keep the first of each frame.")
def command(
    interface: str | None,
    fifo: str | None,
    filter_text: str,
    snap: int | None,
    *,
    install: bool,
    remove: bool,
    lists: bool,
    dlts: bool,
    config: bool,
    capture: bool,
    history: bool,
    **_ignored: object,
) -> None:
    """Serve the interfaces and conversations of all mounts to Wireshark and tshark, or say where that is set up."""
    if install or remove or not (lists or interface):
        _set_up(install=install, remove=remove)
        return
    if lists:
        _list()
        return
    place = _place(interface or "")
    if dlts:
        show(_link_type(place))
    elif config:
        show(_CONFIG, newline=False)
    elif capture:
        if not fifo:
            fail(1, "--capture needs --fifo PATH")
        is_whole = is_conversation(place.name)  # it has neither option
        path = capture_path(place.name, None if is_whole else snap, has_history=history and not is_whole)
        _copy(open_capture(place.tree, path, filter_text), fifo)
    elif filter_text:
        _check(filter_text)


def _list() -> None:
    show(f"extcap {{version={__version__}}}{{display=schemefs}}")
    for tree in map(Path, usable()):
        for place, words in _places(tree):
            display = printable(f"{words}, {tree}").replace("{", "(").replace("}", ")")
            show(f"interface {{value={place.value}}}{{display={display}}}")


def _places(tree: Path) -> Iterator[tuple[Place, str]]:
    """Yield what this user may capture, with words about it."""
    with suppress(OSError):
        names = interface_names(tree)
        if os.access(tree / capture_path(ANY), os.R_OK):
            yield Place(tree, ANY), "all interfaces"
            yield from ((Place(tree, name), f"interface {name}") for name in names)
    with suppress(OSError):
        for status in conversations(tree):
            ends = " > ".join(filter(None, (str(status.get("local", "")), str(status.get("remote", "")))))
            if ends:
                yield Place(tree, status["conversation"]), f"{status['conversation']} {ends}"


def _place(value: str) -> Place:
    prefix, _, rest = value.partition(":")
    path, colon, name = rest.rpartition(":")
    if prefix != _PREFIX or not colon or not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name):
        fail(1, f"{value!r} is not an interface of --extcap-interfaces")
    return Place(Path(unquote(path)), name)


def _link_type(place: Place) -> str:
    """Return the line about the link type: of several interfaces, each in the capture has its own."""
    is_ip = False
    with suppress(OSError):
        is_ip = not (place.tree / "network" / place.name / "mac").read_text().strip() and not is_conversation(
            place.name
        )
    return "dlt {number=101}{name=RAW}{display=IP}" if is_ip else "dlt {number=1}{name=EN10MB}{display=Ethernet}"


def _check(filter_text: str) -> None:
    """Print why a filter is malformed: that is how Wireshark asks."""
    try:
        parse_filter(filter_text)
    except ValueError as error:
        show(str(error))
        sys.exit(1)


def _copy(source: int, fifo: str) -> None:
    """Copy until the capture *source* ends, or the reader of the FIFO."""
    try:
        target = os.open(fifo, os.O_WRONLY)
    except OSError as error:
        fail(1, f"{fifo}: {error.strerror}")
    poller = select.poll()
    poller.register(source, select.POLLIN)
    poller.register(target, 0)  # an error: it has no reader
    with suppress(BrokenPipeError):
        while target not in dict(poller.poll()) and (octets := os.read(source, _CHUNK)):
            left = memoryview(octets)
            while left:
                left = left[os.write(target, left) :]


def _set_up(*, install: bool, remove: bool) -> None:
    """Install or remove the program, or say where it is or goes."""
    path = _folder() / _NAME
    try:
        if install:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_PROGRAM % (_CONFIG, shlex.quote(sys.executable)))
            path.chmod(0o755)
        elif remove:
            path.unlink()
    except OSError as error:
        fail(1, f"{path}: {error.strerror}")
    if remove:
        show(f"removed {path}")
    elif path.exists():
        show(f"Wireshark and tshark -D list the mounts: {path}")
    else:
        show(f"not installed: schemefs extcap --install writes {path}, for Wireshark and tshark -D")


def _folder() -> Path:
    """Return the folder of this user's extcap programs, as tshark says; it moved with Wireshark 4.2."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(["tshark", "-G", "folders"], check=True, capture_output=True, text=True, timeout=20)
        folders = dict(re.findall(r"^([^:\n]+):\s*(.+)$", done.stdout, re.MULTILINE))
        if "Personal Extcap path" in folders:
            return Path(folders["Personal Extcap path"])
        if "Personal configuration" in folders:
            return Path(folders["Personal configuration"], "extcap")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "wireshark", "extcap")
