"""The command `schemefs mount`: its options, and the configuration that they describe. start_mount.py does the rest.

trio, pyfuse3 and the plugins are imported only in the daemon, after the fork (background.py). mount_options.py has the
meaning of the options, mountpoint.py the checks of a mount point.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from schemefs.command import completion, default_driver, mount_options, mountpoint, standard_streams, start_mount
from schemefs.command.driver_parameters import MountCommand
from schemefs.config import Config
from schemefs.document import LOOPBACK_DRIVER
from schemefs.driver_option import OptionValueError
from schemefs.errors import StartError
from schemefs.held_octets import parse_limit
from schemefs.net.addresses import parse_unicast_mac
from schemefs.net.host_address import parse_address, parse_interface

EXAMPLES = """
\b
Examples:
  schemefs mount /scheme                          a TAP device schemefs0, 10.0.2.15/24 on it
  schemefs mount ~/net                            the same without root: the host's network, by passt
  schemefs mount /tmp/s --driver loopback         only lo: 127.0.0.1/8, ::1
  schemefs mount /tmp/s --driver stream --socket /tmp/link --listen   joined to another mount, or to a QEMU guest
  schemefs mount /scheme --address 192.168.7.2/24 --gateway 192.168.7.1
  schemefs mount /scheme --address 192.168.7.2/24 --address 2001:db8::2/64 --gateway 2001:db8::1
  schemefs mount /scheme --config lab.toml        interfaces, routes, impairments: cp /scheme/netcfg/config lab.toml
  schemefs mount /scheme --uplink                 through the host: it forwards, masquerades and resolves names
  schemefs mount /scheme --scheme upper.py        another scheme, without installing it
  nsenter --net=/run/netns/lab schemefs mount /scheme
  cat /scheme/icmp/ping/10.0.2.2,count=3          the first thing to try
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


@click.command("mount", cls=MountCommand, epilog=EXAMPLES)
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
def command(
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
        status = start_mount.mount_in_foreground(
            config, path, standard_streams.report, allow_other=allow_other, pid_file=pid_path, scheme_files=files
        )
        sys.stdout.flush()
        # The mount has ended. The interpreter's own exit would reset the signal handlers first, and a second Ctrl-C in
        # these 20 ms would turn the status of an orderly end into "killed".
        os._exit(status)
    line = start_mount.mount_in_background(config, path, allow_other=allow_other, pid_file=pid_path, scheme_files=files)
    standard_streams.report(line)


def _configuration(values: dict[str, Any], *, foreground: bool) -> Config:
    """Return the daemon's configuration. Paths become absolute, since the daemon changes its directory."""
    context = click.get_current_context()
    options = command.given_driver_options(context, values)
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
        return mount_options.configuration(given, command.tables)
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

    choice = default_driver.choose(plugins.default_candidates(), command.tables, options)
    unused = [name for name in ("address", "gateway", "mac", "mtu") if values[name] not in (None, ())]
    if choice.driver == LOOPBACK_DRIVER and unused:
        raise StartError(f"--{unused[0]} needs an interface, and only lo can be had ({choice.reason})")
    return choice.driver, choice.reason


def _configuration_of_file(path: str, values: dict[str, Any], options: dict[str, str | bool]) -> Config:
    """Return the configuration of a file. Options for what it contains are refused, or override it."""
    source = click.get_current_context().get_parameter_source
    given = [name for name in values if source(name) is ParameterSource.COMMANDLINE]
    refused = [name for name in given if name in mount_options.SAID_BY_FILE]
    refused += [name for name in options if not mount_options.overrides_file(name, command.tables)]
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
            command.tables,
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
