"""The command `schemefs lab`: its options, and the topology that they describe. schemefs/lab/ does the rest.

Exit status: the command's; 2 for what is wrong with the lab; 128 and the signal for one that came before the command.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from schemefs.command import completion, mountpoint, standard_streams
from schemefs.errors import StartError, printable_lines
from schemefs.lab import requirements

if TYPE_CHECKING:
    from schemefs.lab.closing_report import ClosingReport
    from schemefs.lab.html_report import HtmlReport
    from schemefs.lab.link_recorder import LinkRecorder
    from schemefs.lab.topology import Topology

DEFAULT_HOSTS: Final = "client,server"
WRONG_LAB: Final = 2

_COMMAND: Final = "schemefs.command.lab_command"

EXAMPLES = """
\b
Examples:
  schemefs lab -- ping -c 3 server
  schemefs lab --link client='delay 20ms loss 1% seed 7' -- sh -c 'on server iperf3 -s -1 & sleep 1; iperf3 -c server'
  schemefs lab --hosts a,b,c --shell        then: echo 'loss 5%' >/scheme/netcfg/ifaces/b/impair
  schemefs lab net.toml -- ./test.sh
  schemefs lab --capture all.pcapng net.toml -- ./test.sh     then: schemefs tcpdump -r all.pcapng, or wireshark
"""


class LabCommand(click.Command):
    """What follows `--` is the command of the lab, options included."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the command aside."""
        if not args and not ctx.resilient_parsing:  # which a completion sets
            click.echo(ctx.get_help())
            ctx.exit()
        own = args[: args.index("--")] if "--" in args else args
        ctx.meta[_COMMAND] = tuple(args[len(own) + 1 :])
        return super().parse_args(ctx, own)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Add the command."""
        return [*super().collect_usage_pieces(ctx), "[-- CMD …]"]


@click.command("lab", cls=LabCommand, epilog=EXAMPLES)
@click.argument("file", metavar="[FILE.toml]", required=False, shell_complete=completion.files)
@click.option("--hosts", metavar="A,B,…", help=f"The hosts, joined by one router.  [default: {DEFAULT_HOSTS}]")
@click.option("--link", "links", multiple=True, metavar="HOST=RULES", help="Impair the link of HOST; may be repeated.")
@click.option(
    "--report-json", metavar="FILE", shell_complete=completion.files, help="Write the closing report as JSON too."
)
@click.option(
    "--capture", metavar="FILE", shell_complete=completion.files, help="Record every link, for Wireshark (pcapng)."
)
@click.option(
    "--report", metavar="FILE", shell_complete=completion.files, help="Write the closing report as a page of HTML."
)
@click.option("--internet", is_flag=True, help="Give each host the machine's network too, by pasta, unimpaired.")
@click.option("--ipv4-only", is_flag=True, help="Give hosts and routers no IPv6.")
@click.option("--shell", is_flag=True, help="Run a shell in the first host.")
@click.pass_context
def command(context: click.Context, /, *, file: str | None, shell: bool, **options: Any) -> None:
    """Run CMD in a network of its own: hosts are namespaces, routers are daemons, links have impairments.

    No root is needed. CMD runs in the first host; `on HOST CMD` runs a command in another one, and /scheme is the tree
    of the router. All processes of the lab end with CMD, and its exit status is CMD's. The last lines on standard error
    say what each link, rule and TCP connection did.
    """
    standard_streams.open_closed()
    try:
        sys.exit(_run(file, context.meta[_COMMAND], options, shell=shell))
    except (StartError, ValueError) as error:
        _fail(str(error))


def _run(file: str | None, words: tuple[str, ...], options: dict[str, Any], *, shell: bool) -> int:
    from schemefs.lab import way_out  # noqa: PLC0415
    from schemefs.lab.topology import Topology  # noqa: PLC0415 - `schemefs --help` does without

    if file is not None and (options["hosts"] is not None or options["links"] or options["ipv4_only"]):
        raise StartError("--hosts, --link and --ipv4-only can't be given beside a file: it contains them")
    if file is None:
        hosts = (DEFAULT_HOSTS if options["hosts"] is None else options["hosts"]).split(",")
        topology = Topology.from_options(hosts, options["links"], ipv6=not options["ipv4_only"])
    else:
        topology = Topology.from_file(file)
    if options["internet"]:
        topology = replace(topology, internet=True)
    words = _command(words, shell=shell)
    mountpoint.check_fuse()
    requirements.check_tun()
    if topology.internet:
        way_out.check()

    from schemefs import plugins  # noqa: PLC0415 - after the checks: the imports take most of the time of a start
    from schemefs.lab import outer_process  # noqa: PLC0415
    from schemefs.lab.closing_report import ClosingReport  # noqa: PLC0415
    from schemefs.lab.first_process import FirstProcess  # noqa: PLC0415

    try:
        report = ClosingReport(topology, options["report_json"])
        recorder = _recorder(topology, options["capture"])
        page = _page(topology, options["report"], report, words)
        first = FirstProcess(topology, words, plugins.load(), report=report, recorder=recorder, page=page)
        return outer_process.run(first)
    except outer_process.Interrupted as interrupted:
        return 128 + interrupted.number


def _recorder(topology: Topology, path: str | None) -> LinkRecorder | None:
    if path is None:
        return None
    from schemefs.lab.link_recorder import LinkRecorder  # noqa: PLC0415 - few labs need dpkt

    return LinkRecorder(topology, path)


def _page(topology: Topology, path: str | None, report: ClosingReport, words: tuple[str, ...]) -> HtmlReport | None:
    if path is None:
        return None
    from schemefs.lab.html_report import HtmlReport  # noqa: PLC0415 - as above

    return HtmlReport(topology, path, report, words)


def _command(words: tuple[str, ...], *, shell: bool) -> tuple[str, ...]:
    """Return the command. StartError: there is none, or it does not exist."""
    if shell and words:
        raise StartError("--shell and a command can't be given together")
    if shell:
        words = (os.environ.get("SHELL") or "/bin/sh",)
    if not words:
        raise StartError("there is nothing to run: give -- CMD, or --shell")
    if words[0] != "on" and shutil.which(words[0]) is None:
        is_there = "/" in words[0] and Path(words[0]).exists()
        raise StartError(
            f"{words[0]} can't be run: it is not executable" if is_there else f"there is no command {words[0]!r}"
        )
    return words


def _fail(sentence: str) -> NoReturn:
    click.secho("schemefs: ", nl=False, err=True, fg="red")
    click.echo(printable_lines(sentence), err=True)
    sys.exit(WRONG_LAB)
