"""The command line: `schemefs mount DIR`, `schemefs umount DIR`, and the other commands.

Every failure is one sentence on standard error and status 1. trio, pyfuse3 and the plugins are imported only in the
daemon, after the fork (background.py). mount_options.py has the options, mountpoint.py the checks of a mount point.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from schemefs import __version__, tools
from schemefs.command import (
    completion,
    default_driver,
    force_umount,
    mount_command,
    mount_options,
    mountpoint,
    wait_which,
)
from schemefs.command import doctor as diagnosis
from schemefs.command.driver_parameters import MountCommand
from schemefs.config import Config
from schemefs.document import LOOPBACK_DRIVER
from schemefs.driver_option import OptionValueError
from schemefs.errors import StartError, out_of_descriptors, printable, printable_lines
from schemefs.held_octets import parse_limit
from schemefs.net.addresses import parse_unicast_mac
from schemefs.net.host_address import parse_address, parse_interface
from schemefs.tools.seconds import seconds

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

LATE = {"lab": "schemefs.command.lab_command", "run": "schemefs.command.run_command"}
"""Commands here that are imported when they are used: subcommand -> module, with a click command called `command`."""

MOUNT_EXAMPLES = """
\b
Examples:
  schemefs mount /scheme                          a TAP device schemefs0, 10.0.2.15/24 on it
  schemefs mount ~/net                            the same without root: the host's network, by passt
  schemefs mount /tmp/s --driver loopback         only lo, 127.0.0.1/8
  schemefs mount /tmp/s --driver stream --socket /tmp/link --listen   joined to another mount, or to a QEMU guest
  schemefs mount /scheme --address 192.168.7.2/24 --gateway 192.168.7.1
  schemefs mount /scheme --address 192.168.7.2/24 --address 2001:db8::2/64 --gateway 2001:db8::1
  schemefs mount /scheme --config lab.toml        interfaces, routes, impairments: cp /scheme/netcfg/config lab.toml
  schemefs mount /scheme --uplink                 through the host: it forwards, masquerades and resolves names
  schemefs mount /scheme --scheme upper.py        another scheme, without installing it
  nsenter --net=/run/netns/lab schemefs mount /scheme
  cat /scheme/icmp/ping/10.0.2.2,count=3          the first thing to try
"""


COMPLETION_EXAMPLES = """
\b
Examples:
  eval "$(schemefs completion bash)"               in ~/.bashrc
  eval "$(schemefs completion zsh)"                in ~/.zshrc, after compinit
  schemefs completion fish >~/.config/fish/completions/schemefs.fish
"""


# (good, works) of a finding of `schemefs doctor`
MARKS = {(True, True): ("ok  ", "green"), (True, False): ("no  ", "yellow")}
FAILURE = ("FAIL", "red")

WAIT_EXAMPLE = """
\b
Example:
  exec 3<>/scheme/tcp/10.0.2.2:7
  schemefs wait --in -t 2.5 3 && read -r line <&3
