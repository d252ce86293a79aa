"""Programs that use a mounted tree as every program can: by plain opens, reads and writes of its files.

Each module is a subcommand of `schemefs`, with a click command called `command`. `COMMANDS` lists them, and cli.py
imports a module only when its command is used. Nothing here may import the daemon, a scheme or a driver.
"""

from typing import Final

COMMANDS: Final = {
    "ping": "schemefs.tools.ping",
    "traceroute": "schemefs.tools.traceroute",
    "nc": "schemefs.tools.nc",
    "get": "schemefs.tools.get",
    "dns": "schemefs.tools.dns",
    "ss": "schemefs.tools.ss",
    "ip": "schemefs.tools.ip",
    "ifconfig": "schemefs.tools.ifconfig",
    "route": "schemefs.tools.route",
    "arp": "schemefs.tools.arp",
    "serve": "schemefs.tools.serve",
    "socks": "schemefs.tools.socks",
}
"""Subcommand -> module."""

WRONG_USAGE: Final = {"ping": 2, "traceroute": 2, "get": 2, "ifconfig": 2, "route": 2, "run": 2, "socks": 2}
"""Subcommand -> exit status for wrong usage, where the Linux tool of that name does not have 1."""
