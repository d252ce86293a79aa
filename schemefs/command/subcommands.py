"""The subcommands of `schemefs`, in the order of the list of help. None of them is imported for that list.

Each module has a click command called `command`, or as the table says. `tests/unit/command/test_subcommands.py`
compares the summaries with what the commands say of themselves.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Subcommand(NamedTuple):
    """Where a subcommand is, and what is known of it without its module."""

    summary: str  # the first sentence of its help
    module: str
    attribute: str = "command"
    wrong_usage: int = 1  # the exit status


SUBCOMMANDS: Final = {
    "completion": Subcommand(
        "Print the script that makes SHELL complete schemefs commands.", "schemefs.command.completion_command"
    ),
    "doctor": Subcommand("Check this machine for what a mount needs, and print each fix.", "schemefs.command.doctor"),
    "mount": Subcommand("Mount on DIR; return when the mount is ready.", "schemefs.command.mount_command"),
    "umount": Subcommand("End the mount on DIR; return when its daemon has ended.", "schemefs.command.umount_command"),
    "wait": Subcommand(
        "Wait until FD, an open file of the calling shell, is ready.", "schemefs.command.wait_which", "wait_command"
    ),
    "which": Subcommand("Print the conversation of FD, such as tcp/7.", "schemefs.command.wait_which", "which_command"),
    "lab": Subcommand(
        "Run CMD in a network of its own: hosts are namespaces, routers are daemons, links have impairments.",
        "schemefs.command.lab_command",
        wrong_usage=2,
    ),
    "run": Subcommand(
        "Run CMD with the sockets of a mount instead of the kernel's, without root.",
        "schemefs.command.run_command",
        wrong_usage=2,
    ),
    "ping": Subcommand("Send echo requests to HOST and print a line for each.", "schemefs.tools.ping", wrong_usage=2),
    "traceroute": Subcommand("Print the routers on the path to HOST.", "schemefs.tools.traceroute", wrong_usage=2),
    "nc": Subcommand("Connect standard input and output with a peer.", "schemefs.tools.nc"),
    "get": Subcommand("Fetch URL and print it.", "schemefs.tools.get", wrong_usage=2),
    "dns": Subcommand("Print the addresses of NAME, or its records of another type.", "schemefs.tools.dns"),
    "ss": Subcommand("Print the conversations.", "schemefs.tools.ss"),
    "tcpdump": Subcommand(
        "Print a line for each frame that FILTER keeps, and what the stack did with it.", "schemefs.tools.tcpdump"
    ),
    "extcap": Subcommand(
        "Serve the interfaces and conversations of all mounts to Wireshark and tshark, or say where that is set up.",
        "schemefs.tools.extcap",
    ),
    "ladder": Subcommand(
        "Draw the segments and steps of TARGET between its two ends.", "schemefs.tools.ladder", wrong_usage=2
    ),
    "plot": Subcommand(
        "Draw graphs of TARGET: sequence numbers, windows, round trips and throughput.",
        "schemefs.tools.plot",
        wrong_usage=2,
    ),
    "why": Subcommand("Print what a conversation has waited for most.", "schemefs.tools.why", wrong_usage=2),
    "report": Subcommand(
        "Write a page of HTML about a mount: interfaces, impairments, conversations and drops.",
        "schemefs.tools.report",
        wrong_usage=2,
    ),
    "script": Subcommand(
        "Play FILE, a packet script, against the stack in virtual time, and draw what happened.",
        "schemefs.tools.script",
        wrong_usage=2,
    ),
    "ip": Subcommand("Print or change addresses, links, routes and neighbors.", "schemefs.tools.ip"),
    "ifconfig": Subcommand("Print the interfaces, or configure one.", "schemefs.tools.ifconfig", wrong_usage=2),
    "route": Subcommand("Print the routing table, or change it.", "schemefs.tools.route", wrong_usage=2),
    "arp": Subcommand("Print the neighbor tables, or add or remove an entry.", "schemefs.tools.arp"),
    "serve": Subcommand("Run COMMAND for every connection to ADDRESS.", "schemefs.tools.serve"),
    "socks": Subcommand(
        "Serve SOCKS5 (CONNECT) on ADDRESS; the connections are made by the mount, which also looks names up.",
        "schemefs.tools.socks",
        wrong_usage=2,
    ),
}