"""


def checked(read: Callable[[str], object]) -> Callable[[str], object]:
    """Return a click type from a function of mount_options.py: its ValueError becomes click's message."""

    def convert(text: str) -> object:
        try:
            return read(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


CIDR = checked(parse_interface)
ADDRESS = checked(parse_address)
MAC = checked(parse_unicast_mac)
MTU = checked(mount_options.mtu)
MEMORY = checked(parse_limit)
IMPAIR = checked(mount_options.impair)


WRONG_USAGE = {"lab": 2, **tools.WRONG_USAGE}
"""Subcommand -> exit status for wrong usage; of the others it is 1."""


class CommandLine(click.Group):
    """The commands here, and those of the tools: each tool is imported when it is used, and for the list of help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, the tools' last."""
        return [*super().list_commands(ctx), *LATE, *tools.COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command *cmd_name*, or None."""
        module = tools.COMMANDS.get(cmd_name) or LATE.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(module).command
        return command


@click.group(cls=CommandLine, context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(__version__, message="schemefs %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Mount Redox's /scheme: the network as files, with its own TCP/IP stack."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@click.command("mount", cls=MountCommand, epilog=MOUNT_EXAMPLES)
@click.argument("directory", metavar="DIR", shell_complete=completion.directories)
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground, log to standard error. Ctrl-C ends it.")
@click.option(
    "--driver",
    metavar="NAME",
    help="The driver of the interface.  [default: tap if permitted, else passt if installed, else loopback]",
    shell_complete=completion.drivers,
)
@click.option(
    "--address",
    type=CIDR,
    multiple=True,
    metavar="CIDR",
    help="An address of the mount's own, of IPv4 or IPv6; may be repeated.  "
    "[default: 10.0.2.15/24, and fd00:10:0:2::15/64 on a TAP]",
)
@click.option(
    "--gateway",
    type=ADDRESS,
    multiple=True,
    metavar="IP",
    help="The gateway of a default route, one of each family.  [default: 10.0.2.2; IPv6: the host, with --uplink]",
)
@click.option(
    "--nameserver",
    type=ADDRESS,
    multiple=True,
    metavar="IP",
    help="A DNS server; may be repeated.  [default: 10.0.2.3]",
)
@click.option(
    "--mac", type=MAC, metavar="MAC", help="The mount's own MAC address.  [default: derived from the TAP's name]"
)
@click.option("--mtu", type=MTU, metavar="OCTETS", help="The largest IP datagram.  [default: 1500]")
@click.option(
    "--memory", type=MEMORY, metavar="SIZE", help="What all buffers may hold; a user, a quarter.  [default: 512M]"
)
@click.option(
    "--impair",
    type=IMPAIR,
    metavar="RULES",
    default="",
    help="Impair the link (with --driver loopback, lo): 'loss 1% delay 20ms', 'drop tcp syn 1; drop data 3..5'.",
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    default="",
    help="Configure the network from FILE: TOML, as DIR/netcfg/config shows it. "
    "--uplink, --resolver and --log-level override it.",
    shell_complete=completion.files,
)
@click.option(
    "--scheme",
    "scheme_files",
    multiple=True,
    metavar="FILE.py",
    help="Add the scheme in this file (FILE.py:CLASS: one of several); may be repeated. The daemon runs its code with "
    "the rights of the mounting user: as root, name only files that root alone can write.",
    shell_complete=completion.files,
)
@click.option(
    "--record-events",
    is_flag=True,
    help="Record the events of every conversation; DIR/logging/net/events.log has the last ones of those that ended.",
)
@click.option("--private", is_flag=True, help="Only the mounting user may use it, also if that is root.")
@click.option("--allow-other", is_flag=True, help="All users may use it: root's default; others need user_allow_other.")
@click.option("--log-level", type=click.Choice(list(mount_options.LOG_LEVELS)), default="info", show_default=True)
@click.option("--log-file", metavar="FILE", default="", help="Log to FILE as well as to DIR/logging/net/schemefs.log.")
@click.option("--pid-file", metavar="FILE", default="", help="Write the daemon's process id to FILE.")
def mount(
    directory: str, *, foreground: bool, allow_other: bool, pid_file: str, scheme_files: Sequence[str], **rest: Any
) -> None:
    """Mount on DIR; return when the mount is ready.

    DIR is an existing directory.
    """
    config = _configuration(rest, foreground=foreground)
    path = mountpoint.resolve(directory)
    pid_path = Path(pid_file).absolute() if pid_file else None
    files = [str(Path(file).absolute()) for file in scheme_files]
    if foreground:
        status = mount_command.mount_in_foreground(
            config, path, click.echo, allow_other=allow_other, pid_file=pid_path, scheme_files=files
        )
        sys.stdout.flush()
        # The mount has ended. The interpreter's own exit would reset the signal handlers first, and a second Ctrl-C in
        # these 20 ms would turn the status of an orderly end into "killed".
        os._exit(status)
    line = mount_command.mount_in_background(
        config, path, allow_other=allow_other, pid_file=pid_path, scheme_files=files
    )
    click.echo(line)


cli.add_command(mount)


def _configuration(values: dict[str, Any], *, foreground: bool) -> Config:
    """Return the daemon's configuration. Paths become absolute, since the daemon changes its directory."""
    context = click.get_current_context()
    options = mount.given_driver_options(context, values)
    if values["log_file"]:
        values["log_file"] = str(Path(values["log_file"]).absolute())
    elif foreground:
        values["log_file"] = "-"
    config_file = values.pop("config_file")
    try:
        if config_file:
            return _configuration_of_file(config_file, values, options)
        values["driver"], reason = _driver(values, options)
        given = mount_options.MountOptions(driver_reason=reason, options=options, **values)
        return mount_options.configuration(given, mount.tables)
    except OptionValueError as error:
        word = f"--{error.option.replace('_', '-')}"
        raise click.BadParameter(str(error), context, param_hint=f"'{word}'") from None
    except ValueError as error:
        raise StartError(str(error)) from None


def _driver(values: dict[str, Any], options: dict[str, str | bool]) -> tuple[str, str]:
    """Return the driver, and why it is not a better one. StartError: options need an interface, and none can be had."""
    if values["driver"] is not None:
        return values["driver"], ""
    from schemefs import plugins  # noqa: PLC0415 - finding the plugins takes 10 ms that --help does without

    choice = default_driver.choose(plugins.default_candidates(), mount.tables, options)
    unused = [name for name in ("address", "gateway", "mac", "mtu") if values[name] not in (None, ())]
    if choice.driver == LOOPBACK_DRIVER and unused:
        raise StartError(f"--{unused[0]} needs an interface, and only lo can be had ({choice.reason})")
    return choice.driver, choice.reason


def _configuration_of_file(path: str, values: dict[str, Any], options: dict[str, str | bool]) -> Config:
    """Return the configuration of a file. Options for what it contains are refused, or override it."""
    source = click.get_current_context().get_parameter_source
    given = [name for name in values if source(name) is ParameterSource.COMMANDLINE]
    refused = [name for name in given if name in mount_options.SAID_BY_FILE]
    refused += [name for name in options if not mount_options.overrides_file(name, mount.tables)]
    for name in refused:
        raise StartError(f"--{name.replace('_', '-')} and --config can't be given together: the file contains it")
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise StartError(f"the configuration {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise StartError(f"the configuration {path} can't be read: {error}") from None
    try:
        config = mount_options.configuration_of_text(
            text,
            mount.tables,
            options,
            private=values["private"],
            log_file=values["log_file"],
            log_level=values["log_level"] if "log_level" in given else "",
        )
    except OptionValueError:
        raise
    except ValueError as error:
        raise StartError(f"{path}: {error}") from None
    config.record_events = values["record_events"]
    return config


@cli.command()
@click.argument("directory", metavar="DIR", shell_complete=completion.mounts)
@click.option("--force", is_flag=True, help="End it also if the daemon does not answer and calls hang.")
def umount(directory: str, *, force: bool) -> None:
    """End the mount on DIR; return when its daemon has ended."""
    path = mountpoint.resolve(directory)
    if not force:
        click.echo(mountpoint.end_mount(path))
        return
    for step in force_umount.end_by_force(path):
        click.echo(step)


@cli.command(epilog=WAIT_EXAMPLE)
@click.argument("descriptor", metavar="FD", type=click.IntRange(min=0))
@click.option("--in", "readable", is_flag=True, help="Until a read would not block (the default).")
@click.option("--out", "writable", is_flag=True, help="Until a write would not block.")
@click.option("-t", "timeout", type=seconds(), metavar="SECONDS", help="The time limit.  [default: none]")
def wait(descriptor: int, *, readable: bool, writable: bool, timeout: float | None) -> None:
    """Wait until FD, an open file of the calling shell, is ready.

    An error or the end of file counts as ready: the next read or write shows it. Status 124: the time limit has passed.
    """
    ready = wait_which.wait(descriptor, readable=readable or not writable, writable=writable, timeout=timeout)
    sys.exit(0 if ready else wait_which.TIMED_OUT)


@cli.command()
@click.argument("descriptor", metavar="FD", type=click.IntRange(min=0))
def which(descriptor: int) -> None:
    """Print the conversation of FD, such as tcp/7.

    FD is an open file of the calling shell.
    """
    click.echo(wait_which.which(descriptor))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON; docs/json.md has the fields.")
def doctor(*, as_json: bool) -> None:
    """Check this machine for what a mount needs, and print each fix.

    Stale mounts and TAP devices are found too. `no`: mounts do without it. Status 1: a check failed.
    """
    if as_json:
        sys.exit(diagnosis.print_json())
    good = True
    for finding in diagnosis.examine():
        good &= finding.good
        mark, colour = MARKS.get((finding.good, finding.works), FAILURE)
        # Names of mounts, devices and processes are anything that another user likes.
        click.echo(f"{click.style(mark, fg=colour)}  {printable(finding.subject)}: {printable(finding.sentence)}")
        if finding.fix:
            click.echo(f"      fix: {printable(finding.fix)}")
    sys.exit(not good)


@cli.command("completion", epilog=COMPLETION_EXAMPLES)
@click.argument("shell", type=click.Choice(completion.SHELLS))
def print_completion(shell: str) -> None:
    """Print the script that makes SHELL complete schemefs commands."""
    click.echo(completion.script(cli, shell))


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        sys.exit(cli.main(prog_name="schemefs", standalone_mode=False))
    except click.UsageError as error:
        command = error.ctx.info_name or "" if error.ctx else ""
        hint = f"; see {error.ctx.command_path} --help" if error.ctx else ""
        _fail(f"{error.format_message().rstrip('.')}{hint}", WRONG_USAGE.get(command, 1))
    except click.ClickException as error:
        _fail(error.format_message())
    except StartError as error:
        _fail(str(error))
    except OSError as error:
        if out_of_descriptors(error) is not None:
            _fail(f"{error.strerror}: the limit (ulimit -n) must be higher")
        if not _is_of_output(error):
            raise
        _fail(f"standard output: {error.strerror}")
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


def _is_of_output(error: OSError) -> bool:
    """Return whether *error* is of standard output. The rest of it is discarded: Python flushes it again at its end."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code is not click.echo.__code__:
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _fail(sentence: str, status: int = 1) -> NoReturn:
    click.secho("schemefs: ", nl=False, err=True, fg="red")
    click.echo(printable_lines(sentence), err=True)
    sys.exit(status)
